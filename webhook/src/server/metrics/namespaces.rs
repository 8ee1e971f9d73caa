//! How the requests of each namespace ended.
//!
//! Only namespaces that a profile serves have a name here, and no more of them than fit into a time series database;
//! the others are one. Looking one up takes no lock: the map is replaced when one gets a name, at most so many times.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;

use crate::admit::{Outcome, Record};

/// How many namespaces have a name.
const LIMIT: usize = 1_000;

/// Everything else.
const OTHER: &str = "other";

const OUTCOMES: [Outcome; 9] = [
    Outcome::Audited,
    Outcome::Denied,
    Outcome::Failed,
    Outcome::Injected,
    Outcome::Isolated,
    Outcome::Malformed,
    Outcome::Skipped,
    Outcome::Unavailable,
    Outcome::Unchanged,
];

/// One number for each of [`OUTCOMES`].
type Counts = Arc<[AtomicU64; OUTCOMES.len()]>;

#[derive(Clone, Debug, Default)]
pub(super) struct Namespaces(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    named: ArcSwap<HashMap<String, Counts>>,
    other: Counts,
}

impl Namespaces {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }

    pub(super) fn count(&self, record: &Record) {
        let Inner { named, other } = &*self.0;
        let count = |counts: &Counts| {
            let places = OUTCOMES.iter().zip(counts.iter());
            if let Some((_, number)) = places.into_iter().find(|(outcome, _)| **outcome == record.outcome) {
                number.fetch_add(1, Ordering::Relaxed);
            }
        };
        // A profile serves it: its name comes from the catalog, not from a caller alone.
        if record.profile.is_empty() {
            return count(other);
        }
        let known = named.load();
        if let Some(counts) = known.get(&record.namespace) {
            return count(counts);
        }
        // Names never leave: from here on every further namespace comes this way with each of its requests.
        if known.len() >= LIMIT {
            return count(other);
        }
        named.rcu(|before| {
            let mut after = HashMap::clone(before);
            if after.len() < LIMIT {
                after.entry(record.namespace.clone()).or_default();
            }
            after
        });
        count(named.load().get(&record.namespace).unwrap_or(other));
    }
}

impl Collector for Namespaces {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help =
            "Reviews by namespace and outcome; namespaces that no profile serves, or too many, are other";
        let mut family =
            encoder.encode_descriptor("admission_namespace_requests", help, None, MetricType::Counter)?;
        let Inner { named, other } = &*self.0;
        let named = named.load();
        let all = named.iter().map(|(name, counts)| (name.as_str(), counts));
        for (namespace, counts) in all.chain([(OTHER, other)]) {
            for (outcome, count) in OUTCOMES.iter().zip(counts.iter()) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let labels = [("namespace", namespace), ("outcome", outcome.as_str())];
                    ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::admit::Answer;

    fn count(namespaces: &Namespaces, namespace: &str, profile: &str, outcome: Outcome) {
        let mut record = Answer::failed().record;
        (record.outcome, record.namespace, record.profile) =
            (outcome, namespace.to_owned(), profile.to_owned());
        namespaces.count(&record);
    }

    fn text(namespaces: &Namespaces) -> String {
        let (mut registry, mut text) = (Registry::with_prefix("p"), String::new());
        namespaces.register(&mut registry);
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn served_namespaces_have_a_name_and_the_others_share_one() {
        let namespaces = Namespaces::default();
        count(&namespaces, "team-a", "a", Outcome::Injected);
        count(&namespaces, "team-a", "a", Outcome::Injected);
        count(&namespaces, "team-a", "a", Outcome::Denied);
        count(&namespaces, "made-up", "", Outcome::Skipped);
        let text = text(&namespaces);
        for line in [
            "p_admission_namespace_requests_total{namespace=\"team-a\",outcome=\"injected\"} 2",
            "p_admission_namespace_requests_total{namespace=\"team-a\",outcome=\"denied\"} 1",
            "p_admission_namespace_requests_total{namespace=\"other\",outcome=\"skipped\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("made-up"));
    }

    #[test]
    fn their_number_is_bounded() {
        let namespaces = Namespaces::default();
        for n in 0..LIMIT + 5 {
            count(&namespaces, &format!("team-{n}"), "a", Outcome::Unchanged);
        }
        let text = text(&namespaces);
        assert!(text.contains("{namespace=\"other\",outcome=\"unchanged\"} 5"), "{text}");
        assert_eq!(text.lines().filter(|line| line.contains("team-")).count(), LIMIT);
    }
}
