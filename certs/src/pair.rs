//! One certificate chain and its key: read, checked against each other and the clock, made ready for rustls.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::certificate::{Certificate, moment};
use crate::{Error, Handshake, crypto};

/// A chain of certificates and a key are some kilobytes; a path that leads elsewhere must not fill the memory.
const FILE_LIMIT: u64 = 1024 * 1024;

/// Where a certificate chain and its key are, and how they are to be served.
#[derive(Clone, Debug)]
pub struct Pair {
    /// PEM file with the leaf first, then the intermediates.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
    /// How they are served.
    pub handshake: Handshake,
}

/// Credentials that can be served now.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The server's TLS configuration: ALPN `http/1.1` alone, no resumption.
    pub config: Arc<ServerConfig>,
    /// First moment of the leaf.
    pub not_before: SystemTime,
    /// Last moment of the leaf.
    pub not_after: SystemTime,
}

/// What the two files hold at one moment; dropped as soon as it is parsed.
pub(crate) struct Contents {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Pair {
    /// Reads both files and makes them ready to be served.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or is not PEM, when the key does not belong to the leaf, and when the leaf is not
    /// valid at `now`.
    pub fn load(&self, now: SystemTime) -> Result<Credentials, Error> {
        self.check(&self.read()?, now)
    }

    pub(crate) fn read(&self) -> Result<Contents, Error> {
        Ok(Contents { certificate: read(&self.certificate)?, key: read(&self.key)? })
    }

    pub(crate) fn check(&self, contents: &Contents, now: SystemTime) -> Result<Credentials, Error> {
        let chain = self.chain(&contents.certificate)?;
        self.order(&chain)?;
        let (not_before, not_after) = self.validity(&chain, now)?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|_| content(&self.key, "holds no private key in PEM form"))?;
        let certified = self.certify(chain, key)?;
        let config = self.handshake.showing(Some(certified))?;
        Ok(Credentials { config: Arc::new(config), not_before, not_after })
    }

    fn chain(&self, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|_| content(&self.certificate, "is not complete PEM"))?;
        if chain.is_empty() {
            return Err(content(&self.certificate, "holds no certificate in PEM form"));
        }
        Ok(chain)
    }

    /// Clients take what follows the leaf as intermediates, whatever it is: a file in the wrong order works with some
    /// of them, and with some of them only until their own copy expires.
    fn order(&self, chain: &[CertificateDer<'static>]) -> Result<(), Error> {
        let parsed: Option<Vec<Certificate>> =
            chain.iter().map(|der| Certificate::from_der(der.clone())).collect();
        let parsed =
            parsed.ok_or_else(|| content(&self.certificate, "holds a certificate that is not X.509"))?;
        let is_chain = parsed.iter().zip(parsed.iter().skip(1)).all(|(one, issuer)| one.is_signed_by(issuer));
        if !is_chain {
            let problem =
                "is no chain: the serving certificate comes first, and after each one that which signed it";
            return Err(content(&self.certificate, problem));
        }
        Ok(())
    }

    fn validity(
        &self,
        chain: &[CertificateDer<'static>],
        now: SystemTime,
    ) -> Result<(SystemTime, SystemTime), Error> {
        let malformed = || content(&self.certificate, "its first certificate is not X.509");
        let leaf = chain.first().ok_or_else(malformed)?;
        let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| malformed())?;
        let validity = leaf.validity();
        let (not_before, not_after) = (moment(validity.not_before), moment(validity.not_after));
        if now > not_after {
            return Err(Error::Expired {
                path: self.certificate.clone(),
                since: validity.not_after.to_string(),
            });
        }
        if now < not_before {
            return Err(Error::NotYetValid {
                path: self.certificate.clone(),
                until: validity.not_before.to_string(),
            });
        }
        Ok((not_before, not_after))
    }

    fn certify(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<CertifiedKey, Error> {
        CertifiedKey::from_der(chain, key, &crypto()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                Error::Mismatch { certificate: self.certificate.clone(), key: self.key.clone() }
            }
            _ => content(&self.key, "holds a private key of a kind that is not supported"),
        })
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |reason| Error::Read { path: path.to_owned(), reason };
    let mut contents = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_LIMIT + 1).read_to_end(&mut contents).map_err(failed)?;
    if contents.len() as u64 > FILE_LIMIT {
        return Err(Error::TooLarge { path: path.to_owned(), limit: FILE_LIMIT });
    }
    if contents.is_empty() {
        return Err(content(path, "is empty"));
    }
    Ok(contents)
}

