//! What callers may take, and that those who behave do not notice the others.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use spark_injector::server::Limits;

use super::client::{Client, PATIENCE, read_response, review};
use super::local::Local;
use super::process::Server;

/// No review, however long.
static SPACES: [u8; 700_000] = [b' '; 700_000];

const SHORT: Duration = Duration::from_millis(300);

fn cut(reason: &str, times: usize) -> String {
    format!("spark_injector_connections_cut_total{{port=\"review\",reason=\"{reason}\"}} {times}")
}

/// Reads until the other side ends the connection.
fn assert_closed(stream: &mut impl Read) {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        // Without a goodbye: what takes too long gets none.
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{error}");
        }
    }
}

#[test]
fn a_handshake_that_does_not_come_is_not_waited_for() {
    let server = Local::start(Limits { handshake: SHORT, ..Limits::default() });
    let mut silent = TcpStream::connect(server.review).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut idle = server.connect();
    assert_closed(&mut silent);
    server.wait_for_metric(&cut("handshake_slow", 1));
    assert_eq!(idle.post(&review("u")).status, 200);
}

#[test]
fn what_is_not_tls_is_counted() {
    let server = Local::start(Limits::default());
    let mut plain = TcpStream::connect(server.review).unwrap();
    plain.write_all(b"POST /mutate HTTP/1.1\r\n\r\n").unwrap();
    assert_closed(&mut plain);
    server.wait_for_metric(&cut("handshake_failed", 1));
}

#[test]
fn whoever_fails_in_the_handshake_can_read_why() {
    let server = Local::start(Limits::default());
    let mut plain = TcpStream::connect(server.review).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    // More than the server takes at once. Closed with the rest in it, the connection would be reset.
    plain.write_all(&SPACES[..40_000]).unwrap();
    server.wait_for_metric(&cut("handshake_failed", 1));
    std::thread::sleep(SHORT);
    plain.write_all(b" ").unwrap();
    let mut alert = Vec::new();
    plain.read_to_end(&mut alert).unwrap();
    // The content type of an alert (RFC 8446, B.1), and its level: fatal.
    assert_eq!((alert.len(), alert[0], alert[5]), (7, 21, 2), "{alert:?}");
}

