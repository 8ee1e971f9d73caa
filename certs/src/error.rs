//! Why credentials cannot be made or used. The texts name the file; they never quote what is in it.

use std::io;
use std::path::PathBuf;

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },
    /// A file holds more than credentials can.
    #[error("{}: larger than {limit} bytes, which no certificate chain or key is", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// A file is not what it should be.
    #[error("{}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, in fixed words: the parser's own may quote a line of the key.
        problem: &'static str,
    },
    /// The certificate has expired.
    #[error("{}: the certificate expired on {since}", path.display())]
    Expired {
        /// The file.
        path: PathBuf,
        /// Its last moment.
        since: String,
    },
    /// The certificate is for later.
    #[error("{}: the certificate is not valid before {until}; is the clock of this machine right?", path.display())]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// Its first moment.
        until: String,
    },
    /// Certificate and key are of different pairs.
    #[error("{}: the key does not belong to the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A name is not one that a certificate can be for.
    #[error("the serving certificate cannot be made: one of its names is no host name or address")]
    Name,
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: the source of randomness or the key of the authority fails")]
    Issue,
    /// TLS cannot be set up at all.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}
