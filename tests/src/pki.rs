//! Certificates of the test world: an authority per cluster or server, kept in memory until somebody needs files.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    der: Vec<u8>,
}

/// A certificate with its key, both PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its private key (PKCS #8).
    pub key: String,
}

impl Authority {
    /// A fresh authority of this name.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("a self-signed certificate");
        Self {
            certificate: certificate.pem(),
            der: certificate.der().to_vec(),
            issuer: Issuer::new(params, key),
        }
    }

    /// The authority's certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The authority's certificate, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// A serving certificate for loopback: 127.0.0.1 and localhost.
    pub fn server(&self, name: &str) -> Identity {
        self.server_of(&["127.0.0.1", "localhost"], name)
    }

    /// A serving certificate for these DNS names and addresses.
    pub fn server_of(&self, names: &[&str], name: &str) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params, name, None)
    }

    /// A client certificate: to Kubernetes the user `name`, in `group` when there is one.
    pub fn client(&self, name: &str, group: Option<&str>) -> Identity {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, name, group)
    }

    fn issue(&self, mut params: CertificateParams, name: &str, group: Option<&str>) -> Identity {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a signed certificate");
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Identity {
    /// Writes `NAME.crt` and `NAME.key` and returns their paths.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let certificate = write(directory, &format!("{name}.crt"), &self.certificate);
        (certificate, write(directory, &format!("{name}.key"), &self.key))
    }
}

/// A signing key for service-account tokens: private half, public half, both PEM.
pub(crate) fn token_key() -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    (key.serialize_pem(), key.public_key_pem())
}

/// Writes a file and returns its path.
pub(crate) fn write(directory: &Path, name: &str, content: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    path
}
