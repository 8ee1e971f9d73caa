//! The load client: HTTP/1.1 over TLS by hand, on one thread, so that it takes less of the shared cores than the
//! servers do.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::measure::{count, micros, process_cpu, quantile};
use crate::process::Server;

/// No measurement takes longer, however little CPU time the server needs.
const MOST: Duration = Duration::from_secs(12);

/// What one run of load found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// CPU microseconds of the server per request.
    pub(crate) cpu: f64,
    /// Microseconds that half of the requests stay below, and 99 of 100, and all.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// How long a measurement takes.
#[derive(Clone, Copy)]
enum Until {
    /// The server has used so much CPU time.
    Used(Duration),
    /// So much time has passed.
    Passed(Duration),
}

/// Sends one body again and again.
pub(crate) struct Client {
    tls: TlsConnector,
    request: Vec<u8>,
}

/// What the connections of one run share.
#[derive(Default)]
struct Shared {
    stop: Cell<bool>,
    /// Microseconds of each request.
    took: RefCell<Vec<f64>>,
}

impl Shared {
    /// Notes a request, unless the server's clock was read for the last time already.
    fn note(&self, before: Instant) {
        if !self.stop.get() {
            self.took.borrow_mut().push(micros(before.elapsed()));
        }
    }
}

impl Client {
    /// A client that trusts this authority, for this body.
    pub(crate) fn new(authority: &[u8], body: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(authority.to_vec())).expect("an authority");
        let mut tls = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("protocols")
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        // As the API server: every new connection is a full handshake.
        tls.resumption = Resumption::disabled();
        let head = format!(
            "POST /mutate?timeout=5s HTTP/1.1\r\nHost: spark-injector.spark-injector.svc:443\r\n\
             User-Agent: kube-apiserver-admission\r\nContent-Length: {}\r\nAccept: application/json, */*\r\n\
             Content-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n",
            body.len()
        );
        Self { tls: TlsConnector::from(Arc::new(tls)), request: [head.as_bytes(), body].concat() }
    }

    /// So many connections, each sending one request after the other, until the server has used `cpu`.
    pub(crate) fn keep_alive(&self, server: &Server, connections: usize, cpu: Duration) -> Found {
        self.repeat(server, connections, Until::Used(cpu), Duration::ZERO)
    }

    /// So many connections, each with a pause between two requests, for so long: what a request takes when cores are
    /// free.
    pub(crate) fn at_leisure(&self, server: &Server, connections: usize, time: Duration) -> Found {
        self.repeat(server, connections, Until::Passed(time), Duration::from_millis(1))
    }

    fn repeat(&self, server: &Server, connections: usize, until: Until, pause: Duration) -> Found {
        Self::drive(server, connections, until, async |shared| {
            let mut stream = self.connect(server).await;
            let mut buffer = vec![0; 1 << 18];
            while !shared.stop.get() {
                let before = Instant::now();
                self.ask(&mut stream, &mut buffer).await;
                shared.note(before);
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
        })
    }

    /// A new TCP and TLS connection for each request, four at a time.
    pub(crate) fn new_connections(&self, server: &Server, cpu: Duration) -> Found {
        Self::drive(server, 4, Until::Used(cpu), async |shared| {
            let mut buffer = vec![0; 1 << 18];
            while !shared.stop.get() {
                let before = Instant::now();
                let mut stream = self.connect(server).await;
                self.ask(&mut stream, &mut buffer).await;
                let _ = stream.shutdown().await;
                shared.note(before);
            }
        })
    }

    /// Opens so many connections, uses each once, and calls `look` while all are open.
    pub(crate) fn hold<T>(&self, server: &Server, connections: usize, look: impl FnOnce() -> T) -> T {
        block_on(async {
            let mut open = Vec::new();
            let mut buffer = vec![0; 1 << 18];
            for _ in 0..connections {
                let mut stream = self.connect(server).await;
                self.ask(&mut stream, &mut buffer).await;
                open.push(stream);
            }
            look()
        })
    }

    /// The body of one answer.
    pub(crate) fn answer(&self, server: &Server) -> Vec<u8> {
        block_on(async {
            let mut stream = self.connect(server).await;
            let mut buffer = vec![0; 1 << 20];
            let whole = self.ask(&mut stream, &mut buffer).await;
            body(&buffer[..whole])
        })
    }

    fn drive(
        server: &Server,
        connections: usize,
        until: Until,
        connection: impl AsyncFn(Rc<Shared>),
    ) -> Found {
        let shared = Rc::<Shared>::default();
        block_on(async {
            let watch = async {
                until.tenth().wait(server).await;
                shared.took.borrow_mut().clear();
                let used = until.wait(server).await;
                shared.stop.set(true);
                used
            };
            let all = async {
                let mut running: Vec<_> =
                    (0..connections).map(|_| Box::pin(connection(Rc::clone(&shared)))).collect();
                std::future::poll_fn(|context| {
                    // A handful of connections: asking each of them costs next to nothing.
                    running.retain_mut(|task| task.as_mut().poll(context).is_pending());
                    if running.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                })
                .await;
            };
            let (used, ()) = tokio::join!(watch, all);
            let took = shared.took.borrow();
            let [p50, p99, max] = [0.5, 0.99, 1.0].map(|at| quantile(&took, at));
            Found { cpu: micros(used) / count(took.len()), p50, p99, max }
        })
    }

    async fn connect(&self, server: &Server) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(server.address).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a socket");
        let name = ServerName::try_from("localhost").expect("a name");
        self.tls.connect(name, stream).await.expect("a handshake")
    }

    /// One request; the whole answer stands in the buffer, and its length is returned.
    async fn ask(&self, stream: &mut TlsStream<TcpStream>, buffer: &mut Vec<u8>) -> usize {
        stream.write_all(&self.request).await.expect("the request goes out");
        stream.flush().await.expect("the request goes out");
        let (mut filled, mut framing) = (0, None);
        loop {
            if filled == buffer.len() {
                buffer.resize(filled * 2, 0);
            }
            let read = stream.read(&mut buffer[filled..]).await.expect("an answer");
            assert!(read > 0, "the server closed the connection");
            filled += read;
            framing = framing.or_else(|| Framing::of(&buffer[..filled]));
            let complete = match framing {
                None => false,
                Some(Framing::Length(whole)) => filled >= whole,
                Some(Framing::Chunked) => buffer[..filled].ends_with(b"\r\n0\r\n\r\n"),
            };
            if complete {
                return filled;
            }
        }
    }
}

