//! A client that writes its HTTP by hand.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A connection over TLS.
pub(crate) struct Client(pub(crate) StreamOwned<ClientConnection, TcpStream>);

impl Client {
    /// Offers HTTP/2 first, as the API server does.
    pub(crate) fn connect(address: SocketAddr, root: &Path) -> std::io::Result<Self> {
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

    pub(crate) fn send(&mut self, head: &str, body: &[u8]) -> Response {
        let head = format!("{head}\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        // The server may answer and close before all of it is sent.
        drop(self.0.write_all(head.as_bytes()).and_then(|()| self.0.write_all(body)));
        read_response(&mut self.0).unwrap()
    }

    pub(crate) fn post(&mut self, body: &[u8]) -> Response {
        // As long as a configuration may allow: a busy machine is no reason to give up.
        self.send("POST /mutate?timeout=30s HTTP/1.1\r\nContent-Type: application/json", body)
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

pub(crate) fn read_response(stream: &mut impl Read) -> std::io::Result<Response> {
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

pub(crate) fn write_pair(folder: &Path) {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
    fs::write(folder.join("tls.crt"), certificate.pem()).unwrap();
}

pub(crate) fn review(uid: &str) -> Vec<u8> {
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

/// A plain GET: status and body.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let response = read_response(&mut stream).unwrap();
    (response.status, String::from_utf8(response.body).unwrap())
}
