//! A serving certificate with its key.

use std::time::SystemTime;

use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use crate::certificate::Certificate;
use crate::crypto;
use crate::key::Key;

/// A serving certificate, its intermediates if it has any, and its key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leaf {
    pub(crate) certificate: Certificate,
    pub(crate) intermediates: Vec<Certificate>,
    pub(crate) key: Key,
}

impl Leaf {
    /// What a Secret holds, if certificate and key belong together.
    pub(crate) fn load(chain: &[u8], key: &[u8]) -> Option<Self> {
        let mut chain = Certificate::from_pem(chain)?.into_iter();
        let leaf =
            Self { certificate: chain.next()?, intermediates: chain.collect(), key: Key::new(key.to_vec()) };
        leaf.certified().map(|_| leaf)
    }

    /// The certificate itself.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Whether it counts at this moment, whoever signed it.
    pub(crate) fn is_valid(&self, now: SystemTime) -> bool {
        self.certificate.is_valid(now)
    }

    pub(crate) fn chain_pem(&self) -> Vec<u8> {
        let chain = std::iter::once(&self.certificate).chain(&self.intermediates);
        chain.map(Certificate::to_pem).collect::<String>().into_bytes()
    }

    /// As rustls wants it; `None` where the key is not the certificate's.
    pub(crate) fn certified(&self) -> Option<CertifiedKey> {
        let chain = std::iter::once(&self.certificate).chain(&self.intermediates);
        certify(chain, &self.key)
    }
}

pub(crate) fn certify<'c>(chain: impl Iterator<Item = &'c Certificate>, key: &Key) -> Option<CertifiedKey> {
    let key = PrivateKeyDer::from_pem_slice(key.pem()).ok()?;
    let chain = chain.map(|certificate| certificate.der().clone()).collect();
    CertifiedKey::from_der(chain, key, &crypto()).ok()
}
