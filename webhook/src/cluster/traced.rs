//! A span around every request to the API server: one place for watches and lists, sources that are read, Secrets that
//! are delivered, Leases that are renewed and bundles that are published.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, debug_span};

/// Puts requests into spans.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace;

/// A service whose requests are in spans.
#[derive(Clone, Debug)]
pub(super) struct Traced<S>(S);

impl<S> Layer<S> for Trace {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        Traced(inner)
    }
}

impl<S, A, B> Service<Request<A>> for Traced<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    /// From the request to the head of its answer. Names of objects are in a path; a query, a body and an answer stay
    /// out of the log.
    fn call(&mut self, request: Request<A>) -> Self::Future {
        let (method, path) = (request.method(), request.uri().path());
        let span = debug_span!("api_call", %method, path, status = Empty);
        let answered = self.0.call(request);
        let noted = async move {
            let answered = answered.await;
            if let Ok(response) = &answered {
                Span::current().record("status", response.status().as_u16());
            }
            answered
        };
        Box::pin(noted.instrument(span))
    }
}
