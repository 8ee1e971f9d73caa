//! `POST /mutate` and `POST /isolate`: from an HTTP request to the engine and back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::{Body, Incoming};
use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, timeout_at};

use super::body::{self, BODY_LIMIT, Refusal};
use super::clients::{Certificate, Stranger};
use super::connections::Handler;
use super::frames::Frames;
use super::record;
use super::{App, Reviewer};
use crate::admit::{Answer, Outcome};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// How long a request waits for a catalog that can answer it.
const PATIENCE: Duration = Duration::from_millis(500);

impl Handler for Arc<App> {
    type Body = Frames;

    fn certificate(&self, chain: Option<&[CertificateDer<'_>]>) -> Certificate {
        self.clients.certificate(chain)
    }

    async fn handle(&self, request: Request<Incoming>, certificate: Certificate) -> Response<Frames> {
        let mut response = match (request.uri().path(), request.method()) {
            ("/mutate", &Method::POST) => review(self, request, certificate, self.reviewer).await,
            ("/isolate", &Method::POST) => review(self, request, certificate, crate::admit::isolate).await,
            ("/mutate" | "/isolate", _) => {
                let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "reviews are posted\n");
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
                response
            }
            _ => plain(StatusCode::NOT_FOUND, "not found; reviews are posted to /mutate and /isolate\n"),
        };
        if self.drain.is_draining() {
            close(&mut response);
        }
        response
    }
}

async fn review(
    app: &App,
    request: Request<Incoming>,
    certificate: Certificate,
    reviewer: Reviewer,
) -> Response<Frames> {
    let started = Instant::now();
    let _running = app.drain.enter();
    let answer = match app.clients.admit(certificate, request.headers()) {
        Ok(()) => answer(app, request, reviewer, started).await,
        Err(Stranger { status, reason, message }) => {
            app.metrics.stranger(reason);
            // Beside the answer, which is not waited with: the connection ends when the body has, or is given up.
            tokio::spawn(body::pass_over(request.into_body()));
            refuse(status, reason, message)
        }
    };
    record::emit(&app.metrics, app.log.as_ref(), &answer.record, started.elapsed());
    respond(answer)
}

async fn answer<B: Body<Data = Bytes>>(
    app: &App,
    request: Request<B>,
    reviewer: Reviewer,
    started: Instant,
) -> Answer {
    let (parts, body) = request.into_parts();
    if !is_json(&parts.headers) {
        let message = "the content type has to be application/json\n";
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", message);
    }
    let deadline = body::deadline(&parts.uri, started, app.limits.body);
    let held = match body::read(body, &parts.headers, deadline, &app.budget).await {
        Ok(held) => held,
        Err(refusal) => return refused(refusal),
    };
    match judge(app, reviewer, &held.bytes) {
        Some(answer) if !answer.may_be_behind() => answer,
        _ => judge_later(app, reviewer, &held.bytes, deadline).await,
    }
}

/// Judges with the catalog in use; nothing as long as there is none.
fn judge(app: &App, reviewer: Reviewer, body: &[u8]) -> Option<Answer> {
    if !app.catalog.is_synced() {
        return None;
    }
    let catalog = app.catalog.load();
    // A defect must cost one request, not the process. Nothing that the engine shares can be half-changed: it is pure.
    Some(catch_unwind(AssertUnwindSafe(|| reviewer(&catalog, body))).unwrap_or_else(|_| Answer::failed()))
}

/// Judges with each catalog that comes, until one of them knows enough or the caller has waited long enough: a pod may
/// be created in the moment after its namespace was, or was labelled, and the API server is the first to know of both.
async fn judge_later(app: &App, reviewer: Reviewer, body: &[u8], deadline: Instant) -> Answer {
    let patience = deadline.min(Instant::now() + PATIENCE);
    // Before the first look: a catalog that comes after it is heard of.
    let mut changes = app.catalog.changes();
    loop {
        let answer = judge(app, reviewer, body).unwrap_or_else(|| {
            later("not_synced", "spark-injector has not read its profiles and namespaces yet\n")
        });
        if !answer.may_be_behind() || !matches!(timeout_at(patience, changes.changed()).await, Ok(Ok(()))) {
            return answer;
        }
    }
}

/// The answer to a request whose body was not read.
fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::TooLarge => {
            let message = format!("a review has at most {BODY_LIMIT} bytes\n");
            refuse(StatusCode::PAYLOAD_TOO_LARGE, "too_large", &message)
        }
        Refusal::TooSlow => {
            refuse(StatusCode::REQUEST_TIMEOUT, "too_slow", "the body did not arrive in time\n")
        }
        Refusal::Busy => later("busy", "too many reviews at once\n"),
        Refusal::Broken => refuse(StatusCode::BAD_REQUEST, "broken", "the body ended too early\n"),
    }
}

fn respond(answer: Answer) -> Response<Frames> {
    let Answer { status, retry, body, record: _ } = answer;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Frames::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, if status == StatusCode::OK { JSON } else { TEXT });
    if retry {
        // The API server tries again within its timeout; on a new connection it may reach another replica.
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if retry || status.is_client_error() {
        // After a refusal the rest of a body may still be on its way: the connection cannot be used again.
        close(&mut response);
    }
    response
}

fn close(response: &mut Response<Frames>) {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// A refusal that may be over in a moment: the API server tries again.
fn later(reason: &'static str, message: &str) -> Answer {
    let mut answer = refuse(StatusCode::SERVICE_UNAVAILABLE, reason, message);
    answer.record.outcome = Outcome::Unavailable;
    answer.retry = true;
    answer
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

fn plain(status: StatusCode, message: &'static str) -> Response<Frames> {
    let mut response = Response::new(Frames::from(message));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, TEXT);
    // There may be a body, and nobody reads it.
    close(&mut response);
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;
    use crate::catalog::Catalog;
    use crate::sources::live::LiveCatalog;

    fn defective(_: &Catalog, body: &[u8]) -> Answer {
        assert!(body != b"s3cr3t", "a defect that quotes s3cr3t");
        Answer::malformed("understood")
    }

    #[tokio::test]
    async fn a_defect_costs_one_request() {
        let app = App::with(LiveCatalog::of(Catalog::default()), defective);
        let ask = |body: &'static str| {
            let request = Request::post("/mutate").header("content-type", "application/json");
            answer(&app, request.body(Full::from(body)).unwrap(), app.reviewer, Instant::now())
        };
        let failed = ask("s3cr3t").await;
        assert_eq!((failed.status, failed.retry), (500, false));
        assert!(!String::from_utf8(failed.body.to_vec()).unwrap().contains("s3cr3t"));
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
        let response = respond(later("busy", "later\n"));
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CONNECTION], "close");
        let response = respond(Answer::failed());
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!response.headers().contains_key(header::RETRY_AFTER));
    }
}
