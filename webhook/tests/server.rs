//! The server as its callers meet it: a real process, real TLS, and HTTP written by hand where a client library would
//! be too polite to send what is tested.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

const PROFILE: &str = r#"
apiVersion: spark-injector.io/v1alpha1
kind: SparkProfile
metadata: {name: team-a}
spec:
  namespaces: {names: [team-a]}
  executorRole: {name: MY_EXECUTOR, value: "true"}
---
apiVersion: v1
kind: Namespace
metadata: {name: team-a, labels: {spark-injector.io/inject: enabled}}
"#;

const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    child: Child,
    review: SocketAddr,
    admin: SocketAddr,
    first_line: String,
    logs: Receiver<String>,
    folder: tempfile::TempDir,
}

impl Server {
    fn start(extra: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_pair(folder.path());
        fs::create_dir(folder.path().join("profiles")).unwrap();
        fs::write(folder.path().join("profiles/a.yaml"), PROFILE).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_spark-injector"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--poll",
                "50ms",
                "--tls-poll",
                "50ms",
            ])
            .args(["--from", "profiles", "--tls-cert", "tls.crt", "--tls-key", "tls.key"])
            .args(extra)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first_line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first_line).unwrap();
        let (sender, logs) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let said: Value = serde_json::from_str(&first_line).unwrap_or_else(|_| {
            panic!("{first_line:?} {:?}", logs.iter().collect::<Vec<_>>());
        });
        let address = |name: &str| said["listening"][name].as_str().unwrap().parse().unwrap();
        Self { review: address("review"), admin: address("admin"), child, first_line, logs, folder }
    }

    fn connect(&self) -> Client {
        Client::connect(self.review, &self.folder.path().join("tls.crt")).unwrap()
    }

    /// A plain GET: status and body.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let response = read_response(&mut stream).unwrap();
        (response.status, String::from_utf8(response.body).unwrap())
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn wait_for_log(&self, what: &str) -> String {
        let started = Instant::now();
        while let Ok(line) = self.logs.recv_timeout(PATIENCE.saturating_sub(started.elapsed())) {
            if line.contains(what) {
                return line;
            }
        }
        panic!("no log line with {what}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

struct Client(StreamOwned<ClientConnection, TcpStream>);

impl Client {
    /// Offers HTTP/2 first, as the API server does.
    fn connect(address: SocketAddr, root: &Path) -> std::io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(root).unwrap()).unwrap();
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let tls =
            ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(tls, stream);
        stream.conn.complete_io(&mut stream.sock)?;
        Ok(Self(stream))
    }

    fn send(&mut self, head: &str, body: &[u8]) -> Response {
        let head = format!("{head}\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        // The server may answer and close before all of it is sent.
        drop(self.0.write_all(head.as_bytes()).and_then(|()| self.0.write_all(body)));
        read_response(&mut self.0).unwrap()
    }

    fn post(&mut self, body: &[u8]) -> Response {
        self.send("POST /mutate?timeout=5s HTTP/1.1\r\nContent-Type: application/json", body)
    }
}

#[derive(Debug)]
struct Response {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Response {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

fn read_response(stream: &mut impl Read) -> std::io::Result<Response> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8(head).unwrap();
    let mut response = Response { status: head[9..12].parse().unwrap(), head, body: Vec::new() };
    let length: usize =
        response.header("content-length").expect("every answer has a length").parse().unwrap();
    response.body.resize(length, 0);
    stream.read_exact(&mut response.body)?;
    Ok(response)
}

fn write_pair(folder: &Path) {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
    fs::write(folder.join("tls.crt"), certificate.pem()).unwrap();
}

fn review(uid: &str) -> Vec<u8> {
    let spec = json!({"containers": [{"name": "spark-kubernetes-executor", "image": "spark", "args": ["executor"]}]});
    let metadata = json!({"name": "exec-1", "labels": {"spark-role": "executor"}});
    serde_json::to_vec(&json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": uid,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "operation": "CREATE",
            "namespace": "team-a",
            "object": {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec},
        },
    }))
    .unwrap()
}

