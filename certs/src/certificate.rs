//! A certificate, read far enough to know when it counts and for whom.

use std::fmt;
use std::time::{Duration, SystemTime};

use pem::{EncodeConfig, LineEnding, Pem};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

/// How far the beginning of a new certificate lies in the past, for clients whose clocks are late.
pub(crate) const BACKDATED: Duration = Duration::from_secs(3600);

/// An X.509 certificate. Two are equal when their bytes are.
#[derive(Clone)]
pub struct Certificate {
    der: CertificateDer<'static>,
    not_before: SystemTime,
    not_after: SystemTime,
    is_authority: bool,
}

impl Certificate {
    pub(crate) fn from_der(der: CertificateDer<'static>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(&der).ok()?;
        let (not_before, not_after) =
            (moment(parsed.validity().not_before), moment(parsed.validity().not_after));
        let is_authority = parsed.is_ca();
        Some(Self { der, not_before, not_after, is_authority })
    }

    /// Every certificate of a PEM text; `None` where one of them is none, or there is no end to it.
    pub(crate) fn from_pem(pem: &[u8]) -> Option<Vec<Self>> {
        CertificateDer::pem_slice_iter(pem).map(|der| Self::from_der(der.ok()?)).collect()
    }

    pub(crate) fn to_pem(&self) -> String {
        let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
        pem::encode_config(&Pem::new("CERTIFICATE", self.der.to_vec()), config)
    }

    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// First moment at which it counts.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// Last moment at which it counts.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whether it may sign others.
    pub(crate) fn is_authority(&self) -> bool {
        self.is_authority
    }

    /// Whether it counts at this moment.
    pub(crate) fn is_valid(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// When it is to be replaced: after two thirds of its life, later by at most a twentieth, so that replicas do not
    /// act at one moment.
    pub(crate) fn renewal(&self, jitter: f64) -> SystemTime {
        let issued = self.not_before + BACKDATED;
        let life = self.not_after.duration_since(issued).unwrap_or_default();
        issued + life.mul_f64(2.0 / 3.0 + jitter.clamp(0.0, 1.0) / 20.0)
    }

    /// The host names and addresses that it is for.
    pub(crate) fn names(&self) -> Vec<String> {
        let Ok((_, parsed)) = X509Certificate::from_der(&self.der) else { return Vec::new() };
        let Ok(Some(extension)) = parsed.subject_alternative_name() else { return Vec::new() };
        let name = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        };
        extension.value.general_names.iter().filter_map(name).collect()
    }

    /// Whether `issuer` has signed it.
    pub(crate) fn is_signed_by(&self, issuer: &Self) -> bool {
        let (Ok((_, parsed)), Ok((_, issuer))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(&issuer.der))
        else {
            return false;
        };
        parsed.issuer() == issuer.subject() && parsed.verify_signature(Some(issuer.public_key())).is_ok()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(v4).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string())
}

pub(crate) fn moment(time: ASN1Time) -> SystemTime {
    let seconds = Duration::from_secs(time.timestamp().unsigned_abs());
    let moment = if time.timestamp() < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    moment.unwrap_or(SystemTime::UNIX_EPOCH)
}
