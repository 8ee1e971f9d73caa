//! The body of a request, read with a limit on its size and on the time it takes.

use std::sync::atomic::{AtomicUsize, Ordering};
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

/// All bodies that are being read or judged together. Judging takes a few times their size, and an ordinary review has
/// some kilobytes: beyond this somebody floods us, or a rollout of giants is better answered one after the other.
const BUDGET: usize = 64 * 1024 * 1024;

/// The memory that bodies hold now.
#[derive(Debug, Default)]
pub(super) struct Budget(AtomicUsize);

/// One body, and its part of the budget for as long as it lives.
#[derive(Debug)]
pub(super) struct Held<'b> {
    pub(super) bytes: Vec<u8>,
    budget: &'b Budget,
}

/// Why a body is not read to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// Larger than the limit.
    TooLarge,
    /// Slower than the limit.
    TooSlow,
    /// Too much for now, together with the others.
    Busy,
    /// The caller went away, or what it sent is not HTTP.
    Broken,
}

/// Reads a body. Memory is taken as bytes arrive, never because of what a header promises.
pub(super) async fn read<'b>(
    body: Body,
    headers: &HeaderMap,
    uri: &Uri,
    budget: &'b Budget,
) -> Result<Held<'b>, Refusal> {
    let promised = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if promised.is_some_and(|length: u64| length > DISCARD_LIMIT as u64) {
        return Err(Refusal::TooLarge);
    }
    tokio::time::timeout(deadline(uri), collect(body, budget)).await.unwrap_or(Err(Refusal::TooSlow))
}

async fn collect(mut body: Body, budget: &Budget) -> Result<Held<'_>, Refusal> {
    let mut held = Held { bytes: Vec::new(), budget };
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refusal::Broken)?.into_data() else { continue };
        seen += data.len();
        if seen > DISCARD_LIMIT {
            return Err(Refusal::TooLarge);
        }
        if seen > BODY_LIMIT {
            held.clear();
        } else {
            held.extend(&data)?;
        }
    }
    if seen > BODY_LIMIT { Err(Refusal::TooLarge) } else { Ok(held) }
}

impl Held<'_> {
    fn extend(&mut self, data: &[u8]) -> Result<(), Refusal> {
        let before = self.budget.0.fetch_add(data.len(), Ordering::Relaxed);
        // Before the check: what was added to the budget is what `clear` takes from it.
        self.bytes.extend_from_slice(data);
        if before + data.len() > BUDGET { Err(Refusal::Busy) } else { Ok(()) }
    }

    fn clear(&mut self) {
        self.budget.0.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        self.bytes = Vec::new();
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.clear();
    }
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
        let (uri, budget) = ("/mutate".parse().unwrap(), Budget::default());
        let fits = read(Body::from(vec![0; BODY_LIMIT]), &HeaderMap::new(), &uri, &budget).await.unwrap();
        assert_eq!(fits.bytes.len(), BODY_LIMIT);
        let larger = read(Body::from(vec![0; BODY_LIMIT + 1]), &HeaderMap::new(), &uri, &budget).await;
        assert_eq!(larger.err(), Some(Refusal::TooLarge));
        assert_eq!(budget.0.load(Ordering::Relaxed), BODY_LIMIT);
    }

    #[tokio::test]
    async fn all_bodies_share_a_budget() {
        let (uri, budget) = ("/mutate".parse().unwrap(), Budget::default());
        let none = HeaderMap::new();
        let one = || read(Body::from(vec![0; BODY_LIMIT]), &none, &uri, &budget);
        let mut held = Vec::new();
        while held.len() < BUDGET / BODY_LIMIT {
            held.push(one().await.unwrap());
        }
        assert_eq!(one().await.err(), Some(Refusal::Busy));
        drop(held.pop());
        held.push(one().await.unwrap());
        drop(held);
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }
}