/// How an answer says where it ends.
#[derive(Clone, Copy)]
enum Framing {
    /// Bytes of head and body.
    Length(usize),
    Chunked,
}

impl Framing {
    fn of(bytes: &[u8]) -> Option<Self> {
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let text = std::str::from_utf8(&bytes[..head]).expect("a head").to_ascii_lowercase();
        assert!(text.starts_with("http/1.1 200"), "the answer is {text}");
        let field = |name| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if let Some(length) = field("content-length:") {
            return Some(Self::Length(head + length.parse::<usize>().expect("a length")));
        }
        assert_eq!(field("transfer-encoding:"), Some("chunked"), "where does the answer end? {text}");
        Some(Self::Chunked)
    }
}

/// The body of a whole answer.
fn body(answer: &[u8]) -> Vec<u8> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let mut rest = &answer[head..];
    if matches!(Framing::of(answer), Some(Framing::Length(_))) {
        return rest.to_vec();
    }
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").expect("a chunk");
        let size =
            std::str::from_utf8(&rest[..line]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let size = size.expect("a chunk's size");
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
}

impl Until {
    fn tenth(self) -> Self {
        match self {
            Self::Used(time) => Self::Used(time / 10),
            Self::Passed(time) => Self::Passed(time / 10),
        }
    }

    /// Returns how much CPU time the server has used meanwhile.
    async fn wait(self, server: &Server) -> Duration {
        let (started, before) = (Instant::now(), process_cpu(server.id()));
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let used = process_cpu(server.id()) - before;
            let over = match self {
                Self::Used(time) => used >= time || started.elapsed() >= MOST,
                Self::Passed(time) => started.elapsed() >= time,
            };
            if over {
                return used;
            }
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, future)
}
