//! Any text to a manifest of init-sync, and any value to the content of its files: no panic, nothing accepted that
//! breaks a rule, and one way to write what is accepted.

use init_sync::digest::sha256;
use init_sync::{
    Decoder, Entry, MAX_ENTRIES, MAX_FILES, MAX_TOTAL_BYTES, Manifest, check_path, is_legal_variable,
};

/// Declared content beyond this is not decoded: it would only make runs slow.
const LARGEST: u64 = 64 * 1024;

/// Holds for any bytes: up to the first NUL they are the manifest, after it the value of every variable.
///
/// # Panics
///
/// Where it does not.
pub fn manifest(bytes: &[u8]) {
    let (text, value) = match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[][..]),
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let manifest: Manifest = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => {
            assert!(!error.to_string().is_empty(), "an error says something");
            return;
        }
    };
    manifest.validate().expect("what was read is valid");
    assert_eq!(manifest.to_string().parse().as_ref(), Ok(&manifest), "what is written reads the same");
    assert!(manifest.directory.starts_with('/') && !manifest.directory.split('/').any(|part| part == ".."));
    assert!(manifest.entries.len() <= MAX_ENTRIES && manifest.files().count() <= MAX_FILES);
    assert!(manifest.files().map(|file| file.size).sum::<u64>() <= MAX_TOTAL_BYTES);
    let mut paths: Vec<&str> = manifest.entries.iter().map(Entry::path).collect();
    for path in &paths {
        check_path(path).expect("every path obeys the rules");
    }
    paths.sort_unstable();
    assert!(paths.windows(2).all(|pair| pair[0] != pair[1]), "no path twice");

    let decoder = Decoder::new();
    for file in manifest.files().filter(|file| file.size <= LARGEST) {
        assert!(!file.variables.is_empty() && file.variables.iter().all(|name| is_legal_variable(name)));
        let mut content = vec![0; usize::try_from(file.size).expect("it is small")];
        let values = vec![value; file.variables.len()];
        match decoder.file(file, &values, &mut content) {
            Ok(()) => assert_eq!(sha256(&content), file.digest, "content is what was declared"),
            Err(error) => assert_ne!(error.exit(), init_sync::Exit::Done),
        }
    }
}
