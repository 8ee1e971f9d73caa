//! What is counted. Labels come from closed sets: nothing that a caller sends ever becomes one.

mod ports;

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use ports::Ports;
pub(super) use ports::{Ended, PortMetrics};

/// From what a small review takes to half a second of trouble.
const DURATION_BUCKETS: [f64; 12] =
    [25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3];

/// How loading something anew ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reloaded {
    /// The new one is in use.
    Ok,
    /// The old one stays.
    Error,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Admission {
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct LoadResult {
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Refusal {
    reason: &'static str,
}

/// Every metric of the process.
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<Admission, Counter>,
    duration: Histogram,
    in_flight: Gauge,
    catalog_reloads: Family<LoadResult, Counter>,
    catalog_problems: Gauge,
    last_reload: Gauge<f64, AtomicU64>,
    not_after: Gauge<f64, AtomicU64>,
    tls_reloads: Family<LoadResult, Counter>,
    ports: Ports,
    strangers: Family<Refusal, Counter>,
}

/// One request that is being answered.
#[derive(Debug)]
pub(super) struct InFlight<'m>(&'m Gauge);

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("spark_injector");
        let requests = Family::default();
        registry.register("admission_requests", "Reviews by outcome and reason", requests.clone());
        let duration = Histogram::new(DURATION_BUCKETS);
        let help = "Time from the headers of a review to its answer";
        registry.register_with_unit("admission_request_duration", help, Unit::Seconds, duration.clone());
        let in_flight = Gauge::default();
        registry.register(
            "admission_requests_in_flight",
            "Reviews that are being answered",
            in_flight.clone(),
        );
        let catalog_reloads = Family::default();
        registry.register("catalog_reloads", "Changes of the inputs, by result", catalog_reloads.clone());
        let catalog_problems = Gauge::default();
        registry.register("catalog_problems", "Mistakes in the inputs", catalog_problems.clone());
        let last_reload = Gauge::default();
        let help = "When the catalog in use was made";
        registry.register_with_unit(
            "catalog_last_reload_timestamp",
            help,
            Unit::Seconds,
            last_reload.clone(),
        );
        let not_after = Gauge::default();
        let help = "When the serving certificate expires";
        registry.register_with_unit("tls_certificate_not_after", help, Unit::Seconds, not_after.clone());
        let tls_reloads = Family::default();
        registry.register(
            "tls_reloads",
            "Changes of the serving certificate, by result",
            tls_reloads.clone(),
        );
        let ports = Ports::default();
        ports.register(&mut registry);
        let strangers = Family::default();
        let help = "Callers that did not prove to be the API server, by what was missing";
        registry.register("client_authentication_failures", help, strangers.clone());
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What is running", build);
        for result in [Reloaded::Ok, Reloaded::Error].map(Reloaded::label) {
            // Present from the start, so that an alert can tell "never" from "not measured".
            drop(Family::get_or_create(&catalog_reloads, &result));
            drop(Family::get_or_create(&tls_reloads, &result));
        }
        Self {
            registry: Mutex::new(registry),
            requests,
            duration,
            in_flight,
            catalog_reloads,
            catalog_problems,
            last_reload,
            not_after,
            tls_reloads,
            ports,
            strangers,
        }
    }

    /// The catalog in use was made at `now` and has so many mistakes in its inputs.
    pub fn catalog_in_use(&self, problems: usize, now: SystemTime) {
        self.catalog_problems.set(i64::try_from(problems).unwrap_or(i64::MAX));
        self.last_reload.set(seconds(now));
    }

    /// The inputs changed.
    pub fn catalog_reloaded(&self, reloaded: Reloaded) {
        self.catalog_reloads.get_or_create(&reloaded.label()).inc();
    }

    /// The certificate in use expires then.
    pub fn certificate_in_use(&self, not_after: SystemTime) {
        self.not_after.set(seconds(not_after));
    }

    /// The files of the certificate changed.
    pub fn certificate_reloaded(&self, reloaded: Reloaded) {
        self.tls_reloads.get_or_create(&reloaded.label()).inc();
    }

    pub(super) fn port(&self, port: &'static str) -> PortMetrics {
        self.ports.port(port)
    }

    /// A caller did not prove to be the API server.
    pub(super) fn stranger(&self, reason: &'static str) {
        self.strangers.get_or_create(&Refusal { reason }).inc();
    }

    pub(super) fn enter(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    pub(super) fn count(&self, outcome: &'static str, reason: &'static str, took: Duration) {
        self.requests.get_or_create(&Admission { outcome, reason }).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// The metrics in the `OpenMetrics` text format.
    pub(super) fn encode(&self) -> Result<String, fmt::Error> {
        let registry = self.registry.lock().map_err(|_| fmt::Error)?;
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Reloaded {
    fn label(self) -> LoadResult {
        let result = match self {
            Self::Ok => "ok",
            Self::Error => "error",
        };
        LoadResult { result }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |age| age.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_its_published_name() {
        let metrics = Metrics::new();
        metrics.count("injected", "profile", Duration::from_micros(30));
        metrics.catalog_in_use(2, SystemTime::UNIX_EPOCH + Duration::from_secs(7));
        metrics.catalog_reloaded(Reloaded::Error);
        metrics.certificate_in_use(SystemTime::UNIX_EPOCH + Duration::from_secs(9));
        metrics.certificate_reloaded(Reloaded::Ok);
        let _running = metrics.enter();
        let text = metrics.encode().unwrap();
        for line in [
            "spark_injector_admission_requests_total{outcome=\"injected\",reason=\"profile\"} 1",
            "spark_injector_admission_request_duration_seconds_bucket{le=\"0.00005\"} 1",
            "spark_injector_admission_requests_in_flight 1",
            "spark_injector_catalog_reloads_total{result=\"error\"} 1",
            "spark_injector_catalog_reloads_total{result=\"ok\"} 0",
            "spark_injector_catalog_problems 2",
            "spark_injector_catalog_last_reload_timestamp_seconds 7.0",
            "spark_injector_tls_certificate_not_after_seconds 9.0",
            "spark_injector_tls_reloads_total{result=\"ok\"} 1",
            concat!("spark_injector_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
