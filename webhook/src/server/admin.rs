//! The plain port: whether the process lives, whether it may be sent requests, and what it counted.
//!
//! Apart from the TLS port, so that client authentication there does not lock out the kubelet's probes.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::body::Incoming;
use rustls::pki_types::CertificateDer;
use tower_service::Service as _;

use super::App;
use super::clients::Certificate;
use super::connections::Handler;

/// The routes of the plain port.
#[derive(Clone)]
pub(super) struct Admin(Router);

impl Admin {
    pub(super) fn new(app: Arc<App>) -> Self {
        let routes = Router::new()
            .route("/livez", get(alive))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(app);
        Self(routes)
    }
}

impl Handler for Admin {
    type Body = Body;

    /// Everybody may ask, and nothing is asked of them.
    fn certificate(&self, _: Option<&[CertificateDer<'_>]>) -> Certificate {
        Certificate::Good
    }

    async fn handle(&self, request: Request<Incoming>, _: Certificate) -> Response<Body> {
        // A router is always ready, and cannot fail.
        let Ok(response) = self.0.clone().call(request).await;
        response
    }
}

/// Depends on nothing: a restart would cure neither a bad certificate nor a bad profile.
async fn alive() -> &'static str {
    "ok\n"
}

async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Cow<'static, str>) {
    let not_ready = |why: &'static str| (StatusCode::SERVICE_UNAVAILABLE, Cow::Borrowed(why));
    if app.drain.is_draining() {
        not_ready("not ready: draining, the process is about to end\n")
    } else if !app.catalog.is_synced() {
        not_ready(
            "not ready: profiles, namespaces and sources are not all read yet; the log says what is missing\n",
        )
    } else if let Some(trouble) = app.health.trouble() {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {trouble}\n").into())
    } else {
        (StatusCode::OK, "ok\n".into())
    }
}

async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let (status, content_type, text) = app.metrics.encode(app.now()).map_or_else(
        |_| (StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "the metrics cannot be written\n".to_owned()),
        |text| (StatusCode::OK, openmetrics, text),
    );
    (status, [(header::CONTENT_TYPE, content_type)], text)
}