#[test]
fn the_first_line_says_where() {
    let server = Server::start(&[]);
    let expected =
        format!("{{\"listening\":{{\"review\":\"{}\",\"admin\":\"{}\"}}}}\n", server.review, server.admin);
    assert_eq!(server.first_line, expected);
    assert!(server.review.port() != 0 && server.admin.port() != 0);
}

#[test]
fn a_review_is_answered_logged_and_counted() {
    let server = Server::start(&[]);
    let response = server.connect().post(&review("uid-1"));
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    let answer: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(answer["response"]["uid"], "uid-1");
    assert_eq!(answer["response"]["patchType"], "JSONPatch");
    let line: Value = serde_json::from_str(&server.wait_for_log("uid-1")).unwrap();
    assert_eq!(
        (&line["namespace"], &line["role"], &line["outcome"]),
        (&json!("team-a"), &json!("executor"), &json!("injected"))
    );
    assert!(line["duration_us"].is_u64() && line["message"] == "", "{line}");
    let (status, metrics) = server.get("/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("spark_injector_admission_requests_total{outcome=\"injected\""), "{metrics}");
    assert!(metrics.contains("spark_injector_admission_requests_in_flight 0"), "{metrics}");
}

#[test]
fn a_connection_serves_many_reviews() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for round in 0..5 {
        let response = client.post(&review(&format!("u{round}")));
        assert_eq!((response.status, response.header("connection")), (200, None));
    }
}

#[test]
fn http2_is_not_negotiated() {
    let server = Server::start(&[]);
    let client = server.connect();
    assert_eq!(client.0.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(client.0.conn.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
}

#[test]
fn what_is_not_a_review_is_refused() {
    let server = Server::start(&[]);
    let json = "Content-Type: application/json";
    let whole = review("u");
    let cases: [(&str, &str, &[u8], u16); 10] = [
        ("GET /mutate", json, b"", 405),
        ("PUT /mutate", json, b"{}", 405),
        ("POST /", json, b"{}", 404),
        ("POST /mutate/", json, b"{}", 404),
        ("GET /livez", json, b"", 404),
        ("POST /mutate", "Content-Type: text/plain", &whole, 415),
        ("POST /mutate", "Accept: */*", &whole, 415),
        ("POST /mutate", json, b"s3cr3t is not JSON", 400),
        ("POST /mutate", json, b"", 400),
        ("POST /mutate", json, &whole[..whole.len() / 2], 400),
    ];
    for (line, header, body, status) in cases {
        let response = server.connect().send(&format!("{line} HTTP/1.1\r\n{header}"), body);
        assert_eq!(response.status, status, "{line} {header}: {response:?}");
        assert!(!String::from_utf8_lossy(&response.body).contains("s3cr3t"), "the body is echoed");
        if status == 405 {
            assert_eq!(response.header("allow"), Some("POST"));
        }
    }
    assert_eq!(server.connect().post(&whole).status, 200, "the server lives on");
}

#[test]
fn the_limit_of_a_body_is_seven_mebibytes() {
    let server = Server::start(&[]);
    let mut fits = review("large");
    fits.resize(7 * 1024 * 1024, b' ');
    assert_eq!(server.connect().post(&fits).status, 200);
    fits.push(b' ');
    let response = server.connect().post(&fits);
    assert_eq!((response.status, response.header("connection")), (413, Some("close")));
}

#[test]
fn an_endless_body_is_cut_off() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.0.write_all(head.as_bytes()).unwrap();
    let mut chunk = b"10000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x1_0000, b' ');
    chunk.extend_from_slice(b"\r\n");
    let mut sent = 0;
    while sent < 256 * 1024 * 1024 && client.0.write_all(&chunk).is_ok() {
        sent += chunk.len();
    }
    assert!(sent < 64 * 1024 * 1024, "{sent} bytes were taken");
    let status = fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim();
    let peak: u64 = peak.trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 100_000, "{peak} kB of memory");
    let (_, metrics) = server.get("/metrics");
    assert!(metrics.contains("reason=\"too_large\"} 1"), "{metrics}");
}

