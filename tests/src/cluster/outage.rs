//! What goes wrong with control planes: servers that end and come back, and a store that forgets its history.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::Cluster;

impl Cluster {
    /// SIGKILL to kube-apiserver: every connection breaks, nobody listens on its port.
    pub fn kill_api_server(&mut self) {
        self.api_server.kill();
    }

    /// SIGTERM to kube-apiserver, and its end.
    pub fn stop_api_server(&mut self) {
        self.api_server.stop();
    }

    /// Starts kube-apiserver again on the same port and data, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start_api_server(&mut self) {
        self.api_server.start_again();
        self.wait_until_ready().unwrap_or_else(|why| panic!("{why}"));
    }

    /// SIGKILL to etcd. The API server stays and answers with errors.
    pub fn kill_etcd(&mut self) {
        self.etcd.kill();
    }

    /// Starts etcd again on the same ports and data, and waits until the API server is ready again.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start_etcd(&mut self) {
        self.etcd.start_again();
        self.wait_until_ready().unwrap_or_else(|why| panic!("{why}"));
    }

    /// Sends a signal to kube-apiserver: `STOP` makes it hang with all connections open, `CONT` lets it go on.
    pub fn signal_api_server(&mut self, signal: &str) {
        self.api_server.signal(signal);
    }

    /// Removes the history from etcd: a watch that starts at an old revision is told "too old" (410) by the store.
    ///
    /// # Panics
    /// When etcd does not answer.
    pub fn compact_etcd(&self) {
        let status = self.ask_etcd("/v3/maintenance/status", &json!({}));
        let revision =
            status["header"]["revision"].as_str().unwrap_or_else(|| panic!("no revision: {status}"));
        self.ask_etcd("/v3/kv/compaction", &json!({"revision": revision, "physical": true}));
    }

    fn ask_etcd(&self, path: &str, body: &Value) -> Value {
        let address = self.store.trim_start_matches("http://");
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(address).expect("etcd listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }
}