pub(crate) fn content(path: &Path, problem: &'static str) -> Error {
    Error::Content { path: path.to_owned(), problem }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::Protocols;

    /// The middle of the validity of every certificate made here.
    pub(crate) const NOON: i64 = 1_800_000_000;

    pub(crate) fn at(seconds: i64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap())
    }

    pub(crate) fn write_pair(directory: &Path, days: i64) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let noon = time::OffsetDateTime::from_unix_timestamp(NOON).unwrap();
        params.not_before = noon - time::Duration::days(1);
        params.not_after = noon + time::Duration::days(days);
        let certificate = params.self_signed(&key).unwrap();
        let pair = Pair {
            certificate: directory.join("tls.crt"),
            key: directory.join("tls.key"),
            handshake: Handshake::default(),
        };
        std::fs::write(&pair.certificate, certificate.pem()).unwrap();
        std::fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }

    #[test]
    fn a_pair_is_loaded_with_its_validity() {
        let directory = tempfile::tempdir().unwrap();
        let credentials = write_pair(directory.path(), 30).load(at(NOON)).unwrap();
        assert_eq!(credentials.not_after, at(NOON + 30 * 86_400));
        assert_eq!(credentials.config.alpn_protocols, vec![b"http/1.1".to_vec()]);
    }

    #[test]
    fn the_older_protocol_is_an_option() {
        let directory = tempfile::tempdir().unwrap();
        let handshake = Handshake { protocols: Protocols::Tls12And13, ..Handshake::default() };
        let pair = Pair { handshake, ..write_pair(directory.path(), 30) };
        pair.load(at(NOON)).unwrap();
    }

    #[test]
    fn the_clock_decides() {
        let directory = tempfile::tempdir().unwrap();
        let pair = write_pair(directory.path(), 30);
        let late = pair.load(at(NOON + 31 * 86_400)).unwrap_err().to_string();
        assert!(late.contains("tls.crt") && late.contains("expired on"), "{late}");
        let early = pair.load(at(NOON - 2 * 86_400)).unwrap_err().to_string();
        assert!(early.contains("not valid before"), "{early}");
    }

    #[test]
    fn unusable_files_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let pair = write_pair(directory.path(), 30);
        let (certificate, key) =
            (std::fs::read(&pair.certificate).unwrap(), std::fs::read(&pair.key).unwrap());
        let refused = |crt: &[u8], private: &[u8]| {
            std::fs::write(&pair.certificate, crt).unwrap();
            std::fs::write(&pair.key, private).unwrap();
            pair.load(at(NOON)).unwrap_err().to_string()
        };
        assert!(refused(b"", &key).ends_with("tls.crt: is empty"));
        assert!(refused(&certificate, b"").ends_with("tls.key: is empty"));
        assert!(
            refused(&certificate[..certificate.len() / 2], &key).contains("tls.crt: is not complete PEM")
        );
        assert!(refused(b"hello\n", &key).contains("tls.crt: holds no certificate"));
        let broken = refused(&certificate, &key[..key.len() / 2]);
        assert!(broken.contains("tls.key: holds no private key"), "{broken}");
        assert!(!broken.contains("MIG"), "key material in {broken}");
        std::fs::remove_file(&pair.key).unwrap();
        assert!(pair.load(at(NOON)).unwrap_err().to_string().contains("tls.key"));
    }

    #[test]
    fn a_key_of_another_pair_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let pair = write_pair(directory.path(), 30);
        std::fs::write(&pair.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        let error = pair.load(at(NOON)).unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    }

    #[test]
    fn a_chain_has_an_order() {
        let directory = tempfile::tempdir().unwrap();
        let issuer_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let intermediate = params.self_signed(&issuer_key).unwrap();
        let issuer = rcgen::Issuer::new(params, issuer_key);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let leaf = params.signed_by(&key, &issuer).unwrap();
        let pair = write_pair(directory.path(), 30);
        std::fs::write(&pair.key, key.serialize_pem()).unwrap();
        let load = |chain: &[&rcgen::Certificate]| {
            let pem: String = chain.iter().map(|certificate| certificate.pem()).collect();
            std::fs::write(&pair.certificate, pem).unwrap();
            pair.load(at(NOON))
        };
        load(&[&leaf, &intermediate]).unwrap();
        let stranger = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap();
        for wrong in [&[&intermediate, &leaf][..], &[&leaf, &stranger]] {
            let refused = load(wrong).unwrap_err().to_string();
            assert!(refused.contains("tls.crt: is no chain"), "{refused}");
        }
    }
}
