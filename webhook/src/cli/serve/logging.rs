//! Where log lines go and what they look like.

use tracing_subscriber::EnvFilter;

/// JSON lines on the standard error, and panics among them without their text, which may quote a request.
pub(super) fn start() {
    let filter = EnvFilter::builder()
        .with_env_var("SPARK_INJECTOR_LOG")
        .with_default_directive(tracing::Level::INFO.into());
    let filter = filter.from_env_lossy();
    // At other levels they write answers of the API server, Secrets among them; and every failure once more.
    let quiet = ["kube_client=error", "kube_runtime=error"].iter().filter_map(|rule| rule.parse().ok());
    let filter = quiet.fold(filter, EnvFilter::add_directive);
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .finish();
    // Fails only where a subscriber is set already, in a test.
    drop(tracing::subscriber::set_global_default(subscriber));
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "panic: a defect of spark-injector");
    }));
}
