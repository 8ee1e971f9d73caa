//! What callers prove themselves with, kept up to date while they are served.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use sha2::{Digest, Sha256};
use spark_injector_certs::{ClientAuthorities, ClientBundle};

use super::kept::keep_looking;
use crate::args::ClientArgs;
use crate::cli::exit::Failure;
use crate::server::{Clients, Names, Token};

/// The longest token that anybody issues has a few kilobytes, and two or three are known while one follows the other.
const TOKEN_LIMIT: usize = 16 * 1024;

/// The files with which callers are compared.
pub(super) struct ClientFiles {
    bundle: Option<ClientBundle>,
    token: Option<TokenFile>,
    names: Names,
}

/// A file with a token. Only digests are kept.
struct TokenFile {
    path: PathBuf,
    used: [u8; 32],
    refused: Option<String>,
    token: Token,
}

impl ClientFiles {
    /// Reads the files for the first time.
    pub(super) fn start(args: ClientArgs) -> Result<Self, Failure> {
        let ClientArgs { client_ca, client_name, client_token_file } = args;
        let unusable = |error: &dyn std::fmt::Display| Failure::Unusable(error.to_string());
        let bundle = client_ca.map(ClientBundle::start).transpose().map_err(|error| unusable(&error))?;
        let token = client_token_file.map(TokenFile::start).transpose().map_err(|error| unusable(&error))?;
        let names = Names(client_name.into_iter().filter(|name| !name.is_empty()).collect());
        Ok(Self { bundle, token, names })
    }

    /// What handshakes verify with.
    pub(super) fn authorities(&self) -> Option<Arc<ClientAuthorities>> {
        self.bundle.as_ref().map(ClientBundle::authorities)
    }

    /// What requests are compared with.
    pub(super) fn clients(&self) -> Clients {
        Clients {
            certificate: self.bundle.as_ref().map(|_| self.names.clone()),
            token: self.token.as_ref().map(|file| file.token.clone()),
        }
    }

    /// Looks at the files for ever.
    pub(super) async fn keep(self, every: Duration, failures: Counter) {
        if self.bundle.is_none() && self.token.is_none() {
            return;
        }
        keep_looking("clients", failures, (self, every), |files| {
            tracing::debug_span!("read_client_files").in_scope(|| files.look());
        })
        .await;
    }

    fn look(&mut self) {
        match self.bundle.as_mut().map(ClientBundle::poll) {
            Some(Ok(true)) => tracing::info!("other authorities of client certificates are used"),
            Some(Err(error)) => tracing::error!(%error, "authorities not usable; the old ones stay"),
            Some(Ok(false)) | None => {}
        }
        match self.token.as_mut().map(TokenFile::poll) {
            Some(Ok(true)) => tracing::info!("another client token is expected"),
            Some(Err(error)) => tracing::error!(error, "client token not usable; the old one stays"),
            Some(Ok(false)) | None => {}
        }
    }
}

impl TokenFile {
    fn start(path: PathBuf) -> Result<Self, String> {
        let text = read(&path)?;
        Ok(Self { path, used: Sha256::digest(&text).into(), refused: None, token: Token::new(&text) })
    }

    /// Whether another token is expected from now on; a mistake is told once.
    fn poll(&mut self) -> Result<bool, String> {
        match read(&self.path) {
            Ok(text) => {
                self.refused = None;
                let digest: [u8; 32] = Sha256::digest(&text).into();
                if digest == self.used {
                    return Ok(false);
                }
                self.used = digest;
                self.token.replace(&text);
                Ok(true)
            }
            Err(error) if self.refused.as_ref() == Some(&error) => Ok(false),
            Err(error) => {
                self.refused = Some(error.clone());
                Err(error)
            }
        }
    }
}

/// The tokens, without the white space around them. No error quotes one.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let name = path.display();
    let text = fs::read(path).map_err(|error| format!("{name}: {error}"))?;
    let tokens = text.trim_ascii();
    if tokens.is_empty() {
        return Err(format!("{name}: holds no token"));
    }
    let is_token = |line: &[u8]| line.trim_ascii().iter().all(u8::is_ascii_graphic);
    if tokens.len() > TOKEN_LIMIT || !tokens.split(|byte| *byte == b'\n').all(is_token) {
        return Err(format!(
            "{name}: holds no token: one on each line, of printable characters, at most {TOKEN_LIMIT} in all"
        ));
    }
    Ok(tokens.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_is_checked_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let mistake = |text: &[u8]| {
            fs::write(&path, text).unwrap();
            read(&path).unwrap_err()
        };
        assert!(mistake(b" \n").ends_with("token: holds no token"));
        let error = mistake(b"s3cr3t and more\n");
        assert!(error.contains("printable") && !error.contains("s3cr3t"), "{error}");
        fs::write(&path, "one\n").unwrap();
        let mut file = TokenFile::start(path.clone()).unwrap();
        assert_eq!(file.poll(), Ok(false));
        fs::write(&path, "two\r\none\n").unwrap();
        assert_eq!(file.poll(), Ok(true));
        fs::write(&path, "").unwrap();
        assert!(file.poll().is_err());
        assert_eq!(file.poll(), Ok(false), "it is said once");
    }
}
