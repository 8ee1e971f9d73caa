//! Private keys: wiped when they go, never printed.

use std::fmt;

use zeroize::Zeroizing;

/// A private key in PEM form, as a Secret holds it.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Key(Zeroizing<Vec<u8>>);

impl Key {
    pub(crate) fn new(pem: Vec<u8>) -> Self {
        Self(Zeroizing::new(pem))
    }

    pub(crate) fn pem(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}
