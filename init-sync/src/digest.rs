//! SHA-256, and the short form of it that people compare by eye. No comparison is secret here: a manifest and its
//! digests stand beside the content.

use sha2::{Digest as _, Sha256};

/// The SHA-256 of `bytes`.
// One copy of the rounds and the padding: inlined into each caller, they are 2 kB of the binary.
#[inline(never)]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The first 16 hex digits of the SHA-256 of `bytes`.
///
/// ```
/// assert_eq!(init_sync::digest::fingerprint(b""), "e3b0c44298fc1c14");
/// ```
pub fn fingerprint(bytes: &[u8]) -> String {
    let mut short = [0; 8];
    short.iter_mut().zip(sha256(bytes)).for_each(|(short, byte)| *short = byte);
    format!("{:016x}", u64::from_be_bytes(short))
}
