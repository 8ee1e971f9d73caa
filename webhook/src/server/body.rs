//! The body of a request, read with a limit on its size and on the time it takes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Uri, header};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::time::Instant;

/// A review carries up to two objects of at most 3 MiB each, and JSON is larger than what etcd counts; the same limit
/// as controller-runtime's.
pub(super) const BODY_LIMIT: usize = 7 * 1024 * 1024;

/// How much of a body that is not taken is read and dropped: an answer to a caller that is still writing is lost to it
/// when the connection is reset, and with it the word to come back. Beyond this nobody is waiting for an answer.
const DISCARD_LIMIT: usize = 32 * 1024 * 1024;

/// What is set aside at most because of what a header promises, more only as bytes arrive; and what is read of strangers.
const TRUSTED: usize = 64 * 1024;

/// How long somebody who was refused may go on sending.
const LINGER: Duration = Duration::from_secs(1);

/// An answer that leaves this long before the caller stops listening arrives.
const MARGIN: Duration = Duration::from_millis(200);

/// The memory that bodies hold now, and how much that may be.
#[derive(Debug)]
pub(super) struct Budget {
    held: AtomicUsize,
    limit: usize,
}

/// One body, and its part of the budget for as long as it lives.
#[derive(Debug)]
pub(super) struct Held<'b> {
    pub(super) bytes: Bytes,
    /// Its part of the budget.
    _share: Share<'b>,
}

#[derive(Debug)]
struct Share<'b> {
    budget: &'b Budget,
    bytes: usize,
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

/// When an answer is due. The API server says in `timeout=5s` when it stops listening: nothing is gained by working
/// longer.
pub(super) fn deadline(uri: &Uri, now: Instant, limit: Duration) -> Instant {
    let mut parameters = uri.query().unwrap_or_default().split('&');
    let seconds = parameters.find_map(|parameter| parameter.strip_prefix("timeout=")?.strip_suffix('s'));
    let asked = seconds.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let asked = asked.map_or(limit, |asked| asked.saturating_sub(MARGIN).max(MARGIN));
    now + asked.min(limit)
}

/// Reads a body.
pub(super) async fn read<'b>(
    body: impl Body<Data = Bytes>,
    headers: &HeaderMap,
    deadline: Instant,
    budget: &'b Budget,
) -> Result<Held<'b>, Refusal> {
    let promised = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if promised.is_some_and(|length: usize| length > DISCARD_LIMIT) {
        return Err(Refusal::TooLarge);
    }
    let collected = collect(body, promised.unwrap_or_default(), budget);
    tokio::time::timeout_at(deadline, collected).await.unwrap_or(Err(Refusal::TooSlow))
}

/// Reads an ordinary body of somebody who is refused whatever it is, and drops it. An API server that is still writing when
/// its connection ends tells of a broken pipe, and not what we have to say.
pub(super) async fn pass_over(body: impl Body<Data = Bytes>) {
    let mut body = std::pin::pin!(body);
    let mut left = TRUSTED;
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            let size = frame.data_ref().map_or(0, Bytes::len);
            let Some(less) = left.checked_sub(size) else { return };
            left = less;
        }
    };
    drop(tokio::time::timeout(LINGER, rest).await);
}

