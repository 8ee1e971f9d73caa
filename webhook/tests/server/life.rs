//! How the process begins and ends.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use rcgen::KeyPair;

use super::client::{review, write_pair};
use super::process::{PROFILE, PROGRAM, Server};

#[test]
fn the_first_line_says_where() {
    let server = Server::start(&[]);
    let expected =
        format!("{{\"listening\":{{\"review\":\"{}\",\"admin\":\"{}\"}}}}\n", server.review, server.admin);
    assert_eq!(server.first_line, expected);
    assert!(server.review.port() != 0 && server.admin.port() != 0);
}

#[test]
fn reviews_are_judged_by_as_many_threads_as_asked_for() {
    let threads = |workers: &str| {
        let server = Server::start(&["--workers", workers]);
        fs::read_dir(format!("/proc/{}/task", server.child.id())).unwrap().count()
    };
    // Beside them the first thread and that of the log; files are read on further ones, a few at a time.
    let (one, many) = (threads("1"), threads("20"));
    assert!(one < 12 && many >= 22, "{one}, {many}");
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
        let output = Command::new(PROGRAM)
            .args(["serve", "--from", from, "--tls-cert", "tls.crt", "--tls-key", key, "--listen", listen])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(message) && output.stdout.is_empty(), "{said}");
    }
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
