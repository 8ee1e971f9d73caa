//! Whom clients trust: a set of authorities.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls_pki_types::{ServerName, UnixTime};

use crate::certificate::Certificate;
use crate::{Leaf, crypto};

/// Authorities, each once and in one order: two bundles are equal when they hold the same ones.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Bundle(Vec<Certificate>);

impl Bundle {
    /// What a `caBundle` holds. Where any of it cannot be read, clients cannot use it either: it holds nothing then.
    pub fn from_pem(pem: &[u8]) -> Self {
        let mut bundle = Self::default();
        for certificate in Certificate::from_pem(pem).unwrap_or_default() {
            bundle.add(&certificate);
        }
        bundle
    }

    /// As a `caBundle` has it.
    pub fn to_pem(&self) -> Vec<u8> {
        self.0.iter().map(Certificate::to_pem).collect::<String>().into_bytes()
    }

    pub(crate) fn add(&mut self, certificate: &Certificate) {
        if let Err(place) = self.0.binary_search_by(|one| one.der().as_ref().cmp(certificate.der())) {
            self.0.insert(place, certificate.clone());
        }
    }

    pub(crate) fn contains(&self, certificate: &Certificate) -> bool {
        self.0.contains(certificate)
    }

    /// Every authority.
    pub fn iter(&self) -> impl Iterator<Item = &Certificate> {
        self.0.iter()
    }

    /// Whether a client that trusts these and asks for `host` takes this leaf at `now`: a real verification.
    pub fn verifies(&self, leaf: &Leaf, host: &str, now: SystemTime) -> bool {
        let mut roots = RootCertStore::empty();
        // Unlike webpki, Go's client also asks whether the authority itself counts.
        for certificate in self.0.iter().filter(|certificate| certificate.is_valid(now)) {
            // One that cannot be used is not trusted; clients skip it likewise.
            drop(roots.add(certificate.der().clone()));
        }
        // No builder for an empty set: nobody is trusted.
        let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), crypto()).build()
        else {
            return false;
        };
        let (Ok(name), Ok(since)) = (ServerName::try_from(host), now.duration_since(SystemTime::UNIX_EPOCH))
        else {
            return false;
        };
        let intermediates: Vec<_> = leaf.intermediates.iter().map(|one| one.der().clone()).collect();
        let now = UnixTime::since_unix_epoch(since);
        verifier.verify_server_cert(leaf.certificate.der(), &intermediates, &name, &[], now).is_ok()
    }
}
