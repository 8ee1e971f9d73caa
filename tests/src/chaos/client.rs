//! Connections to a replica, past any API server, for clients that send what a client library would not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::stage::Stage;
use crate::client::Namespace;

/// Where to connect and whom to trust.
#[derive(Clone)]
pub(super) struct Client {
    address: SocketAddr,
    tls: TlsConnector,
}

impl Client {
    /// To the replica at this address.
    pub(super) fn new(stage: &Stage, address: SocketAddr) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(stage.authority().der().to_vec())).expect("an authority");
        let mut tls = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("protocols")
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        tls.resumption = rustls::client::Resumption::disabled();
        Self { address, tls: TlsConnector::from(Arc::new(tls)) }
    }

    /// A connection without TLS, to a port that expects it.
    pub(super) async fn plain(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect(self.address).await
    }

    /// A connection after its handshake.
    pub(super) async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        self.greet(self.plain().await?).await
    }

    /// The same for a client that has next to no room for answers, and in which little waits to be sent: it is the
    /// server that is tried, not how fast this machine can encrypt.
    pub(super) async fn connect_narrow(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        socket.set_send_buffer_size(16 * 1024)?;
        self.greet(socket.connect(self.address).await?).await
    }

    async fn greet(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
        self.tls.connect(name, stream).await
    }
}

/// The head of a POST to the webhook, with these headers.
pub(super) fn head(headers: &str) -> String {
    format!(
        "POST /mutate?timeout=5s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}"
    )
}

/// A whole request with this body.
pub(super) fn request(body: &[u8]) -> Vec<u8> {
    let head = head(&format!("Content-Length: {}\r\n\r\n", body.len()));
    [head.as_bytes(), body].concat()
}

/// A review of an executor in this namespace, at least `padding` bytes long.
pub(super) fn review(namespace: &Namespace, padding: usize) -> Vec<u8> {
    let mut object = super::stage::executor();
    object["metadata"]["annotations"] = serde_json::json!({"padding": "x".repeat(padding)});
    let namespace = namespace.name();
    let pods = serde_json::json!({"group": "", "version": "v1", "resource": "pods"});
    let kind = serde_json::json!({"group": "", "version": "v1", "kind": "Pod"});
    let request = serde_json::json!({"uid": "7ce42c82-1807-4e8c-b5bf-992dc9e9c616", "kind": kind, "resource": pods,
        "namespace": namespace, "operation": "CREATE", "object": object, "dryRun": true});
    let review = serde_json::json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    review.to_string().into_bytes()
}

/// Reads one answer: its status and how much body came with it; `None` when the connection ends before.
pub(super) async fn answer(stream: &mut TlsStream<TcpStream>, buffer: &mut Vec<u8>) -> Option<u16> {
    buffer.clear();
    let end = loop {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
    while buffer.len() < end + length.unwrap_or_default() {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    Some(status)
}

/// Whether the answer in the buffer says that it was the last one of its connection.
pub(super) fn says_close(answer: &[u8]) -> bool {
    let head = &answer[..answer.len().min(1024)];
    String::from_utf8_lossy(head).to_ascii_lowercase().contains("\r\nconnection: close\r\n")
}

/// How long the other side leaves a connection open on which nothing more is sent; `None` when it outlasts `limit`.
pub(super) async fn closed_within(stream: &mut TlsStream<TcpStream>, limit: Duration) -> Option<Duration> {
    let begin = std::time::Instant::now();
    let mut buffer = [0; 4096];
    let gone = async { while matches!(stream.read(&mut buffer).await, Ok(count) if count > 0) {} };
    tokio::time::timeout(limit, gone).await.ok().map(|()| begin.elapsed())
}

/// Sends one byte after the other, a while apart, until the other side has had enough or the time is over; how long
/// that took.
pub(super) async fn dribble(
    stream: &mut TlsStream<TcpStream>,
    byte: u8,
    limit: Duration,
) -> Option<Duration> {
    let begin = std::time::Instant::now();
    while begin.elapsed() < limit {
        if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
            return Some(begin.elapsed());
        }
        if closed_within(stream, Duration::from_millis(500)).await.is_some() {
            return Some(begin.elapsed());
        }
    }
    None
}
