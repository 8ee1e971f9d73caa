//! The HTTP side: reviews over TLS, health and metrics on a plain port, and an end that no caller notices.
//!
//! Binding is apart from serving, and the end is told from outside, so that tests own both. What a review means is
//! the engine's part: nothing here looks into a body.

mod admin;
mod body;
mod drain;
pub mod metrics;
mod record;
mod review;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Address, Handle, Server};
use hyper_util::rt::TokioTimer;
use tokio::sync::watch;

pub use drain::{DrainTimes, Stop};

use crate::admit::Answer;
use crate::catalog::Catalog;
use crate::sources::live::LiveCatalog;
use body::Budget;
use drain::Drain;
use metrics::Metrics;

/// The API server keeps idle connections for 90 s (Go's default) and does not repeat a POST that dies with EOF, so we
/// must be the slower one. hyper has one clock for both: it also bounds how long the headers may take.
const IDLE_LIMIT: Duration = Duration::from_secs(120);

/// A client that does not finish its handshake holds a socket and nothing else; the API server needs milliseconds.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);

/// How long connections that are still busy after the drain may go on.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// From a body to an answer: [`crate::admit::review`], or a stand-in of a test.
type Reviewer = fn(&Catalog, &[u8]) -> Answer;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct App {
    catalog: LiveCatalog,
    metrics: Arc<Metrics>,
    drain: Arc<Drain>,
    budget: Arc<Budget>,
    reviewer: Reviewer,
}

/// Sockets that accept connections already, although nobody serves them yet.
#[derive(Debug)]
pub struct Bound {
    review: TcpListener,
    admin: TcpListener,
}

/// Where the sockets listen; the ports are real ones, also where 0 was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Addresses {
    /// Reviews, over TLS.
    pub review: SocketAddr,
    /// Health and metrics, plain.
    pub admin: SocketAddr,
}

impl Bound {
    /// Opens both sockets; port 0 asks for a free one.
    ///
    /// # Errors
    ///
    /// When an address is in use, not ours, or not allowed; the error names the address.
    pub fn open(review: SocketAddr, admin: SocketAddr) -> io::Result<Self> {
        Ok(Self { review: listen(review)?, admin: listen(admin)? })
    }

    /// Where the sockets listen.
    ///
    /// # Errors
    ///
    /// When the operating system does not tell.
    pub fn addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses { review: self.review.local_addr()?, admin: self.admin.local_addr()? })
    }

    /// Serves until `stop` says otherwise: [`Stop::Gently`] drains first, [`Stop::Now`] does not.
    ///
    /// # Errors
    ///
    /// When a socket cannot be served at all. Trouble of one connection ends that connection.
    pub async fn serve(
        self,
        catalog: LiveCatalog,
        metrics: Arc<Metrics>,
        tls: RustlsConfig,
        times: DrainTimes,
        stop: watch::Receiver<Stop>,
    ) -> io::Result<()> {
        let drain = Arc::new(Drain::new(times));
        let app = App { catalog, metrics, drain, budget: Arc::default(), reviewer: crate::admit::review };
        self.serve_app(app, tls, stop).await
    }

    async fn serve_app(self, app: App, tls: RustlsConfig, stop: watch::Receiver<Stop>) -> io::Result<()> {
        let acceptor =
            RustlsAcceptor::new(tls).handshake_timeout(HANDSHAKE_LIMIT).acceptor(NoDelayAcceptor::new());
        let review = axum_server::from_tcp(self.review)?.acceptor(acceptor);
        let admin = axum_server::from_tcp(self.admin)?.acceptor(NoDelayAcceptor::new());
        let (review_handle, admin_handle) = (Handle::new(), Handle::new());
        let review = prepare(review, &review_handle).serve(review::routes(app.clone()).into_make_service());
        let admin = prepare(admin, &admin_handle).serve(admin::routes(app.clone()).into_make_service());
        let end = async {
            let drained = app.drain.wait(stop).await;
            match drained {
                // What is still running has its answer before the socket closes.
                Stop::Gently | Stop::Serve => review_handle.graceful_shutdown(Some(LAST_REQUESTS)),
                Stop::Now => review_handle.shutdown(),
            }
        };
        let reviews = async {
            let served = review.await;
            // Health is answered until the last review is.
            admin_handle.shutdown();
            served
        };
        tokio::pin!(end);
        let served = async { tokio::try_join!(reviews, admin).map(|_| ()) };
        tokio::pin!(served);
        tokio::select! {
            result = &mut served => result,
            () = &mut end => served.await,
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn prepare<A: Address, Acc>(server: Server<A, Acc>, handle: &Handle<A>) -> Server<A, Acc> {
    let mut server = server.handle(handle.clone()).http1_only();
    // A builder without a clock has no deadline at all.
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(IDLE_LIMIT);
    server
}
