//! Looks all the time, as a client does: at the bundles that are published, and at the certificate that each replica
//! serves. Every certificate has to verify against every bundle of the last moments.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde_json::Value;

use crate::client::Api;

const EVERY: Duration = Duration::from_millis(50);

/// What it has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// How often it looked at a replica.
    pub handshakes: usize,
    /// The certificates that were served, DER.
    pub leaves: BTreeSet<Vec<u8>>,
    /// The bundles that were published, oldest first: PEM, one for each entry.
    pub bundles: Vec<Vec<String>>,
    /// Certificates that did not verify against a bundle that counted, and handshakes that failed.
    pub troubles: Vec<String>,
}

/// Looks until it is dropped or asked.
#[derive(Debug)]
pub struct Witness {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    thread: Option<JoinHandle<()>>,
}

/// The bundles of all entries, as they stood from one moment to another.
struct Published {
    bundles: Vec<String>,
    until: Option<Instant>,
}

impl Witness {
    /// Looks at this configuration and these replicas, whose certificate has to be for `host`. Every bundle of the
    /// last `window` counts.
    pub fn start(
        api: &Api,
        configuration: &str,
        host: &str,
        replicas: Vec<SocketAddr>,
        window: Duration,
    ) -> Self {
        let path = configuration_path(configuration);
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Seen::default())));
        let (api, host, stopped, found) =
            (api.clone(), host.to_owned(), Arc::clone(&stop), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            let mut history: Vec<Published> = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                note(&mut history, bundles(&api.get(&path).body));
                for replica in &replicas {
                    let result = look(*replica, &host, &history, window);
                    let mut seen = found.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.handshakes += 1;
                    match result {
                        Ok(leaf) => _ = seen.leaves.insert(leaf),
                        Err(trouble) => seen.troubles.push(format!("{replica}: {trouble}")),
                    }
                }
                let published = history.iter().map(|published| published.bundles.clone()).collect();
                found.lock().unwrap_or_else(PoisonError::into_inner).bundles = published;
                std::thread::sleep(EVERY);
            }
        });
        Self { stop, seen, thread: Some(thread) }
    }

    /// How many different leaves and bundles it has met so far.
    pub fn counts(&self) -> (usize, usize) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        (seen.leaves.len(), seen.bundles.len())
    }

    /// Ends, and tells everything.
    pub fn tell(mut self) -> Seen {
        self.end();
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the witness lives");
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The path of a webhook configuration.
pub fn configuration_path(name: &str) -> String {
    format!("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{name}")
}

/// The `caBundle` of each entry as PEM, empty where there is none.
pub fn bundles(configuration: &Value) -> Vec<String> {
    let entries = configuration["webhooks"].as_array().into_iter().flatten();
    let text = |entry: &Value| entry["clientConfig"]["caBundle"].as_str().unwrap_or_default().to_owned();
    let decode = |text: String| String::from_utf8(BASE64.decode(text).expect("base64")).expect("PEM");
    entries.map(text).map(decode).collect()
}

fn note(history: &mut Vec<Published>, bundles: Vec<String>) {
    if history.last().is_some_and(|last| last.bundles == bundles) {
        return;
    }
    if let Some(last) = history.last_mut() {
        last.until = Some(Instant::now());
    }
    history.push(Published { bundles, until: None });
}

fn look(replica: SocketAddr, host: &str, history: &[Published], window: Duration) -> Result<Vec<u8>, String> {
    let chain = served(replica)?;
    let now = Instant::now();
    let recent = history.iter().filter(|one| one.until.is_none_or(|until| until + window > now));
    for bundle in recent.flat_map(|published| &published.bundles) {
        verify(&chain, bundle, host).map_err(|error| format!("{error}, with the bundle\n{bundle}"))?;
    }
    Ok(chain[0].to_vec())
}

/// Verifies as the API server does.
///
/// # Errors
/// The reason, as text.
pub fn verify(chain: &[CertificateDer<'_>], bundle: &str, host: &str) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(root.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
        .build()
        .map_err(|error| error.to_string())?;
    let name = ServerName::try_from(host).expect("a name");
    let (leaf, intermediates) = chain.split_first().ok_or("no certificate")?;
    let judged = verifier.verify_server_cert(leaf, intermediates, &name, &[], UnixTime::now());
    judged.map(drop).map_err(|error| error.to_string())
}

/// What a replica shows in a handshake.
///
/// # Errors
/// The reason, as text.
pub fn served(replica: SocketAddr) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = |error: &dyn std::fmt::Display| format!("handshake: {error}");
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).map_err(|error| text(&error))?;
    let mut stream =
        TcpStream::connect_timeout(&replica, Duration::from_secs(5)).map_err(|error| text(&error))?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(|error| text(&error))?;
    while client.is_handshaking() {
        client.complete_io(&mut stream).map_err(|error| text(&error))?;
    }
    let chain = client.peer_certificates().ok_or("no certificate")?.to_vec();
    client.send_close_notify();
    let _ = client.write_tls(&mut stream).and_then(|_| stream.flush());
    Ok(chain.into_iter().map(CertificateDer::into_owned).collect())
}

/// Takes every certificate: it is judged afterwards, against more than one bundle.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