#[test]
fn a_body_that_stops_is_given_up() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let head = "POST /mutate?timeout=1s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    client.0.write_all(head.as_bytes()).unwrap();
    assert_eq!(read_response(&mut client.0).unwrap().status, 408);
}

#[test]
fn draining_is_announced_and_ends_when_it_is_quiet() {
    let mut server = Server::start(&["--drain-quiet", "300ms", "--drain-min", "800ms", "--drain-max", "20s"]);
    let mut idle = server.connect();
    assert_eq!(idle.post(&review("before")).status, 200);
    assert_eq!(server.get("/readyz").0, 200);
    let started = Instant::now();
    server.signal("-TERM");
    server.wait_for_log("asked to stop");
    let (status, why) = server.get("/readyz");
    assert!(status == 503 && why.contains("draining"), "{status} {why}");
    assert_eq!(server.get("/livez").0, 200);
    let response = idle.post(&review("known connection"));
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    let response = server.connect().post(&review("new connection"));
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    assert!(server.wait().success());
    assert!(started.elapsed() >= Duration::from_millis(800));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Server::start(&[]);
    server.signal("-TERM");
    server.wait_for_log("asked to stop");
    let started = Instant::now();
    server.signal("-INT");
    assert!(server.wait().success());
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn another_certificate_is_served_and_a_bad_one_is_not() {
    let server = Server::start(&[]);
    let first = server.folder.path().join("first.crt");
    let certificate = server.folder.path().join("tls.crt");
    fs::copy(&certificate, &first).unwrap();
    fs::write(server.folder.path().join("tls.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    server.wait_for_log("the old one stays");
    assert_eq!(Client::connect(server.review, &first).unwrap().post(&review("old")).status, 200);
    write_pair(server.folder.path());
    server.wait_for_log("another certificate is served");
    assert_eq!(Client::connect(server.review, &certificate).unwrap().post(&review("new")).status, 200);
    assert!(Client::connect(server.review, &first).is_err());
    let (_, metrics) = server.get("/metrics");
    assert!(metrics.contains("spark_injector_tls_reloads_total{result=\"ok\"} 1"), "{metrics}");
}

#[test]
fn profiles_are_reloaded_and_broken_ones_are_not() {
    let server = Server::start(&[]);
    let file = server.folder.path().join("profiles/a.yaml");
    fs::write(&file, "a: [").unwrap();
    let line = server.wait_for_log("the last good ones stay");
    assert!(line.contains("a.yaml"), "{line}");
    let answer: Value = serde_json::from_slice(&server.connect().post(&review("u")).body).unwrap();
    assert_eq!(answer["response"]["patchType"], "JSONPatch");
    fs::write(&file, PROFILE.replace("enabled", "disabled")).unwrap();
    server.wait_for_log("profiles compiled");
    let answer: Value = serde_json::from_slice(&server.connect().post(&review("u")).body).unwrap();
    assert_eq!(answer["response"].get("patchType"), None, "{answer}");
}

#[test]
fn start_fails_with_a_message_where_nothing_can_be_served() {
    let folder = tempfile::tempdir().unwrap();
    write_pair(folder.path());
    fs::write(folder.path().join("good.yaml"), PROFILE).unwrap();
    fs::write(folder.path().join("bad.yaml"), "a: [").unwrap();
    fs::write(folder.path().join("other.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let cases = [
        ("bad.yaml", "tls.key", "127.0.0.1:0", "bad.yaml"),
        ("good.yaml", "other.key", "127.0.0.1:0", "does not belong to the certificate"),
        ("good.yaml", "none.key", "127.0.0.1:0", "none.key"),
        ("good.yaml", "tls.key", "192.0.2.1:1", "cannot listen on 192.0.2.1:1"),
    ];
    for (from, key, listen, message) in cases {
        let output = Command::new(env!("CARGO_BIN_EXE_spark-injector"))
            .args(["serve", "--from", from, "--tls-cert", "tls.crt", "--tls-key", key, "--listen", listen])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(message) && output.stdout.is_empty(), "{said}");
    }
}
