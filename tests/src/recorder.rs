//! A webhook that allows everything, changes nothing unless told to, and remembers each review: what the API server
//! really sends, with everything that it sets before it calls. It can also answer what no webhook should.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::response::Response;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::{Value, json};

use crate::client::Api;
use crate::pki::{Authority, Identity};
use crate::registration::Registration;
use crate::runtime;

type Reviews = Arc<Mutex<Vec<Value>>>;
type Answer = Arc<dyn Fn(&Value) -> RawAnswer + Send + Sync>;

/// An answer in HTTP's own words.
#[derive(Debug, Clone)]
pub struct RawAnswer {
    /// The status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl RawAnswer {
    /// JSON with status 200.
    pub fn json(body: &Value) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", "application/json".into())],
            body: body.to_string(),
        }
    }

    /// A review whose response has these fields besides the request's uid.
    pub fn reviewed(review: &Value, response: &Value) -> Self {
        let mut answer =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
        answer["response"]["uid"] = review["request"]["uid"].clone();
        Self::json(&answer)
    }
}

/// A running recorder; stops when dropped.
pub struct Recorder {
    address: SocketAddr,
    authority: Authority,
    reviews: Reviews,
    handle: Handle<SocketAddr>,
}

impl Recorder {
    /// One that changes nothing.
    pub fn start() -> Self {
        Self::start_with(|_| None)
    }

    /// One that changes nothing and talks only to holders of a client certificate that `clients` signed.
    pub fn start_for(clients: &Authority) -> Self {
        Self::launch(|review| allowed(review, None), Some(clients))
    }

    /// One that answers a review with this JSON patch: another team's mutating webhook.
    pub fn start_with(answer: impl Fn(&Value) -> Option<Value> + Send + Sync + 'static) -> Self {
        Self::launch(move |review| allowed(review, answer(review)), None)
    }

    /// One that answers a review with exactly this.
    pub fn start_raw(answer: impl Fn(&Value) -> RawAnswer + Send + Sync + 'static) -> Self {
        Self::launch(answer, None)
    }

    fn launch(
        answer: impl Fn(&Value) -> RawAnswer + Send + Sync + 'static,
        clients: Option<&Authority>,
    ) -> Self {
        let authority = Authority::new("recorder-ca");
        let identity = authority.server("recorder");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket for tokio");
        let address = listener.local_addr().expect("its address");

        let reviews = Reviews::default();
        let (kept, answer): (_, Answer) = (Arc::clone(&reviews), Arc::new(answer));
        let router = axum::Router::new().fallback(move |body: Bytes| {
            let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
            async move { respond(&kept, &answer, &body) }
        });

        let handle = Handle::new();
        let _inside = runtime::handle().enter();
        let server = axum_server::from_tcp_rustls(listener, tls(&identity, clients))
            .expect("a server on the listener");
        let server = server.handle(handle.clone()).serve(router.into_make_service());
        runtime::handle().spawn(server);
        Self { address, authority, reviews, handle }
    }

    /// How to register it under this name.
    pub fn registration(&self, name: &str) -> Registration {
        Registration::new(name, &format!("https://{}/record", self.address), self.authority.certificate())
    }

    /// All reviews so far, oldest first.
    pub fn reviews(&self) -> Vec<Value> {
        self.reviews.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the reviews so far.
    pub fn clear(&self) {
        self.reviews.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The review that the API server makes of this pod, which is not kept. The recorder must be registered and in
    /// effect in the pod's namespace. What the API server says to the pod afterwards does not matter: webhooks come
    /// before validation.
    ///
    /// # Panics
    /// When no review of it comes.
    #[track_caller]
    pub fn review_of(&self, api: &Api, pod: &Value) -> Value {
        let reply = api.dry_run(pod);
        let same = |review: &&Value| {
            let metadata = &review["request"]["object"]["metadata"];
            review["request"]["namespace"] == pod["metadata"]["namespace"]
                && metadata["name"] == pod["metadata"]["name"]
                && metadata["generateName"] == pod["metadata"]["generateName"]
        };
        let reviews = self.reviews();
        reviews
            .iter()
            .rev()
            .find(same)
            .cloned()
            .unwrap_or_else(|| panic!("no review came, but: {}", reply.text))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Recorder").field("address", &self.address).finish_non_exhaustive()
    }
}

fn respond(kept: &Reviews, answer: &Answer, body: &[u8]) -> Response {
    let review: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let RawAnswer { status, headers, body } = answer(&review);
    kept.lock().unwrap_or_else(PoisonError::into_inner).push(review);
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(body.into()).expect("an answer")
}

fn allowed(review: &Value, patch: Option<Value>) -> RawAnswer {
    let mut response = json!({"allowed": true});
    if let Some(patch) = patch {
        response["patchType"] = "JSONPatch".into();
        response["patch"] = BASE64.encode(patch.to_string()).into();
    }
    RawAnswer::reviewed(review, &response)
}

fn tls(identity: &Identity, clients: Option<&Authority>) -> RustlsConfig {
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    let provider = Arc::new(ring::default_provider());
    let verifier = clients.map_or_else(WebPkiClientVerifier::no_client_auth, |clients| {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(clients.der().to_vec())).expect("an authority");
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        builder.build().expect("a verifier")
    });
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the default versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .expect("a matching pair");
    RustlsConfig::from_config(Arc::new(config))
}
