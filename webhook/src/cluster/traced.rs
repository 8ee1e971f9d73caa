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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{Ready, ready};
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::format::FmtSpan;

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Answers everything.
    struct Answers;

    impl Service<Request<&'static str>> for Answers {
        type Response = Response<&'static str>;
        type Error = Infallible;
        type Future = Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<&'static str>) -> Self::Future {
            ready(Ok(Response::new("s3cr3t of an answer")))
        }
    }

    #[tokio::test]
    async fn a_request_is_named_and_not_quoted() {
        let log = Lines::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG);
        let subscriber = subscriber.with_ansi(false).with_span_events(FmtSpan::CLOSE);
        let guard = tracing::subscriber::set_default(subscriber.with_writer(move || writer.clone()).finish());
        let request = Request::get("/api/v1/secrets/a?token=s3cr3t").body("s3cr3t of a request").unwrap();
        assert_eq!(Trace.layer(Answers).call(request).await.unwrap().status(), 200);
        drop(guard);
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains(r#"api_call{method=GET path="/api/v1/secrets/a" status=200}"#), "{text}");
        assert!(text.contains("time.busy=") && !text.contains("s3cr3t"), "{text}");
    }
}
