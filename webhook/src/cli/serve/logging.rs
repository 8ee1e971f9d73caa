//! Where log lines go and what they look like.

use std::io;

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::args::{LogArgs, LogLevel, LogLook};
use crate::server::metrics::Metrics;
use crate::server::{AdmissionLog, Log, LogFormat, Writer};

/// The log of the process.
pub(super) struct Logging {
    /// For the admissions, which go past `tracing`.
    pub(super) admissions: AdmissionLog,
    /// To be kept until the last line.
    pub(super) writer: Writer,
}

/// Lines on the standard error, and panics among them without their text, which may quote a request.
pub(super) fn start(args: &LogArgs, metrics: &Metrics) -> io::Result<Logging> {
    let LogArgs { log_format, log_level } = args;
    let log = Log::default();
    let writer = log.clone().write_to(io::stderr(), metrics.dropped_lines())?;
    // A debug line tells how long IO took; at other levels there are no spans, which cost next to nothing then.
    let spans = if *log_level == LogLevel::Debug { FmtSpan::CLOSE } else { FmtSpan::NONE };
    let subscriber = tracing_subscriber::fmt()
        .with_span_events(spans)
        .with_ansi(false)
        .with_env_filter(filter(*log_level))
        .with_writer(log.clone());
    // Fails only where a subscriber is set already, in a test.
    let format = match log_format {
        LogLook::Json => {
            let subscriber =
                subscriber.json().flatten_event(true).with_current_span(true).with_span_list(false);
            drop(tracing::subscriber::set_global_default(subscriber.finish().with(filter_fn(is_tellable))));
            LogFormat::Json
        }
        LogLook::Text => {
            drop(tracing::subscriber::set_global_default(subscriber.finish().with(filter_fn(is_tellable))));
            LogFormat::Text
        }
    };
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "panic: a defect of spark-injector");
    }));
    Ok(Logging { admissions: AdmissionLog { log, format }, writer })
}

fn filter(level: LogLevel) -> EnvFilter {
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
    };
    let filter = EnvFilter::builder().with_env_var("SPARK_INJECTOR_LOG").with_default_directive(level.into());
    // Below us nothing is worth a line of its own at debug.
    let others = ["hyper=info", "hyper_util=info", "rustls=info", "tower=info"];
    let others = others.iter().filter(|_| level == Level::DEBUG).filter_map(|rule| rule.parse().ok());
    others.fold(filter.from_env_lossy(), EnvFilter::add_directive)
}

/// Below errors the client of the API server writes its answers, Secrets among them; and every failure once more. Nobody can
/// ask for that: this is beside the filter that is configured, not a rule in it, of which a closer one would win.
fn is_tellable(metadata: &Metadata<'_>) -> bool {
    !metadata.target().starts_with("kube_") || *metadata.level() == Level::ERROR
}
