//! The plain port: whether the process lives, whether it may be sent requests, and what it counted.
//!
//! Apart from the TLS port, so that client authentication there does not lock out the kubelet's probes.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::App;

/// The routes of the plain port.
pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(app)
}

/// Depends on nothing: a restart would cure neither a bad certificate nor a bad profile.
async fn alive() -> &'static str {
    "ok\n"
}

async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    if app.drain.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: draining, the process is about to end\n")
    } else if !app.catalog.is_synced() {
        let message = "not ready: profiles, namespaces and sources are not all read yet; the log says what is missing\n";
        (StatusCode::SERVICE_UNAVAILABLE, message)
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let (status, content_type, text) = app.metrics.encode().map_or_else(
        |_| (StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "the metrics cannot be written\n".to_owned()),
        |text| (StatusCode::OK, openmetrics, text),
    );
    (status, [(header::CONTENT_TYPE, content_type)], text)
}
