//! `POST /mutate` and `POST /isolate`: from an HTTP request to the engine and back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::post;

use super::body::{self, BODY_LIMIT, Refusal};
use super::record;
use super::{App, Reviewer};
use crate::admit::{Answer, Outcome};

/// The routes of the TLS port.
pub(super) fn routes(app: App) -> Router {
    let closing = axum::middleware::map_response_with_state(app.clone(), close_while_draining);
    Router::new()
        .route("/mutate", post(mutate))
        .route("/isolate", post(isolate))
        .fallback(unknown)
        .layer(closing)
        .with_state(app)
}

async fn mutate(State(app): State<App>, request: Request) -> Response {
    let reviewer = app.reviewer;
    review(app, request, reviewer).await
}

async fn isolate(State(app): State<App>, request: Request) -> Response {
    review(app, request, crate::admit::isolate).await
}

async fn review(app: App, request: Request, reviewer: Reviewer) -> Response {
    let started = Instant::now();
    let _running = app.drain.enter();
    let _counted = app.metrics.enter();
    let answer = answer(&app, request, reviewer).await;
    record::emit(&app.metrics, &answer.record, started.elapsed());
    respond(answer)
}

async fn answer(app: &App, request: Request, reviewer: Reviewer) -> Answer {
    let (parts, body) = request.into_parts();
    if !is_json(&parts.headers) {
        let message = "the content type has to be application/json\n";
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", message);
    }
    let held = match body::read(body, &parts.headers, &parts.uri, &app.budget).await {
        Ok(held) => held,
        Err(Refusal::TooLarge) => {
            let message = format!("a review has at most {BODY_LIMIT} bytes\n");
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, "too_large", &message);
        }
        Err(Refusal::TooSlow) => {
            return refuse(StatusCode::REQUEST_TIMEOUT, "too_slow", "the body did not arrive in time\n");
        }
        Err(Refusal::Busy) => {
            let mut answer = refuse(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many reviews at once\n");
            answer.record.outcome = Outcome::Unavailable;
            answer.retry = true;
            return answer;
        }
        Err(Refusal::Broken) => {
            return refuse(StatusCode::BAD_REQUEST, "broken", "the body ended too early\n");
        }
    };
    let catalog = app.catalog.load();
    // A defect must cost one request, not the process. Nothing that the engine shares can be half-changed: it is pure.
    catch_unwind(AssertUnwindSafe(|| reviewer(&catalog, &held.bytes))).unwrap_or_else(|_| Answer::failed())
}

fn respond(answer: Answer) -> Response {
    let Answer { status, retry, body, record: _ } = answer;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let content_type =
        if status == StatusCode::OK { "application/json" } else { "text/plain; charset=utf-8" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if retry {
        // The API server tries again within its timeout; on a new connection it may reach another replica.
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if retry || status.is_client_error() {
        // After a refusal the rest of a body may still be on its way: the connection cannot be used again.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn refuse(status: StatusCode, reason: &'static str, message: &str) -> Answer {
    let mut answer = Answer::malformed(message);
    answer.status = status.as_u16();
    answer.record.reason = reason;
    answer
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
}

async fn unknown() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "not found; reviews are posted to /mutate and /isolate\n")
}

async fn close_while_draining(State(app): State<App>, mut response: Response) -> Response {
    if app.drain.is_draining() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::Catalog;
    use crate::server::DrainTimes;
    use crate::server::drain::Drain;
    use crate::server::metrics::Metrics;
    use crate::sources::live::LiveCatalog;

    fn defective(_: &Catalog, body: &[u8]) -> Answer {
        assert!(body != b"s3cr3t", "a defect that quotes s3cr3t");
        Answer::malformed("understood")
    }

    #[tokio::test]
    async fn a_defect_costs_one_request() {
        let app = App {
            catalog: LiveCatalog::default(),
            metrics: Arc::new(Metrics::new()),
            drain: Arc::new(Drain::new(DrainTimes::default())),
            budget: Arc::default(),
            reviewer: defective,
        };
        let ask = |body: &'static str| {
            let request = Request::post("/mutate").header("content-type", "application/json");
            answer(&app, request.body(Body::from(body)).unwrap(), app.reviewer)
        };
        let failed = ask("s3cr3t").await;
        assert_eq!((failed.status, failed.retry), (500, false));
        assert!(!String::from_utf8(failed.body).unwrap().contains("s3cr3t"));
        assert_eq!(ask("{}").await.status, 400);
    }

    #[test]
    fn the_content_type_may_have_parameters() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
            is_json(&headers)
        };
        assert!(of("application/json") && of("Application/JSON; charset=utf-8"));
        assert!(!of("text/plain") && !of("application/jsonp") && !of(""));
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn only_what_may_be_repeated_says_so() {
        let mut busy = refuse(StatusCode::SERVICE_UNAVAILABLE, "busy", "later\n");
        busy.retry = true;
        let response = respond(busy);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CONNECTION], "close");
        let response = respond(Answer::failed());
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!response.headers().contains_key(header::RETRY_AFTER));
    }
}
