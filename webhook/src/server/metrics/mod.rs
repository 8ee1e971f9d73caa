//! What is counted. Labels come from closed sets: nothing that a caller sends ever becomes one.

mod namespaces;
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

use crate::deliver::metrics::DeliveryMetrics;
use namespaces::Namespaces;
use ports::Ports;
pub(super) use ports::{Ended, PortMetrics};

use super::clients;
use crate::admit::Record;

/// From the smallest review to half a second of trouble. The API server's own histogram begins at 5 ms.
const DURATION_BUCKETS: [f64; 14] =
    [10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 500e-3];

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

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Task {
    task: &'static str,
}

/// Every metric of the process.
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<Admission, Counter>,
    duration: Histogram,
    namespaces: Namespaces,
    now: Gauges,
    dropped_lines: Counter,
    catalog_reloads: Family<LoadResult, Counter>,
    catalog_problems: Gauge,
    last_reload: Gauge<f64, AtomicU64>,
    not_before: Gauge<f64, AtomicU64>,
    not_after: Gauge<f64, AtomicU64>,
    tls_reloads: Family<LoadResult, Counter>,
    tls_last_error: Gauge<f64, AtomicU64>,
    tls_bundle_mismatch: Gauge,
    ports: Ports,
    /// The delivery of Secrets counts by itself.
    pub delivery: DeliveryMetrics,
    strangers: Family<Refusal, Counter>,
    task_failures: Family<Task, Counter>,
}

/// What is measured when somebody asks, instead of at every change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// Reviews that are being answered.
    pub(super) in_flight: usize,
    /// Bytes of bodies that are being read or judged.
    pub(super) body_bytes: usize,
    /// Whether the process is about to end.
    pub(super) draining: bool,
    /// How many catalogs have been in use.
    pub(super) revision: u64,
    /// Profiles that serve.
    pub(super) profiles: usize,
    /// Namespaces that opted in.
    pub(super) namespaces: usize,
}

