//! The authorities in a bundle, as a webhook configuration holds them: who they are and until when.

use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::certificate::moment;

/// One authority of a bundle.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its distinguished name.
    pub subject: String,
    /// From when on it is valid.
    pub not_before: SystemTime,
    /// Until when it is valid.
    pub not_after: SystemTime,
    /// The same for people.
    pub until: String,
    /// The certificate itself.
    pub der: CertificateDer<'static>,
}

impl Issuer {
    /// Reads a certificate.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn read(der: CertificateDer<'static>) -> Result<Self, &'static str> {
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| "not an X.509 certificate")?;
        let validity = parsed.validity();
        let (not_before, not_after) = (moment(validity.not_before), moment(validity.not_after));
        let (subject, until) = (parsed.subject().to_string(), validity.not_after.to_string());
        Ok(Self { subject, not_before, not_after, until, der })
    }
}

/// Reads every authority of a bundle in PEM.
///
/// # Errors
///
/// What is wrong with it, without quoting it.
pub fn read_bundle(pem: &[u8]) -> Result<Vec<Issuer>, String> {
    let mut issuers = Vec::new();
    for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let unusable = |why: &str| format!("certificate {} of the bundle: {why}", index + 1);
        let der = certificate.map_err(|_| unusable("not PEM"))?;
        issuers.push(Issuer::read(der).map_err(unusable)?);
    }
    if issuers.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(issuers) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_tells_its_authorities() {
        let names = ["one", "two"].map(|name| {
            let mut params = rcgen::CertificateParams::default();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            let key = rcgen::KeyPair::generate().unwrap();
            params.self_signed(&key).unwrap().pem()
        });
        let issuers = read_bundle(names.concat().as_bytes()).unwrap();
        let subjects: Vec<&str> = issuers.iter().map(|issuer| issuer.subject.as_str()).collect();
        assert_eq!(subjects, ["CN=one", "CN=two"]);
        assert!(issuers.iter().all(|issuer| issuer.not_before < issuer.not_after));
    }

    #[test]
    fn what_is_no_bundle_is_named_and_not_quoted() {
        assert_eq!(read_bundle(b"").unwrap_err(), "no certificate in it");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let said = read_bundle(broken.as_bytes()).unwrap_err();
        assert_eq!(said, "certificate 1 of the bundle: not an X.509 certificate");
    }
}
