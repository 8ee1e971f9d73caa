//! The body of a request, read with a limit on its size and on the time it takes.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Uri, header};
use http_body_util::BodyExt as _;

/// A review carries up to two objects of at most 3 MiB each, and JSON is larger than what etcd counts; the same limit
/// as controller-runtime's.
pub(super) const BODY_LIMIT: usize = 7 * 1024 * 1024;

/// How much of a body that is too large is read and dropped: an answer to a caller that is still writing is lost to it
/// when the connection is reset. Beyond this nobody is waiting for an answer.
const DISCARD_LIMIT: usize = 32 * 1024 * 1024;

/// The API server sends a body in one go.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Why a body is not read to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// Larger than the limit.
    TooLarge,
    /// Slower than the limit.
    TooSlow,
    /// The caller went away, or what it sent is not HTTP.
    Broken,
}

/// Reads a body. Memory is taken as bytes arrive, never because of what a header promises.
pub(super) async fn read(body: Body, headers: &HeaderMap, uri: &Uri) -> Result<Vec<u8>, Refusal> {
    let promised = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if promised.is_some_and(|length: u64| length > DISCARD_LIMIT as u64) {
        return Err(Refusal::TooLarge);
    }
    tokio::time::timeout(deadline(uri), collect(body)).await.unwrap_or(Err(Refusal::TooSlow))
}

async fn collect(mut body: Body) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refusal::Broken)?.into_data() else { continue };
        seen += data.len();
        if seen > DISCARD_LIMIT {
            return Err(Refusal::TooLarge);
        }
        if seen > BODY_LIMIT {
            bytes = Vec::new();
        } else {
            bytes.extend_from_slice(&data);
        }
    }
    if seen > BODY_LIMIT { Err(Refusal::TooLarge) } else { Ok(bytes) }
}

/// The API server says in `timeout=5s` when it stops listening; nothing is gained by reading longer.
fn deadline(uri: &Uri) -> Duration {
    let mut parameters = uri.query().unwrap_or_default().split('&');
    let seconds = parameters.find_map(|parameter| parameter.strip_prefix("timeout=")?.strip_suffix('s'));
    let asked = seconds.and_then(|seconds| seconds.parse().ok()).map_or(BODY_TIME, Duration::from_secs);
    asked.clamp(Duration::from_secs(1), BODY_TIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_is_the_callers_where_that_is_sooner() {
        let of = |uri: &str| deadline(&uri.parse().unwrap()).as_secs();
        assert_eq!(of("/mutate?timeout=5s"), 5);
        assert_eq!(of("/mutate?x=1&timeout=30s"), 10);
        assert_eq!(of("/mutate?timeout=0s"), 1);
        assert_eq!(of("/mutate?timeout=5m"), 10);
        assert_eq!(of("/mutate"), 10);
    }

    #[tokio::test]
    async fn the_limit_is_exact() {
        let uri = "/mutate".parse().unwrap();
        let fits = read(Body::from(vec![0; BODY_LIMIT]), &HeaderMap::new(), &uri).await;
        assert_eq!(fits.unwrap().len(), BODY_LIMIT);
        let larger = read(Body::from(vec![0; BODY_LIMIT + 1]), &HeaderMap::new(), &uri).await;
        assert_eq!(larger, Err(Refusal::TooLarge));
    }
}
