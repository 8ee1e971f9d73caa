//! The connections of one port: accepted, counted, watched, ended.
//!
//! One task owns them all. It is why a port survives what callers do: connections that take too long are ended, at the
//! limit a stranger gives way to a new one, and when the process is out of descriptors it waits for some.

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderValue, Request, Response, header};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, copy_buf, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{self, AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::activity::{Activity, Clock, Deadlines, Looks, Phase, Watched};
use super::clients::Certificate;
use super::drain::Stop;
use super::limits::Limits;
use super::metrics::{Ended, PortMetrics};
use super::tls::Tls;

/// A bearer token has one or two kilobytes, everything else in a header less.
const HEADER_LIMIT: usize = 32 * 1024;

/// The review of a Spark pod has 5 to 12 KB and comes as one record of TLS: one system call instead of one for every
/// 4 KiB. A larger one takes a second call; a buffer for the largest record would be another page of each connection.
const READ_AHEAD: usize = 12 * 1024;

/// How long connections that are still busy after the drain may go on.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// How long a client whose handshake failed has for reading why, and how much of what it has sent meanwhile is read.
const LINGER: Duration = Duration::from_secs(1);
const LAST_WORDS: u64 = 64 * 1024;

/// How many looks at the connections an exhausted process waits before it accepts again.
const PAUSE: u64 = 2;

/// What answers the requests of a port.
pub(super) trait Handler: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;

    /// Judges what a client showed in its handshake.
    fn certificate(&self, chain: Option<&[CertificateDer<'_>]>) -> Certificate;

    /// Answers one request of a client.
    fn handle(
        &self,
        request: Request<Incoming>,
        certificate: Certificate,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// A socket that is about to be served.
pub(super) struct Port {
    pub(super) listener: TcpListener,
    /// Plain without.
    pub(super) tls: Option<Tls>,
    pub(super) limits: Limits,
    pub(super) metrics: PortMetrics,
}

impl Port {
    /// Serves until it is told to end; gently means that requests under way get their answers.
    pub(super) async fn serve(self, handler: impl Handler, mut stop: watch::Receiver<Stop>) {
        let mut ticks = interval(self.limits.tick());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut open = Connections::new(&self.limits, self.metrics);
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|asked| *asked != Stop::Serve) => break,
                Some(ended) = open.tasks.join_next_with_id() => open.forget(ended),
                _ = ticks.tick() => open.look(),
                accepted = self.listener.accept(), if open.is_accepting() => match accepted {
                    Ok((stream, _)) => open.welcome(stream, self.tls.as_ref(), &handler),
                    Err(error) => open.cannot_accept(&error),
                },
            }
        }
        drop(self.listener);
        open.end(stop, ticks).await;
    }
}

/// The open connections.
struct Connections {
    limit: usize,
    clock: Arc<Clock>,
    looks: Looks,
    deadlines: Deadlines,
    metrics: PortMetrics,
    http: Arc<http1::Builder>,
    tasks: JoinSet<()>,
    entries: HashMap<task::Id, Entry>,
    accepted: u64,
    /// Until when nothing is accepted.
    paused: u64,
    /// Whether it was said already that there are too many connections, or too few descriptors.
    said: bool,
}

struct Entry {
    activity: Arc<Activity>,
    task: AbortHandle,
}

impl Connections {
    fn new(limits: &Limits, metrics: PortMetrics) -> Self {
        let mut http = http1::Builder::new();
        // The deadlines are ours: hyper has one clock for idle connections and for headers.
        http.header_read_timeout(None).max_header_size(HEADER_LIMIT);
        Self {
            limit: limits.connections,
            clock: Arc::default(),
            looks: Looks::new(limits, Instant::now()),
            deadlines: Deadlines::new(limits),
            metrics,
            http: Arc::new(http),
            tasks: JoinSet::new(),
            entries: HashMap::new(),
            accepted: 0,
            paused: 0,
            said: false,
        }
    }

    fn is_accepting(&self) -> bool {
        self.clock.now() >= self.paused
    }

    /// Serves a new connection, if need be in the place of another one.
    fn welcome(&mut self, stream: TcpStream, tls: Option<&Tls>, handler: &impl Handler) {
        if self.entries.len() >= self.limit {
            self.warn("too many connections: those that ask nothing are closed first");
            if !self.evict() {
                self.metrics.ended(Ended::Refused);
                return;
            }
        }
        // Where this fails the connection is gone already, which its task notices.
        drop(stream.set_nodelay(true));
        let activity = Arc::new(Activity::new(Arc::clone(&self.clock), &self.deadlines, self.accepted));
        self.accepted += 1;
        let session = Session {
            activity: Arc::clone(&activity),
            handler: handler.clone(),
            certificate: Certificate::Missing,
        };
        let http = Arc::clone(&self.http);
        let task = match tls {
            Some(tls) => {
                let handshake = tls.accept(BufReader::with_capacity(READ_AHEAD, stream));
                self.tasks.spawn(secured(handshake, http, session, self.metrics.clone()))
            }
            None => self.tasks.spawn(session.serve(stream, http)),
        };
        self.entries.insert(task.id(), Entry { activity, task });
        self.metrics.open(self.entries.len());
    }

    /// Ends the connection that is missed least. It is counted as gone at once: what it holds is freed when its task
    /// is next looked at.
    fn evict(&mut self) -> bool {
        let dispensable =
            |(id, entry): (&task::Id, &Entry)| Some((entry.activity.dispensable(&self.deadlines)?, *id));
        let Some((_, id)) = self.entries.iter().filter_map(dispensable).max_by_key(|(rank, _)| *rank) else {
            return false;
        };
        if let Some(entry) = self.entries.remove(&id) {
            entry.task.abort();
            self.metrics.ended(Ended::Evicted);
        }
        true
    }

    fn cannot_accept(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            // The caller left before its turn.
            return;
        }
        self.metrics.ended(Ended::Refused);
        self.warn(&format!("connections cannot be accepted, those that ask nothing are closed: {error}"));
        self.evict();
        self.paused = self.clock.now() + PAUSE;
    }

    fn warn(&mut self, what: &str) {
        if !std::mem::replace(&mut self.said, true) {
            tracing::warn!(connections = self.entries.len(), "{what}");
        }
    }

    /// Ends what takes too long.
    fn look(&mut self) {
        let now = self.clock.advance(self.looks.ticks(Instant::now()));
        for entry in self.entries.values() {
            if entry.activity.is_overdue(&self.deadlines) {
                entry.task.abort();
                self.metrics.ended(Ended::Overdue(entry.activity.phase()));
            }
        }
        if self.said && now > self.paused + PAUSE && self.entries.len() < self.limit / 10 * 9 {
            self.said = false;
        }
    }

    fn forget(&mut self, ended: Result<(task::Id, ()), task::JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.entries.remove(&id);
        self.metrics.open(self.entries.len());
    }

    /// Closes what is idle at once and the others after their answer, or when time is up.
    async fn end(mut self, mut stop: watch::Receiver<Stop>, mut ticks: tokio::time::Interval) {
        let last = Instant::now() + LAST_REQUESTS;
        while !self.tasks.is_empty() {
            for entry in self.entries.values() {
                if matches!(entry.activity.phase(), Phase::Handshake | Phase::Idle) {
                    entry.task.abort();
                }
            }
            tokio::select! {
                biased;
                _ = stop.wait_for(|asked| *asked == Stop::Now) => break,
                Some(ended) = self.tasks.join_next_with_id() => self.forget(ended),
                _ = ticks.tick() => self.look(),
                () = sleep_until(last) => break,
            }
        }
        self.tasks.shutdown().await;
    }
}

