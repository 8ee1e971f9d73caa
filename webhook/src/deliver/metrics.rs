//! What is counted of the delivery. Labels come from closed sets; no name of a namespace is one.

use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::answer::Answer;

/// Metrics of the delivery; cheap to clone, all clones count together.
#[derive(Clone, Debug, Default)]
pub struct DeliveryMetrics {
    backlog: Gauge,
    leads: Gauge,
    requests: Family<Request, Counter>,
    last_pass: Gauge<f64, AtomicU64>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Request {
    action: &'static str,
    result: &'static str,
}

/// What a request was for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Action {
    Create,
    Delete,
    /// Is it there?
    Probe,
}

impl DeliveryMetrics {
    /// Metrics at zero, in a registry.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let help =
            "Namespaces whose Secrets are not yet as they should be; zero where this replica does not write";
        registry.register("delivery_backlog", help, metrics.backlog.clone());
        registry.register(
            "delivery_leader",
            "Whether this replica makes and removes Secrets",
            metrics.leads.clone(),
        );
        let help = "Requests about Secrets in namespaces of teams, by action and result";
        registry.register("delivery_requests", help, metrics.requests.clone());
        let help = "When everything was last known to be delivered, as far as namespaces take it";
        registry.register_with_unit(
            "delivery_last_full_pass_timestamp",
            help,
            Unit::Seconds,
            metrics.last_pass.clone(),
        );
        metrics
    }

    pub(super) fn leads(&self, leads: bool) {
        self.leads.set(leads.into());
        if !leads {
            self.backlog.set(0);
        }
    }

    pub(super) fn backlog(&self, places: usize) {
        self.backlog.set(i64::try_from(places).unwrap_or(i64::MAX));
    }

    pub(super) fn full_pass(&self, now: SystemTime) {
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |age| age.as_secs_f64());
        self.last_pass.set(seconds);
    }

    pub(super) fn answered(&self, action: Action, answer: &Answer) {
        let action = match action {
            Action::Create => "create",
            Action::Delete => "delete",
            Action::Probe => "probe",
        };
        let result = match answer {
            Answer::Done => "done",
            Answer::Present => "present",
            Answer::Absent => "absent",
            Answer::Ending => "ending",
            Answer::Refused(failure) | Answer::Failed(failure) => failure.reason,
            Answer::Away => "away",
        };
        self.requests.get_or_create(&Request { action, result }).inc();
    }
}
