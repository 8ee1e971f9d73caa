//! Who may ask for reviews: whoever proves to be the API server, by its certificate, its token, or both.
//!
//! Where nothing is asked for, nobody proves anything, and no patch may hold a secret: see
//! [`crate::catalog::Settings::client_authentication`].

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use spark_injector_certs::client_names;
use subtle::{Choice, ConstantTimeEq as _};

/// What callers have to prove; every proof that is asked for is needed.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    /// A client certificate, which the handshake has verified.
    pub certificate: Option<Names>,
    /// A bearer token.
    pub token: Option<Token>,
}

/// The names that a client certificate may have: one of them, or any where there are none.
#[derive(Clone, Debug, Default)]
pub struct Names(pub Vec<String>);

/// Tokens to compare with, replaced while they are used: several, so that one can follow another without a gap. Their
/// digests alone are kept.
#[derive(Clone)]
pub struct Token(Arc<ArcSwap<Vec<[u8; 32]>>>);

/// What a connection has proved in its handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Certificate {
    /// It showed none.
    Missing,
    /// It showed one with another name.
    OtherName,
    /// It showed a good one, or none was asked for.
    Good,
}

const NO_CERTIFICATE: &str = "no_client_certificate";
const OTHER_NAME: &str = "client_name";
const OTHER_TOKEN: &str = "client_token";

/// Every reason for which a caller is not heard.
pub(super) const REASONS: [&str; 3] = [NO_CERTIFICATE, OTHER_NAME, OTHER_TOKEN];

/// Why a caller is not heard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stranger {
    /// 401, or 403 for somebody who is known and not allowed: its text is shown to whoever creates the pod.
    pub(super) status: StatusCode,
    /// For logs and metrics.
    pub(super) reason: &'static str,
    /// For whoever set this up.
    pub(super) message: &'static str,
}

impl Clients {
    /// Whether anything has to be proved.
    pub fn are_asked(&self) -> bool {
        let Self { certificate, token } = self;
        certificate.is_some() || token.is_some()
    }

    /// Judges the certificates of a handshake.
    pub(super) fn certificate(&self, chain: Option<&[CertificateDer<'_>]>) -> Certificate {
        let Some(Names(allowed)) = &self.certificate else { return Certificate::Good };
        let Some(leaf) = chain.and_then(|chain| chain.first()) else { return Certificate::Missing };
        let named = || client_names(leaf).iter().any(|name| allowed.contains(name));
        if allowed.is_empty() || named() { Certificate::Good } else { Certificate::OtherName }
    }

    /// Judges a request.
    pub(super) fn admit(&self, certificate: Certificate, headers: &HeaderMap) -> Result<(), Stranger> {
        match certificate {
            Certificate::Good => {}
            Certificate::Missing => {
                let message = "only the API server is answered: a client certificate of the authority in --client-ca \
                               is needed, see --admission-control-config-file of kube-apiserver\n";
                return Err(Stranger { status: StatusCode::UNAUTHORIZED, reason: NO_CERTIFICATE, message });
            }
            Certificate::OtherName => {
                let message = "only the API server is answered: the client certificate has none of the names in --client-name\n";
                return Err(Stranger { status: StatusCode::FORBIDDEN, reason: OTHER_NAME, message });
            }
        }
        match &self.token {
            Some(token) if !token.is(headers) => {
                let message = "only the API server is answered: the bearer token of --client-token-file is needed, \
                               see --admission-control-config-file of kube-apiserver\n";
                Err(Stranger { status: StatusCode::UNAUTHORIZED, reason: OTHER_TOKEN, message })
            }
            _ => Ok(()),
        }
    }
}

impl Token {
    /// Compares with the tokens in this text, one on each line.
    pub fn new(text: &[u8]) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(digests(text))))
    }

    /// Compares with others from now on.
    pub fn replace(&self, text: &[u8]) {
        self.0.store(Arc::new(digests(text)));
    }

    fn is(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        let Some((scheme, token)) = value.split_at_checked(b"Bearer ".len()) else { return false };
        // Of the digests, so that not even the length of the right one is told by time.
        let digest: [u8; 32] = Sha256::digest(token).into();
        let is_one = self.0.load().iter().fold(Choice::from(0), |found, known| found | digest.ct_eq(known));
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(is_one)
    }
}

fn digests(text: &[u8]) -> Vec<[u8; 32]> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty()).map(|line| Sha256::digest(line).into()).collect()
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
        headers
    }

    #[test]
    fn a_token_is_compared_as_a_whole() {
        let token = Token::new(b"s3cr3t");
        assert!(token.is(&with("Bearer s3cr3t")) && token.is(&with("bearer s3cr3t")));
        for other in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer s3cr3",
            "Bearer s3cr3tt",
            "Bearer S3cr3t",
            "Basic s3cr3t",
            "s3cr3t",
        ] {
            assert!(!token.is(&with(other)), "{other}");
        }
        assert!(!token.is(&HeaderMap::new()));
        token.replace(b"another");
        assert!(token.is(&with("Bearer another")) && !token.is(&with("Bearer s3cr3t")));
        assert!(!format!("{token:?}").contains("another"));
        // While one follows the other, both are good; a line without a token is none.
        token.replace(b"another\r\n\n one \n");
        assert!(token.is(&with("Bearer another")) && token.is(&with("Bearer one")));
        assert!(!token.is(&with("Bearer ")) && !token.is(&with("Bearer s3cr3t")));
    }

    #[test]
    fn every_proof_that_is_asked_for_is_needed() {
        let both = Clients { certificate: Some(Names::default()), token: Some(Token::new(b"t")) };
        let reason =
            |certificate, headers: &HeaderMap| both.admit(certificate, headers).map_err(|why| why.reason);
        assert_eq!(reason(Certificate::Good, &with("Bearer t")), Ok(()));
        assert_eq!(reason(Certificate::Missing, &with("Bearer t")), Err("no_client_certificate"));
        assert_eq!(reason(Certificate::OtherName, &with("Bearer t")), Err("client_name"));
        assert_eq!(reason(Certificate::Good, &with("Bearer u")), Err("client_token"));
        assert!(both.are_asked());
    }

    #[test]
    fn nobody_proves_anything_where_nothing_is_asked_for() {
        let nothing = Clients::default();
        assert!(!nothing.are_asked());
        assert_eq!(nothing.admit(nothing.certificate(None), &HeaderMap::new()), Ok(()));
    }
}
