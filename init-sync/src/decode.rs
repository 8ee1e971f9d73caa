//! From the values of variables to the content of a file: base64, inflate, size, digest. No IO, and no payload
//! byte in an error: what does not decode may be most of a secret.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::PAD;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use crate::digest::sha256;
use crate::{Encoding, Exit, File, Wiped};

/// Why a file's variables are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// A variable is not canonical padded base64.
    NotBase64 {
        /// Which of the file's variables, counted from 0.
        variable: usize,
    },
    /// The joined variables are not one complete raw DEFLATE stream.
    BadDeflate,
    /// The content has another size than declared.
    Size {
        /// The declared size.
        declared: u64,
        /// The size found; nothing where decoding stopped at the declared size.
        found: Option<u64>,
    },
    /// The content has another SHA-256 than declared.
    Digest,
}

impl DecodeError {
    /// The code that `init-sync` ends with.
    pub const fn exit(self) -> Exit {
        match self {
            Self::NotBase64 { .. } => Exit::NotBase64,
            Self::BadDeflate => Exit::BadDeflate,
            Self::Size { .. } => Exit::SizeMismatch,
            Self::Digest => Exit::DigestMismatch,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBase64 { .. } => f.write_str("not canonical padded base64 without white space"),
            Self::BadDeflate => f.write_str("the variables joined are not one raw DEFLATE stream"),
            Self::Size { declared, found: Some(found) } => {
                write!(f, "{found} bytes where the manifest declares {declared}")
            }
            Self::Size { declared, found: None } => {
                write!(f, "more bytes than the {declared} that the manifest declares")
            }
            Self::Digest => f.write_str("the content's SHA-256 is not the one that the manifest declares"),
        }
    }
}

impl std::error::Error for DecodeError {}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
type Engine = base64::engine::Simd;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
type Engine = base64::engine::Scalar;

/// Decodes and verifies files: the standard alphabet, strict about padding and trailing bits (RFC 4648 §3.2, §3.5).
#[derive(Debug, Clone)]
pub struct Decoder {
    base64: Engine,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// Ready to decode, with the fastest engine that this processor has.
    pub fn new() -> Self {
        // Strict: canonical padding, no trailing bits.
        Self { base64: Engine::standard(PAD) }
    }

    /// Decodes one variable into `into`, which must have exactly [`decoded_size`] bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::NotBase64`].
    // One copy of the engine's loops: inlined into each caller, they are 4 kB of the binary.
    #[inline(never)]
    pub fn variable(&self, value: &[u8], into: &mut [u8]) -> Result<(), DecodeError> {
        match self.base64.decode_slice(value, into) {
            Ok(size) if size == into.len() => Ok(()),
            _ => Err(DecodeError::NotBase64 { variable: 0 }),
        }
    }

    /// Decodes a file from the values of its variables into `into`, whose length must be the declared size, and
    /// verifies it. After an error, `into` holds anything.
    ///
    /// # Errors
    ///
    /// What is wrong with the values, or that the content is not the declared one.
    pub fn file(&self, file: &File, values: &[impl AsRef<[u8]>], into: &mut [u8]) -> Result<(), DecodeError> {
        let encoded = values.iter().map(|value| decoded_size(value.as_ref())).sum();
        if file.encoding == Encoding::Plain && encoded == into.len() {
            self.join(values, into)?;
        } else {
            let mut bytes = Wiped::zeroed(encoded);
            // Before the size: broken base64 of the wrong size is broken base64 to whoever must repair it.
            self.join(values, &mut bytes)?;
            match file.encoding {
                Encoding::Plain => {
                    return Err(DecodeError::Size { declared: file.size, found: Some(encoded as u64) });
                }
                Encoding::Deflate => inflate(&bytes, into)?,
            }
        }
        if sha256(into) == file.digest { Ok(()) } else { Err(DecodeError::Digest) }
    }

    /// Each variable on its own: a chunk that ends inside a quartet is an error, however well the next continues it.
    // One copy for both of its callers.
    #[inline(never)]
    fn join(&self, values: &[impl AsRef<[u8]>], mut into: &mut [u8]) -> Result<(), DecodeError> {
        for (variable, value) in values.iter().map(AsRef::as_ref).enumerate() {
            let not_base64 = DecodeError::NotBase64 { variable };
            let (here, rest) = into.split_at_mut_checked(decoded_size(value)).ok_or(not_base64)?;
            self.variable(value, here).map_err(|_| not_base64)?;
            into = rest;
        }
        Ok(())
    }
}

/// How many bytes a variable decodes to, provided that it is canonical padded base64.
pub fn decoded_size(value: &[u8]) -> usize {
    let padding = value.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    (value.len() / 4 * 3).saturating_sub(padding)
}

/// The cap is the declared size, however small the input: a ratio would let large inputs through.
fn inflate(deflated: &[u8], into: &mut [u8]) -> Result<(), DecodeError> {
    let declared = into.len() as u64;
    let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, read, written) = decompress(&mut DecompressorOxide::new(), deflated, into, 0, flags);
    match status {
        TINFLStatus::Done if read != deflated.len() => Err(DecodeError::BadDeflate),
        TINFLStatus::Done if written == into.len() => Ok(()),
        TINFLStatus::Done => Err(DecodeError::Size { declared, found: Some(written as u64) }),
        TINFLStatus::HasMoreOutput => Err(DecodeError::Size { declared, found: None }),
        _ => Err(DecodeError::BadDeflate),
    }
}
