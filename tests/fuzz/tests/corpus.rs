//! What the fuzzer found worth keeping, and every finding that was mended, on the compiler that builds the product.

// A test that cannot read its files has nothing to say: the panic is the message.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

fn files(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[track_caller]
fn holds_for_all(directories: &[&str], property: fn(&[u8])) {
    for directory in directories {
        let files = files(directory);
        assert!(!files.is_empty(), "{directory} is empty");
        for file in files {
            let bytes = fs::read(&file).unwrap();
            assert!(
                catch_unwind(|| property(&bytes)).is_ok(),
                "the property is broken by {}",
                file.display()
            );
        }
    }
}

#[test]
fn reviews() {
    holds_for_all(&["corpus/review", "../reviews"], fuzz::review);
}

#[test]
fn profiles() {
    holds_for_all(&["corpus/profile", "../../examples/platform"], fuzz::profile);
}

#[test]
fn manifests() {
    holds_for_all(&["corpus/manifest"], fuzz::manifest);
}
