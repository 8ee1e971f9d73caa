//! Which client certificates are taken: those that an authority of a PEM bundle signed. The bundle is read again while
//! it is used, like the pair that is served.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::pair::{content, read};
use crate::{Error, crypto};

/// Verifies client certificates against the bundle in use.
///
/// A client without a certificate is let in: the answer to its request can say in words what was missing, which a TLS
/// alert cannot. Ask the connection for its certificates before believing it.
#[derive(Debug)]
pub struct ClientAuthorities {
    verifier: RwLock<Arc<dyn ClientCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Keeps [`ClientAuthorities`] up to date with a file.
#[derive(Debug)]
pub struct ClientBundle {
    path: PathBuf,
    used: [u8; 32],
    refused: Option<String>,
    authorities: Arc<ClientAuthorities>,
}

impl ClientBundle {
    /// Reads the bundle for the first time.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or holds no certificate of an authority: nobody could ever be verified.
    pub fn start(path: PathBuf) -> Result<Self, Error> {
        let pem = read(&path)?;
        let authorities = ClientAuthorities {
            verifier: RwLock::new(verifier(&path, &pem)?),
            algorithms: crypto().signature_verification_algorithms,
        };
        Ok(Self {
            path,
            used: Sha256::digest(&pem).into(),
            refused: None,
            authorities: Arc::new(authorities),
        })
    }

    /// What to verify with, now and after every change.
    pub fn authorities(&self) -> Arc<ClientAuthorities> {
        Arc::clone(&self.authorities)
    }

    /// Looks at the file: whether another bundle is used from now on.
    ///
    /// # Errors
    ///
    /// When the file cannot be used: the bundle of before stays. Reported once for each cause.
    pub fn poll(&mut self) -> Result<bool, Error> {
        match self.look() {
            Ok(changed) => {
                self.refused = None;
                Ok(changed)
            }
            Err(error) => {
                let text = error.to_string();
                if self.refused.replace(text.clone()) == Some(text) { Ok(false) } else { Err(error) }
            }
        }
    }

    fn look(&mut self) -> Result<bool, Error> {
        let pem = read(&self.path)?;
        let digest: [u8; 32] = Sha256::digest(&pem).into();
        if digest == self.used {
            return Ok(false);
        }
        let verifier = verifier(&self.path, &pem)?;
        *self.authorities.verifier.write().unwrap_or_else(PoisonError::into_inner) = verifier;
        self.used = digest;
        Ok(true)
    }
}

/// The names in a client certificate: its common name and its DNS names.
pub fn client_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    // What rustls has verified parses; anything else has no name.
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let dns = alternative.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    });
    common.chain(dns).map(str::to_owned).collect()
}

fn verifier(path: &Path, pem: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| content(path, "is not complete PEM"))?;
        roots.add(certificate).map_err(|_| content(path, "holds a certificate that is not X.509"))?;
    }
    if roots.is_empty() {
        return Err(content(path, "holds no certificate in PEM form"));
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), crypto())
        .build()
        .map_err(|_| content(path, "holds no certificate of an authority"))
}

impl ClientCertVerifier for ClientAuthorities {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// Empty, which stands for any: what is in use can change during a handshake.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verifier = Arc::clone(&self.verifier.read().unwrap_or_else(PoisonError::into_inner));
        verifier.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    fn authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        (pem, Issuer::new(params, key))
    }

    fn client(issuer: &Issuer<'static, KeyPair>) -> CertificateDer<'static> {
        let mut params =
            CertificateParams::new(vec!["api.example".to_owned(), "192.0.2.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().into()
    }

    #[test]
    fn the_bundle_decides_and_can_be_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.crt");
        let ((old, old_issuer), (new, new_issuer)) = (authority("old"), authority("new"));
        let verifies = |bundle: &ClientBundle, issuer| {
            bundle.authorities().verify_client_cert(&client(issuer), &[], UnixTime::now()).is_ok()
        };
        std::fs::write(&path, &old).unwrap();
        let mut bundle = ClientBundle::start(path.clone()).unwrap();
        assert!(verifies(&bundle, &old_issuer) && !verifies(&bundle, &new_issuer));
        assert!(!bundle.poll().unwrap());
        std::fs::write(&path, format!("{old}{new}")).unwrap();
        assert!(bundle.poll().unwrap());
        assert!(verifies(&bundle, &old_issuer) && verifies(&bundle, &new_issuer));
        std::fs::write(&path, &new[..new.len() / 2]).unwrap();
        assert!(bundle.poll().unwrap_err().to_string().contains("ca.crt: is not complete PEM"));
        assert!(!bundle.poll().unwrap(), "it is said once");
        assert!(verifies(&bundle, &old_issuer) && verifies(&bundle, &new_issuer));
        std::fs::write(&path, &new).unwrap();
        assert!(bundle.poll().unwrap());
        assert!(!verifies(&bundle, &old_issuer) && verifies(&bundle, &new_issuer));
    }

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.crt");
        let refused = || ClientBundle::start(path.clone()).unwrap_err().to_string();
        assert!(refused().contains("ca.crt"));
        std::fs::write(&path, "hello").unwrap();
        assert!(refused().contains("holds no certificate"));
    }

    #[test]
    fn names_are_the_common_name_and_the_dns_names() {
        let (_, issuer) = authority("any");
        assert_eq!(client_names(&client(&issuer)), ["kube-apiserver", "api.example"]);
        assert!(client_names(&CertificateDer::from(vec![1, 2, 3])).is_empty());
    }
}
