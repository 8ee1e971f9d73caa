//! Requests that are refused: not a review, without an end, or from nobody that is known.

use std::fs;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use super::client::{read_response, review};
use super::process::Server;

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

/// An API server that is still writing when its connection ends tells of a broken pipe, and not of what it lacks.
#[test]
fn who_was_refused_may_send_a_review_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "s3cr3t").unwrap();
    let server = Server::start(&["--client-token-file", file.to_str().unwrap()]);
    let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: LENGTH\r\n\r\n";
    let mut client = server.connect();
    client.0.write_all(head.replace("LENGTH", "9000").as_bytes()).unwrap();
    assert_eq!(read_response(&mut client.0).unwrap().status, 401);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(50));
        client.0.write_all(&[b' '; 3000]).unwrap();
        client.0.flush().unwrap();
    }
    // Then nobody listens any more, and whoever sends more than a review has is not listened to for long.
    let mut client_of_more = server.connect();
    client_of_more.0.write_all(head.replace("LENGTH", "9000000").as_bytes()).unwrap();
    assert_eq!(read_response(&mut client_of_more.0).unwrap().status, 401);
    let mut is_over =
        |_| client_of_more.0.write_all(&[b' '; 10_000]).and_then(|()| client_of_more.0.flush()).is_err();
    assert!((0..900).any(&mut is_over), "nine megabytes were taken");
    let end = client.0.read(&mut [0]);
    assert!(!matches!(end, Ok(1)), "{end:?}");
}