async fn collect(
    body: impl Body<Data = Bytes>,
    promised: usize,
    budget: &Budget,
) -> Result<Held<'_>, Refusal> {
    let mut body = std::pin::pin!(body);
    let mut share = Share { budget, bytes: 0 };
    // Most bodies come in one piece, which is used where it is.
    let mut first = Bytes::new();
    let mut all = Vec::new();
    let mut seen = 0;
    let mut refusal = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refusal::Broken)?.into_data() else { continue };
        seen += data.len();
        if seen > DISCARD_LIMIT {
            return Err(Refusal::TooLarge);
        }
        if seen > BODY_LIMIT {
            refusal = Some(Refusal::TooLarge);
        } else if refusal.is_none() && !share.take(data.len()) {
            refusal = Some(Refusal::Busy);
        }
        if refusal.is_some() {
            (first, all) = (Bytes::new(), Vec::new());
            share.give_back();
        } else if seen == data.len() {
            first = data;
        } else {
            if all.is_empty() {
                all.reserve(promised.min(TRUSTED));
                all.extend_from_slice(&first);
                first = Bytes::new();
            }
            all.extend_from_slice(&data);
        }
    }
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    let bytes = if all.is_empty() { first } else { all.into() };
    Ok(Held { bytes, _share: share })
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { held: AtomicUsize::new(0), limit }
    }

    /// How much bodies hold now.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Share<'_> {
    /// Whether there was room for so much.
    fn take(&mut self, bytes: usize) -> bool {
        let before = self.budget.held.fetch_add(bytes, Ordering::Relaxed);
        // Before the check: what was added to the budget is given back also when it was too much.
        self.bytes += bytes;
        before + bytes <= self.budget.limit
    }

    fn give_back(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = 0;
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Body;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    const BUDGET: usize = 64 * 1024 * 1024;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[tokio::test]
    async fn the_deadline_is_the_callers_where_that_is_sooner() {
        let now = Instant::now();
        let of = |uri: &str| {
            let limit = Duration::from_secs(10);
            (deadline(&uri.parse().unwrap(), now, limit) - now).as_millis()
        };
        assert_eq!(of("/mutate?timeout=5s"), 4_800);
        assert_eq!(of("/mutate?x=1&timeout=30s"), 10_000);
        assert_eq!(of("/mutate?timeout=0s"), 200);
        assert_eq!(of("/mutate?timeout=5m"), 10_000);
        assert_eq!(of("/mutate"), 10_000);
    }

    #[tokio::test]
    async fn the_limit_is_exact() {
        let (none, budget) = (HeaderMap::new(), Budget::new(BUDGET));
        let fits = read(Body::from(vec![0; BODY_LIMIT]), &none, soon(), &budget).await.unwrap();
        assert_eq!(fits.bytes.len(), BODY_LIMIT);
        let larger = read(Body::from(vec![0; BODY_LIMIT + 1]), &none, soon(), &budget).await;
        assert_eq!(larger.err(), Some(Refusal::TooLarge));
        assert_eq!(budget.held(), BODY_LIMIT);
    }

    #[tokio::test]
    async fn pieces_are_put_together() {
        let pieces = ["a review ", "", "in ", "pieces"].map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
        let body = Body::from_stream(futures::stream::iter(pieces));
        let (none, budget) = (HeaderMap::new(), Budget::new(BUDGET));
        let held = read(body, &none, soon(), &budget).await.unwrap();
        assert_eq!(held.bytes, "a review in pieces");
    }

    #[tokio::test]
    async fn what_there_is_no_room_for_is_read_to_its_end_and_held_by_nobody() {
        let (none, budget) = (HeaderMap::new(), Budget::new(10));
        let read_to = std::cell::Cell::new(0);
        let pieces = (0..8).map(|piece| {
            read_to.set(piece);
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"12345678")))
        });
        let body = StreamBody::new(futures::stream::iter(pieces));
        assert_eq!(read(body, &none, soon(), &budget).await.err(), Some(Refusal::Busy));
        assert_eq!((read_to.get(), budget.held()), (7, 0));
    }

    #[tokio::test]
    async fn all_bodies_share_a_budget() {
        let (none, budget) = (HeaderMap::new(), Budget::new(BUDGET));
        let one = || read(Body::from(vec![0; BODY_LIMIT]), &none, soon(), &budget);
        let mut held = Vec::new();
        while held.len() < BUDGET / BODY_LIMIT {
            held.push(one().await.unwrap());
        }
        assert_eq!(one().await.err(), Some(Refusal::Busy));
        drop(held.pop());
        held.push(one().await.unwrap());
        drop(held);
        assert_eq!(budget.held(), 0);
    }
}