/// The gauges of [`Now`].
#[derive(Debug, Default)]
struct Gauges {
    in_flight: Gauge,
    body_bytes: Gauge,
    draining: Gauge,
    revision: Gauge,
    profiles: Gauge,
    namespaces: Gauge,
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("spark_injector");
        let requests = Family::default();
        registry.register("admission_requests", "Reviews by outcome and reason", requests.clone());
        let duration = Histogram::new(DURATION_BUCKETS);
        let help = "Time from the headers of a review to its answer";
        registry.register_with_unit("admission_request_duration", help, Unit::Seconds, duration.clone());
        let namespaces = Namespaces::default();
        namespaces.register(&mut registry);
        let now = Gauges::register(&mut registry);
        let dropped_lines = Counter::default();
        let help = "Log lines that came faster than they could be written";
        registry.register("log_lines_dropped", help, dropped_lines.clone());
        let catalog_reloads = Family::default();
        let help = "Changes of the inputs, and attempts to read them that failed, by result";
        registry.register("catalog_reloads", help, catalog_reloads.clone());
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
        let not_before = Gauge::default();
        let help = "Since when the serving certificate is valid";
        registry.register_with_unit("tls_certificate_not_before", help, Unit::Seconds, not_before.clone());
        let not_after = Gauge::default();
        let help = "When the serving certificate expires";
        registry.register_with_unit("tls_certificate_not_after", help, Unit::Seconds, not_after.clone());
        let tls_reloads = Family::default();
        registry.register(
            "tls_reloads",
            "Changes of the serving certificate, by result",
            tls_reloads.clone(),
        );
        let delivery = DeliveryMetrics::register(&mut registry);
        let ports = Ports::default();
        ports.register(&mut registry);
        let strangers = Family::default();
        let help = "Callers that did not prove to be the API server, by what was missing";
        registry.register("client_authentication_failures", help, strangers.clone());
        let task_failures = Family::default();
        let help = "Defects that ended a task, which begins again; what is known stays in use";
        registry.register("task_failures", help, task_failures.clone());
        let tls_last_error = Gauge::default();
        let help = "When renewing or publishing certificates failed last, or had to be repaired; 0 for never";
        registry.register_with_unit("tls_last_error_timestamp", help, Unit::Seconds, tls_last_error.clone());
        let tls_bundle_mismatch = Gauge::default();
        let help =
            "1 while the caBundle of the webhook configuration does not verify the serving certificate";
        registry.register("tls_bundle_mismatch", help, tls_bundle_mismatch.clone());
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What is running", build);
        for result in [Reloaded::Ok, Reloaded::Error].map(Reloaded::label) {
            // Present from the start, so that an alert can tell "never" from "not measured".
            drop(Family::get_or_create(&catalog_reloads, &result));
            drop(Family::get_or_create(&tls_reloads, &result));
        }
        for reason in clients::REASONS {
            // An alert on the increase sees nothing of a series that begins with its first strangers.
            drop(Family::get_or_create(&strangers, &Refusal { reason }));
        }
        Self {
            registry: Mutex::new(registry),
            requests,
            duration,
            namespaces,
            now,
            dropped_lines,
            catalog_reloads,
            catalog_problems,
            last_reload,
            not_before,
            not_after,
            tls_reloads,
            tls_last_error,
            tls_bundle_mismatch,
            ports,
            delivery,
            strangers,
            task_failures,
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

    /// The certificate in use is valid from then until then.
    pub fn certificate_in_use(&self, not_before: SystemTime, not_after: SystemTime) {
        self.not_before.set(seconds(not_before));
        self.not_after.set(seconds(not_after));
    }

    /// The files of the certificate changed.
    pub fn certificate_reloaded(&self, reloaded: Reloaded) {
        self.tls_reloads.get_or_create(&reloaded.label()).inc();
    }

    pub(super) fn port(&self, port: &'static str) -> PortMetrics {
        self.ports.port(port)
    }

    /// Renewing or publishing certificates failed at `now`, or had to be repaired.
    pub fn certificate_trouble(&self, now: SystemTime) {
        self.tls_last_error.set(seconds(now));
    }

    /// Whether the published authorities do not verify the serving certificate.
    pub fn bundle_mismatch(&self, mismatch: bool) {
        self.tls_bundle_mismatch.set(mismatch.into());
    }

    /// A caller did not prove to be the API server.
    pub(super) fn stranger(&self, reason: &'static str) {
        self.strangers.get_or_create(&Refusal { reason }).inc();
    }

    /// Where the defects are counted that ended a task; from then on it is there with none.
    pub fn task_failures(&self, task: &'static str) -> Counter {
        self.task_failures.get_or_create_owned(&Task { task })
    }

    /// Where lines of the log are counted that were not written.
    pub fn dropped_lines(&self) -> Counter {
        self.dropped_lines.clone()
    }

    /// Lets another part of the process register its own. Nothing where a panic has broken the registry.
    pub fn register<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> Option<T> {
        self.registry.lock().ok().map(|mut registry| register(&mut registry))
    }

    pub(super) fn count(&self, record: &Record, took: Duration) {
        let Record { outcome, reason, .. } = record;
        self.requests.get_or_create(&Admission { outcome: outcome.as_str(), reason }).inc();
        self.namespaces.count(record);
        self.duration.observe(took.as_secs_f64());
    }

    /// The metrics in the `OpenMetrics` text format.
    pub(super) fn encode(&self, now: Now) -> Result<String, fmt::Error> {
        self.now.set(now);
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

impl Gauges {
    fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        let Self { in_flight, body_bytes, draining, revision, profiles, namespaces } = &gauges;
        for (name, help, gauge) in [
            ("admission_requests_in_flight", "Reviews that are being answered", in_flight),
            ("admission_body_bytes", "Bytes of reviews that are being read or judged", body_bytes),
            ("draining", "Whether the process is about to end", draining),
            ("catalog_revision", "How many catalogs have been in use since the start", revision),
            ("catalog_profiles", "Profiles that serve namespaces", profiles),
            ("catalog_namespaces", "Namespaces that opted in", namespaces),
        ] {
            registry.register(name, help, gauge.clone());
        }
        gauges
    }

    fn set(&self, now: Now) {
        let Self { in_flight, body_bytes, draining, revision, profiles, namespaces } = self;
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        in_flight.set(number(now.in_flight));
        body_bytes.set(number(now.body_bytes));
        draining.set(now.draining.into());
        revision.set(i64::try_from(now.revision).unwrap_or(i64::MAX));
        profiles.set(number(now.profiles));
        namespaces.set(number(now.namespaces));
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |age| age.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::{Answer, Outcome};

    #[test]
    fn every_metric_has_its_published_name() {
        let metrics = Metrics::new();
        let mut record = Answer::failed().record;
        (record.outcome, record.reason) = (Outcome::Injected, "profile");
        metrics.count(&record, Duration::from_micros(30));
        metrics.dropped_lines().inc();
        metrics.stranger("client_token");
        metrics.task_failures("inputs").inc();
        metrics.port("review").open(5);
        metrics.catalog_in_use(2, SystemTime::UNIX_EPOCH + Duration::from_secs(7));
        metrics.catalog_reloaded(Reloaded::Error);
        let after = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        metrics.certificate_in_use(after(8), after(9));
        metrics.certificate_reloaded(Reloaded::Ok);
        metrics.certificate_trouble(SystemTime::UNIX_EPOCH + Duration::from_secs(11));
        metrics.bundle_mismatch(true);
        let now =
            Now { in_flight: 1, body_bytes: 9_000, draining: true, revision: 3, profiles: 4, namespaces: 6 };
        let text = metrics.encode(now).unwrap();
        for line in [
            "spark_injector_admission_requests_total{outcome=\"injected\",reason=\"profile\"} 1",
            "spark_injector_admission_request_duration_seconds_bucket{le=\"0.00005\"} 1",
            "spark_injector_admission_requests_in_flight 1",
            "spark_injector_admission_body_bytes 9000",
            "spark_injector_admission_namespace_requests_total{namespace=\"other\",outcome=\"injected\"} 1",
            "spark_injector_draining 1",
            "spark_injector_catalog_revision 3",
            "spark_injector_catalog_profiles 4",
            "spark_injector_catalog_namespaces 6",
            "spark_injector_connections{port=\"review\"} 5",
            "spark_injector_log_lines_dropped_total 1",
            "spark_injector_client_authentication_failures_total{reason=\"client_token\"} 1",
            "spark_injector_task_failures_total{task=\"inputs\"} 1",
            "spark_injector_client_authentication_failures_total{reason=\"client_name\"} 0",
            "spark_injector_client_authentication_failures_total{reason=\"no_client_certificate\"} 0",
            "spark_injector_catalog_reloads_total{result=\"error\"} 1",
            "spark_injector_catalog_reloads_total{result=\"ok\"} 0",
            "spark_injector_catalog_problems 2",
            "spark_injector_catalog_last_reload_timestamp_seconds 7.0",
            "spark_injector_tls_certificate_not_before_seconds 8.0",
            "spark_injector_tls_certificate_not_after_seconds 9.0",
            "spark_injector_tls_reloads_total{result=\"ok\"} 1",
            "spark_injector_tls_last_error_timestamp_seconds 11.0",
            "spark_injector_tls_bundle_mismatch 1",
            concat!("spark_injector_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
