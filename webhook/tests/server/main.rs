//! The server as its callers meet it: a real process, real TLS, and HTTP written by hand where a client library would
//! be too polite to send what is tested.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod client;
mod limits;
mod local;
mod waiting;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use client::{Client, PATIENCE, get, read_response, review, write_pair};
use rcgen::KeyPair;
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
        Self::run(Command::new(env!("CARGO_BIN_EXE_spark-injector")), extra)
    }

    fn run(mut command: Command, extra: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_pair(folder.path());
        fs::create_dir(folder.path().join("profiles")).unwrap();
        fs::write(folder.path().join("profiles/a.yaml"), PROFILE).unwrap();
        let mut child = command
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
        get(self.admin, path)
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

/// A head that promises a body is answered although none comes.
#[test]
fn an_unknown_path_is_refused_before_its_body_is_read() {
    let server = Server::start(&[]);
    for (line, status) in [("POST /other", 404), ("GET /mutate", 405)] {
        let mut client = server.connect();
        let head = format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n");
        client.0.write_all(head.as_bytes()).unwrap();
        let response = read_response(&mut client.0).unwrap();
        assert_eq!((response.status, response.header("connection")), (status, Some("close")));
    }
}

#[test]
fn a_request_whose_end_is_in_doubt_is_refused() {
    let server = Server::start(&[]);
    for doubtful in [
        "Content-Length: 2\r\nContent-Length: 20",
        "Content-Length: +2",
        "Content-Length: two",
        "Transfer-Encoding: chunked, identity",
        "Content-Length : 2",
    ] {
        let mut client = server.connect();
        let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        client.0.write_all(format!("{head}{doubtful}\r\n\r\n{{}}").as_bytes()).unwrap();
        assert_eq!(read_response(&mut client.0).unwrap().status, 400, "{doubtful}");
    }
    assert_eq!(server.connect().post(&review("u")).status, 200);
}

/// Everything that a request needs is in memory.
#[test]
fn no_request_opens_a_connection() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let mut command = Command::new("strace");
    // As a grandchild: the process that is started is the server.
    command.args(["-D", "-f", "-q", "-e", "trace=socket,connect", "-o"]).arg(&trace);
    command.arg(env!("CARGO_BIN_EXE_spark-injector"));
    let mut server = Server::run(command, &[]);
    let mut client = server.connect();
    for _ in 0..20 {
        assert_eq!(client.post(&review("u")).status, 200);
    }
    server.signal("-TERM");
    server.wait_for_log("asked to stop");
    server.signal("-INT");
    assert!(server.wait().success());
    // The tracer may end a moment after it.
    let started = Instant::now();
    while !fs::read_to_string(&trace).unwrap().contains("+++ exited") {
        assert!(started.elapsed() < PATIENCE, "no end of the trace");
        std::thread::sleep(Duration::from_millis(10));
    }
    let calls = fs::read_to_string(&trace).unwrap();
    assert_eq!(calls.matches("socket(").count(), 2, "the two ports, and nothing else: {calls}");
    assert!(!calls.contains("connect("), "{calls}");
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
fn callers_without_the_token_are_refused_before_they_have_sent_a_body() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "s3cr3t\n").unwrap();
    let server = Server::start(&["--client-token-file", file.to_str().unwrap()]);
    let head =
        "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n";
    let mut stranger = server.connect();
    stranger.0.write_all(head.as_bytes()).unwrap();
    let response = read_response(&mut stranger.0).unwrap();
    assert_eq!((response.status, response.header("connection")), (401, Some("close")));
    assert!(String::from_utf8(response.body).unwrap().contains("--client-token-file"));
    let ask = |token: &str| {
        let head = "POST /mutate HTTP/1.1\r\nContent-Type: application/json\r\nAuthorization: Bearer ";
        server.connect().send(&format!("{head}{token}"), &review("u")).status
    };
    assert_eq!((ask("s3cr3t"), ask("s3cr3t2"), ask("")), (200, 401, 401));
    fs::write(&file, "").unwrap();
    server.wait_for_log("the old one stays");
    fs::write(&file, "another").unwrap();
    server.wait_for_log("another client token is expected");
    assert_eq!((ask("s3cr3t"), ask("another")), (401, 200));
    let (_, metrics) = server.get("/metrics");
    assert!(metrics.contains("client_authentication_failures_total{reason=\"client_token\"} 4"), "{metrics}");
    server.signal("-KILL");
    for line in &server.logs {
        assert!(!line.contains("s3cr3t") && !line.contains("another\""), "{line}");
    }
}

#[test]
fn at_debug_every_look_at_a_file_has_its_time_and_its_name() {
    let server = Server::start(&["--log-level", "debug", "--log-format", "json"]);
    let line: Value = serde_json::from_str(&server.wait_for_log("\"read_certificate\"")).unwrap();
    assert_eq!((&line["message"], &line["span"]["name"]), (&json!("close"), &json!("read_certificate")));
    assert!(line["time.busy"].is_string(), "{line}");
    fs::write(server.folder.path().join("profiles/a.yaml"), PROFILE.replace("enabled", "disabled")).unwrap();
    server.wait_for_log("\"read_inputs\"");
    server.wait_for_log("\"compile\"");

    let server = Server::start(&["--log-level", "debug", "--log-format", "text"]);
    assert!(server.wait_for_log("read_certificate").contains("time.busy="));
    let server = Server::start(&["--log-format", "text"]);
    assert_eq!(server.connect().post(&review("u")).status, 200);
    server.signal("-TERM");
    server.signal("-INT");
    assert!(!server.logs.iter().any(|line| line.contains("read_certificate")), "spans cost nothing");
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
