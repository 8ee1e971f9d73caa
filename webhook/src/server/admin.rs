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
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: draining, the process is about to end\n",
        )
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn metrics(State(app): State<App>) -> impl IntoResponse {
    match app.metrics.encode() {
        Ok(text) => {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            (StatusCode::OK, [(header::CONTENT_TYPE, content_type)], text)
        }
        Err(_) => {
            let message = "the metrics cannot be written\n".to_owned();
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                [(header::CONTENT_TYPE, "text/plain")],
                message,
            )
        }
    }
}
