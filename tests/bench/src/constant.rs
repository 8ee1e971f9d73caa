//! The speed of light: the server's own stack, with a handler that reads the body and answers a constant.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::args::Constant;

/// As in `serve`: both ends of the comparison have the same deadlines.
const IDLE_LIMIT: Duration = Duration::from_secs(120);

/// Serves until the standard input ends.
pub(crate) fn serve(args: &Constant) {
    let answer = Bytes::from(std::fs::read(&args.answer).expect("the answer"));
    let certificates = CertificateDer::pem_file_iter(&args.certificate).expect("a certificate");
    let certificates = certificates.collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(&args.key).expect("a key");
    let mut tls = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
        .expect("a pair");
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("an address");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.spawn(async move {
        let acceptor =
            RustlsAcceptor::new(RustlsConfig::from_config(tls.into())).acceptor(NoDelayAcceptor::new());
        let app = Router::new()
            .route("/mutate", post(constant))
            .layer(DefaultBodyLimit::disable())
            .with_state(answer);
        let mut server = axum_server::from_tcp(listener).expect("a socket").acceptor(acceptor).http1_only();
        server
            .http_builder()
            .http1()
            .timer(hyper_util::rt::TokioTimer::new())
            .header_read_timeout(IDLE_LIMIT);
        server.serve(app.into_make_service()).await.expect("it serves");
    });
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{{\"listening\":{{\"review\":\"{address}\"}}}}").expect("a parent");
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    runtime.shutdown_background();
}

async fn constant(State(answer): State<Bytes>, body: Bytes) -> Response {
    drop(body);
    ([(header::CONTENT_TYPE, "application/json")], Body::from(answer)).into_response()
}
