//! How much and how long: every bound of the server in one place.

use std::time::Duration;

/// Bounds on what callers may take. The defaults are for an API server in the same cluster.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the connection to the end of the TLS handshake. The API server needs milliseconds.
    pub handshake: Duration,
    /// From the first byte of a request to the end of its headers.
    pub headers: Duration,
    /// From the end of the headers to the end of the body, and never longer than the caller itself waits. The API
    /// server sends a body in one go.
    pub body: Duration,
    /// From an answer to its last byte in the network, for callers that ask and do not read.
    pub write: Duration,
    /// Between two requests. The API server keeps idle connections for 90 s (Go's default) and does not repeat a POST
    /// that dies with EOF, so we must be the slower one.
    pub idle: Duration,
    /// How old a connection gets, give or take a fifth, before an answer says that it was the last: new replicas get
    /// their share.
    pub age: Duration,
    /// Connections at the same time. An API server keeps at most 25, and opens more for a burst: by default it has 600
    /// requests under way. Room for many more, or callers who are slow on purpose leave none for it. Each takes up to 390 kB
    /// if it asks and asks and never reads.
    pub connections: usize,
    /// Bytes of bodies that are being read or judged at the same time. Judging takes a few times their size, and an
    /// ordinary review has some kilobytes: beyond this somebody floods us, or a rollout of giants is better answered
    /// one after the other.
    pub bodies: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            headers: Duration::from_secs(10),
            body: Duration::from_secs(10),
            write: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            age: Duration::from_secs(300),
            connections: 2_000,
            bodies: 64 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// How often deadlines are looked at: fine enough for the shortest of them.
    pub(super) fn tick(&self) -> Duration {
        let Self { handshake, headers, body: _, write, idle, age, connections: _, bodies: _ } = *self;
        let shortest = handshake.min(headers).min(write).min(idle).min(age);
        (shortest / 8).clamp(Duration::from_millis(5), Duration::from_millis(250))
    }
}
