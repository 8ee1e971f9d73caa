//! How the review port shakes hands, whatever certificate it shows.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::{ClientAuthorities, Error, Leaf, crypto};

/// Which protocol versions are offered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Protocols {
    /// TLS 1.3 only. Every API server that is supported speaks it.
    #[default]
    Tls13,
    /// TLS 1.3 and 1.2, for proxies that terminate in between.
    Tls12And13,
}

/// How the review port shakes hands.
#[derive(Clone, Debug, Default)]
pub struct Handshake {
    /// Offered protocol versions.
    pub protocols: Protocols,
    /// Which client certificates are taken; without it nobody is asked for one.
    pub clients: Option<Arc<ClientAuthorities>>,
}

impl Handshake {
    /// Shows this leaf; without one, every handshake fails.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up at all.
    pub fn config(&self, leaf: Option<&Leaf>) -> Result<ServerConfig, Error> {
        self.showing(leaf.and_then(Leaf::certified))
    }

    pub(crate) fn showing(&self, certified: Option<CertifiedKey>) -> Result<ServerConfig, Error> {
        let versions: &[&rustls::SupportedProtocolVersion] = match self.protocols {
            Protocols::Tls13 => &[&rustls::version::TLS13],
            Protocols::Tls12And13 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        };
        let builder = ServerConfig::builder_with_provider(crypto())
            .with_protocol_versions(versions)
            .map_err(Error::Setup)?;
        let builder = match &self.clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::<ClientAuthorities>::clone(clients)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Always(certified.map(Arc::new))));
        // The API server speaks HTTP/1.1 to a Service; without h2 there is no attack surface of h2.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // The API server never resumes a session, so that a ticket is work for nothing; and whoever resumed one would
        // not be verified against another bundle of authorities.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(config)
    }
}

/// The one certificate, whatever name the client asks for: it is the client's part to check it.
#[derive(Debug)]
struct Always(Option<Arc<CertifiedKey>>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_session_is_ever_resumed() {
        for protocols in [Protocols::Tls13, Protocols::Tls12And13] {
            let config = Handshake { protocols, clients: None }.config(None).unwrap();
            assert_eq!(config.send_tls13_tickets, 0);
            assert!(!config.ticketer.enabled() && !config.session_storage.can_cache());
        }
    }
}
