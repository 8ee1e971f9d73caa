//! From the content of a file to the values of variables.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use init_sync::Encoding;

/// Compression is tried above this size; below it a file stays readable under its own name.
const COMPRESS_ABOVE: usize = 16 * 1024;
/// DEFLATE's middle: higher levels cost much and gain little.
const COMPRESSION_LEVEL: u8 = 6;
/// Above this size samples say first whether compressing is worth it: trying costs most where nothing is won.
const SAMPLE_ABOVE: usize = 64 * 1024;
const SAMPLES: usize = 4;
const SAMPLE_BYTES: usize = 4 * 1024;
/// One variable holds at most this much base64: the kernel takes 128 KiB for a name and its value.
const MAX_VALUE_BYTES: usize = 96 * 1024;

/// A content as it travels.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Encoded {
    pub(super) encoding: Encoding,
    /// Of each variable; at least one.
    pub(super) values: Vec<String>,
}

impl Encoded {
    /// Encodes the content of a file.
    fn new(content: &[u8]) -> Self {
        let compressed = compress(content);
        let (encoding, bytes) = match &compressed {
            Some(compressed) => (Encoding::Deflate, compressed.as_slice()),
            None => (Encoding::Plain, content),
        };
        if bytes.is_empty() {
            return Self::verbatim(String::new());
        }
        // A multiple of three bytes: each chunk is canonical base64 on its own.
        let chunks = bytes.chunks(MAX_VALUE_BYTES / 4 * 3);
        Self { encoding, values: chunks.map(|chunk| STANDARD.encode(chunk)).collect() }
    }

    /// A text that travels as it is.
    pub(super) fn verbatim(text: String) -> Self {
        Self { encoding: Encoding::Plain, values: vec![text] }
    }
}

/// The content compressed, where that halves it.
fn compress(content: &[u8]) -> Option<Vec<u8>> {
    let worth_trying = content.len() > COMPRESS_ABOVE && looks_compressible(content);
    let compressed =
        worth_trying.then(|| miniz_oxide::deflate::compress_to_vec(content, COMPRESSION_LEVEL))?;
    (compressed.len() * 2 <= content.len()).then_some(compressed)
}

/// Whether samples from all over a large content shrink to seven tenths: less than what the whole has to do, since they
/// are too short to find what repeats from afar.
fn looks_compressible(content: &[u8]) -> bool {
    if content.len() <= SAMPLE_ABOVE {
        return true;
    }
    let step = (content.len() - SAMPLE_BYTES) / (SAMPLES - 1);
    let starts = (0..SAMPLES).map(|sample| sample * step);
    let samples: Vec<u8> =
        starts.filter_map(|start| content.get(start..start + SAMPLE_BYTES)).flatten().copied().collect();
    let compressed = miniz_oxide::deflate::compress_to_vec(&samples, 1);
    compressed.len() * 10 <= samples.len() * 7
}

/// Encodes each content once. One that a Secret still holds is not encoded again, in whichever profile it comes back:
/// what all teams inherit from one base is there once.
#[derive(Clone, Debug, Default)]
pub(super) struct Encodings(HashMap<[u8; 32], Weak<Encoded>>);

impl Encodings {
    /// The encoding of the content with this digest.
    pub(super) fn of(&mut self, digest: [u8; 32], content: &[u8]) -> Arc<Encoded> {
        if let Some(known) = self.0.get(&digest).and_then(Weak::upgrade) {
            return known;
        }
        let encoded = Arc::new(Encoded::new(content));
        self.0.insert(digest, Arc::downgrade(&encoded));
        encoded
    }

    /// Forgets what nobody holds any more.
    pub(super) fn tidy(&mut self) {
        self.0.retain(|_, encoded| encoded.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        (0..bytes).map(next).collect()
    }

    #[test]
    fn samples_tell_what_is_worth_compressing() {
        let text = "<property><name>dfs.replication</name><value>3</value></property>\n".repeat(5_000);
        assert!(looks_compressible(text.as_bytes()));
        assert_eq!(Encoded::new(text.as_bytes()).encoding, Encoding::Deflate);
        let noise = noise(300_000);
        assert!(!looks_compressible(&noise));
        assert_eq!(Encoded::new(&noise).encoding, Encoding::Plain);
        assert!(looks_compressible(&noise[..SAMPLE_ABOVE]), "what is small is simply tried");
    }

    #[test]
    fn one_content_is_encoded_once_as_long_as_somebody_holds_it() {
        let mut encodings = Encodings::default();
        let first = encodings.of([1; 32], b"a");
        assert!(Arc::ptr_eq(&first, &encodings.of([1; 32], b"a")));
        drop(first);
        encodings.tidy();
        assert!(encodings.0.is_empty());
    }
}
