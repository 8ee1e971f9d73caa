//! A TLS handshake with the injector as the API server would make it: same name, same authorities.

use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde_json::Value;
use spark_injector_certs::{Issuer, crypto};

use super::finding::Finding;

const CHECK: &str = "certificate";

/// What cannot be reached within this time is not reachable from here.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where an entry is called: host and port.
pub(super) fn target(hook: &Value) -> Option<(String, u16)> {
    if let Some(url) = hook.pointer("/clientConfig/url").and_then(Value::as_str) {
        let uri: http::Uri = url.parse().ok()?;
        return Some((uri.host()?.trim_matches(['[', ']']).to_owned(), uri.port_u16().unwrap_or(443)));
    }
    let service = hook.pointer("/clientConfig/service")?;
    let text = |field: &str| service.get(field).and_then(Value::as_str);
    let port = service.get("port").and_then(Value::as_u64).unwrap_or(443);
    Some((format!("{}.{}.svc", text("name")?, text("namespace")?), u16::try_from(port).ok()?))
}

/// Shakes hands. From outside the cluster the name does not resolve: then nobody can tell, and the canaries will.
pub(super) fn shake(host: &str, port: u16, issuers: &[Issuer]) -> Finding {
    let subject = format!("{host}:{port}");
    let stream = match connect(host, port) {
        Ok(stream) => stream,
        Err(error) => {
            let detail =
                format!("not reachable from here ({error}); the canaries tell what the API server sees");
            return Finding::skipped(CHECK, subject, detail);
        }
    };
    match verify(host, stream, issuers) {
        Ok(until) => Finding::passed(CHECK, subject, format!("believed by the CA bundle{until}")),
        Err(error) => Finding::failed(
            CHECK,
            subject,
            format!("the handshake failed: {error}"),
            "the serving certificate needs this name, and an issuer that is in the caBundle: see the injector's log",
        ),
    }
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn verify(host: &str, mut stream: TcpStream, issuers: &[Issuer]) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(issuers.iter().map(|issuer| issuer.der.clone()));
    let config = ClientConfig::builder_with_provider(crypto())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| error.to_string())?;
    }
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    let leaf = leaf.and_then(|leaf| Issuer::read(leaf.clone().into_owned()).ok());
    Ok(leaf
        .filter(|leaf| leaf.not_after > SystemTime::now())
        .map(|leaf| format!(", valid until {}", leaf.until))
        .unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::check::finding::Verdict;

    #[test]
    fn services_and_urls_are_called_by_their_names() {
        let service = json!({"clientConfig": {"service": {"name": "s", "namespace": "n"}}});
        assert_eq!(target(&service), Some(("s.n.svc".to_owned(), 443)));
        let url = json!({"clientConfig": {"url": "https://127.0.0.1:8443/mutate"}});
        assert_eq!(target(&url), Some(("127.0.0.1".to_owned(), 8443)));
        assert_eq!(target(&json!({})), None);
    }

    #[test]
    fn what_is_not_reachable_is_left_to_the_canaries() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert_eq!(shake("127.0.0.1", closed, &[]).verdict, Verdict::Skipped);
    }
}
