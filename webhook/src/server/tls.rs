//! What the review port shows in a handshake; replaced while it is served. And whether callers would take it, which is
//! for the readiness probe.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::ServerConfig;
use tokio_rustls::{Accept, TlsAcceptor};

/// A handle to the TLS configuration in use; every clone sees the same one.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ArcSwap<ServerConfig>>,
    health: Health,
}

/// What is wrong with the certificate in use, if anything is.
#[derive(Clone, Debug, Default)]
pub(super) struct Health(Arc<ArcSwapOption<String>>);

impl Tls {
    /// Begins with this one.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self { config: Arc::new(ArcSwap::new(config)), health: Health::default() }
    }

    /// Shows another one to every connection from now on.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.config.store(config);
    }

    /// Says why callers would not take what is shown; with a reason the process is not ready.
    pub fn set_trouble(&self, trouble: Option<String>) {
        self.health.0.store(trouble.map(Arc::new));
    }

    pub(super) fn health(&self) -> Health {
        self.health.clone()
    }

    pub(super) fn accept<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> Accept<S> {
        TlsAcceptor::from(self.config.load_full()).accept(stream)
    }
}

impl Health {
    pub(super) fn trouble(&self) -> Option<Arc<String>> {
        self.0.load_full()
    }
}
