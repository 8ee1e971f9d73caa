//! A certificate authority of our own and what it signs.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::OffsetDateTime;
use zeroize::Zeroize as _;

use crate::certificate::{BACKDATED, Certificate};
use crate::key::Key;
use crate::leaf::certify;
use crate::{Error, Leaf};

/// A certificate with which others are signed, and its key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Authority {
    pub(crate) certificate: Certificate,
    pub(crate) key: Key,
}

impl Authority {
    /// A new authority, ECDSA P-256, valid from an hour ago.
    pub(crate) fn generate(now: SystemTime, lifetime: Duration) -> Result<Self, Error> {
        let (mut params, mut pair) = (CertificateParams::default(), generate_key()?);
        set_validity(&mut params, now, now + lifetime);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        // A name of its own: of several in a bundle, clients try the one that the leaf names.
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        params.distinguished_name.push(DnType::CommonName, format!("spark-injector authority {since}"));
        let certificate = params.self_signed(&pair).map_err(|_| Error::Issue)?;
        let authority = Self { certificate: parsed(&certificate)?, key: Key::new(pem(&pair)) };
        pair.zeroize();
        Ok(authority)
    }

    /// What a Secret holds, if the two belong together and the certificate may sign others.
    pub(crate) fn load(certificate: &[u8], key: &[u8]) -> Option<Self> {
        let [certificate]: [Certificate; 1] = Certificate::from_pem(certificate)?.try_into().ok()?;
        let key = Key::new(key.to_vec());
        let belongs = certify(std::iter::once(&certificate), &key).is_some();
        (certificate.is_authority() && belongs).then_some(Self { certificate, key })
    }

    /// A new serving certificate, ECDSA P-256, for these host names and addresses, valid from an hour ago and no
    /// longer than the authority itself.
    pub(crate) fn sign(&self, names: &[String], now: SystemTime, lifetime: Duration) -> Result<Leaf, Error> {
        let mut params = CertificateParams::new(names.to_vec()).map_err(|_| Error::Name)?;
        set_validity(&mut params, now, (now + lifetime).min(self.certificate.not_after()));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.distinguished_name.push(DnType::CommonName, "spark-injector");
        let signer = std::str::from_utf8(self.key.pem()).map_err(|_| Error::Issue)?;
        let signer = KeyPair::from_pem(signer).map_err(|_| Error::Issue)?;
        let issuer = Issuer::from_ca_cert_der(self.certificate.der(), signer).map_err(|_| Error::Issue)?;
        let mut pair = generate_key()?;
        let certificate = params.signed_by(&pair, &issuer).map_err(|_| Error::Issue)?;
        let key = Key::new(pem(&pair));
        let leaf = Leaf { certificate: parsed(&certificate)?, intermediates: Vec::new(), key };
        pair.zeroize();
        Ok(leaf)
    }
}

fn generate_key() -> Result<KeyPair, Error> {
    KeyPair::generate().map_err(|_| Error::Issue)
}

fn pem(pair: &KeyPair) -> Vec<u8> {
    pair.serialize_pem().into_bytes()
}

fn parsed(certificate: &rcgen::Certificate) -> Result<Certificate, Error> {
    Certificate::from_der(certificate.der().clone()).ok_or(Error::Issue)
}

fn set_validity(params: &mut CertificateParams, now: SystemTime, end: SystemTime) {
    params.not_before = OffsetDateTime::from(now - BACKDATED);
    params.not_after = OffsetDateTime::from(end);
}