/// What belongs to one connection.
struct Session<H> {
    activity: Arc<Activity>,
    handler: H,
    certificate: Certificate,
}

async fn secured<H: Handler>(
    handshake: tokio_rustls::Accept<BufReader<TcpStream>>,
    http: Arc<http1::Builder>,
    mut session: Session<H>,
    metrics: PortMetrics,
) {
    match handshake.into_fallible().await {
        Ok(stream) => {
            session.certificate = session.handler.certificate(stream.get_ref().1.peer_certificates());
            session.serve(stream, http).await;
        }
        Err((error, stream)) => {
            metrics.ended(Ended::Handshake);
            tracing::debug!(%error, "no TLS connection");
            // Whoever stays longer than that is not waited for.
            drop(timeout(LINGER, part(stream)).await);
        }
    }
}

/// Ends a connection so that its client can read the alert that says why. With TLS 1.3 it has sent its request by then,
/// and to close a socket that holds unread bytes resets the connection: the API server would tell of that and not of the
/// alert.
async fn part(mut stream: BufReader<TcpStream>) -> io::Result<()> {
    stream.shutdown().await?;
    copy_buf(&mut stream.take(LAST_WORDS), &mut sink()).await.map(drop)
}

impl<H: Handler> Session<H> {
    async fn serve<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        self,
        stream: S,
        http: Arc<http1::Builder>,
    ) {
        let stream = TokioIo::new(Watched::new(stream, Arc::clone(&self.activity)));
        let session = Arc::new(self);
        let service = service_fn(move |request| Arc::clone(&session).answer(request));
        if let Err(error) = http.serve_connection(stream, service).await {
            tracing::debug!(%error, "connection broken");
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<H::Body>, Infallible> {
        if self.activity.phase() != Phase::Headers {
            // It came together with the one before. Whoever sends many at once gets one answered and then waits for
            // its turn: some hundreds of such clients would keep the others waiting for seconds.
            task::yield_now().await;
        }
        self.activity.begin(Phase::Request);
        let mut response = self.handler.handle(request, self.certificate).await;
        if response.status().is_success() {
            self.activity.know();
        }
        if self.activity.is_old() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        self.activity.begin(Phase::Answer);
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use http_body_util::Full;

    use super::*;

    /// Notes who is answered.
    #[derive(Clone, Default)]
    struct Notes(Arc<Mutex<Vec<String>>>);

    impl Handler for Notes {
        type Body = Full<Bytes>;

        fn certificate(&self, _: Option<&[CertificateDer<'_>]>) -> Certificate {
            Certificate::Good
        }

        async fn handle(&self, request: Request<Incoming>, _: Certificate) -> Response<Self::Body> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(request.uri().path().to_owned());
            Response::new(Full::default())
        }
    }

    #[tokio::test]
    async fn whoever_sends_many_requests_at_once_waits_for_its_turn() {
        let notes = Notes::default();
        let open = Connections::new(&Limits::default(), super::super::metrics::Metrics::new().port("review"));
        let mut clients = Vec::new();
        let mut tasks = JoinSet::new();
        for (name, requests) in [("many", 40), ("one", 1), ("another", 1)] {
            let (mut client, server) = tokio::io::duplex(64 * 1024);
            let request = format!("GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n");
            client.write_all(request.repeat(requests).as_bytes()).await.unwrap();
            let session = Session {
                activity: Arc::new(Activity::new(Arc::clone(&open.clock), &open.deadlines, 0)),
                handler: notes.clone(),
                certificate: Certificate::Good,
            };
            tasks.spawn(session.serve(server, Arc::clone(&open.http)));
            clients.push(client);
        }
        let answered = || notes.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let all = async {
            while answered().len() < 42 {
                task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), all).await.unwrap();
        let order = answered();
        assert_eq!(order[..3], ["/many", "/one", "/another"], "{order:?}");
    }
}
