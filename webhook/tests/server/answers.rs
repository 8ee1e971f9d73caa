//! Reviews that are answered, and what is told about it.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{PATIENCE, review};
use super::process::{PROFILE, PROGRAM, Server};

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

/// Everything that a request needs is in memory.
#[test]
fn no_request_opens_a_connection() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let mut command = Command::new("strace");
    // As a grandchild: the process that is started is the server.
    command.args(["-D", "-f", "-q", "-e", "trace=socket,connect", "-o"]).arg(&trace);
    command.arg(PROGRAM);
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