#[test]
fn headers_that_dribble_are_cut_and_idle_connections_are_not() {
    let server = Local::start(Limits { headers: SHORT, ..Limits::default() });
    let mut idle = server.connect();
    let mut used = server.connect();
    assert_eq!(used.post(&review("before")).status, 200);
    let mut slow = server.connect();
    let started = Instant::now();
    while slow.0.write_all(b"X").and_then(|()| slow.0.flush()).is_ok() {
        assert!(started.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    server.wait_for_metric(&cut("headers_slow", 1));
    // The second request of a connection has the same deadline as the first.
    used.0.write_all(b"POST /mutate HT").unwrap();
    assert_closed(&mut used.0);
    server.wait_for_metric(&cut("headers_slow", 2));
    assert_eq!(idle.post(&review("after")).status, 200);
}

#[test]
fn a_connection_is_idle_for_as_long_as_it_may() {
    let server = Local::start(Limits { idle: SHORT, ..Limits::default() });
    let mut client = server.connect();
    assert_eq!(client.post(&review("u")).status, 200);
    let answered = Instant::now();
    assert_closed(&mut client.0);
    assert!(answered.elapsed() >= SHORT);
    server.wait_for_metric(&cut("idle", 1));
}

#[test]
fn who_asks_and_does_not_read_is_cut() {
    let server = Local::start(Limits { write: SHORT, ..Limits::default() });
    let mut deaf = server.connect();
    let body = review("u");
    let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let request =
        [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body.as_slice()].concat();
    let started = Instant::now();
    while deaf.0.write_all(&request).is_ok() {
        assert!(started.elapsed() < PATIENCE, "nobody minds");
    }
    server.wait_for_metric(&cut("answer_not_read", 1));
}

#[test]
fn an_old_connection_ends_with_an_answer() {
    let server = Local::start(Limits { age: SHORT, ..Limits::default() });
    let mut client = server.connect();
    assert_eq!(client.post(&review("young")).header("connection"), None);
    let started = Instant::now();
    loop {
        let response = client.post(&review("older"));
        assert_eq!(response.status, 200);
        if response.header("connection") == Some("close") {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "it does not get old");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(started.elapsed() >= SHORT / 2);
    assert_closed(&mut client.0);
}

#[test]
fn strangers_make_room() {
    let server = Local::start(Limits { connections: 10, ..Limits::default() });
    let mut known = server.connect();
    assert_eq!(known.post(&review("known")).status, 200);
    // More than the limit, as fast as they come: some may be refused, which a client sees as a broken handshake.
    let flood: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(server.review).unwrap()).collect();
    assert_eq!(known.post(&review("known")).status, 200);
    let mut new = connect_patiently(&server);
    assert_eq!(new.post(&review("new")).status, 200);
    assert_eq!(known.post(&review("known")).status, 200);
    let (_, metrics) = server.get("/metrics");
    assert!(metrics.contains("connections_cut_total{port=\"review\",reason=\"evicted\"}"), "{metrics}");
    let open =
        metrics.lines().find_map(|line| line.strip_prefix("spark_injector_connections{port=\"review\"} "));
    assert!(open.unwrap().parse::<usize>().unwrap() <= 10, "{metrics}");
    drop(flood);
}

fn connect_patiently(server: &Local) -> Client {
    let started = Instant::now();
    loop {
        match server.try_connect() {
            Ok(client) => return client,
            Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn bodies_that_are_too_much_together_are_asked_for_again() {
    let server = Local::start(Limits { bodies: 1024 * 1024, body: 3 * PATIENCE, ..Limits::default() });
    let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 800000\r\n\r\n";
    let mut first = server.connect();
    first.0.write_all(head.as_bytes()).unwrap();
    first.0.write_all(&SPACES[..700_000]).unwrap();
    first.0.flush().unwrap();
    server.wait_for_metric("spark_injector_admission_body_bytes 700000");
    // It is read to its end: whoever still writes would not hear that it may come back.
    let response = server.connect().post(&SPACES[..700_000]);
    assert_eq!(response.status, 503);
    assert_eq!((response.header("retry-after"), response.header("connection")), (Some("1"), Some("close")));
    // Small ones still have room.
    assert_eq!(server.connect().post(&review("u")).status, 200);
    first.0.write_all(&SPACES[..100_000]).unwrap();
    assert_eq!(read_response(&mut first.0).unwrap().status, 400);
    assert_eq!(server.connect().post(&SPACES[..700_000]).status, 400);
}

#[test]
fn a_process_without_descriptors_serves_whom_it_knows_and_recovers() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_spark-injector")]);
    let server = Server::run(command, &[]);
    let mut known = server.connect();
    assert_eq!(known.post(&review("known")).status, 200);
    let flood: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(server.review).unwrap()).collect();
    server.wait_for_log("connections cannot be accepted");
    assert_eq!(known.post(&review("known")).status, 200);
    drop(flood);
    let mut new = server.connect();
    assert_eq!(new.post(&review("new")).status, 200);
    assert_eq!(known.post(&review("known")).status, 200);
}

#[test]
fn headers_have_a_size() {
    let server = Local::start(Limits::default());
    let long = "x".repeat(64 * 1024);
    let response = server.connect().send(&format!("POST /mutate HTTP/1.1\r\nX: {long}"), b"");
    assert_eq!(response.status, 431);
    let many = "X: y\r\n".repeat(200);
    let response = server.connect().send(&format!("POST /mutate HTTP/1.1\r\n{many}Y: z"), b"");
    assert_eq!(response.status, 431);
}
