//! Whether inputs are what they were: cheaply by what the file system says of them, surely by their content.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use super::directory::{DEPTH_LIMIT, FILE_COUNT_LIMIT};
use crate::catalog::ObjectData;

/// Collects the content of the inputs.
#[derive(Default)]
pub(super) struct Digest(Sha256);

impl Digest {
    /// A file of documents.
    pub(super) fn file(&mut self, path: &Path, text: &[u8]) {
        self.update(path.as_os_str().as_encoded_bytes(), text);
    }

    /// A directory that a profile names, or why it cannot be read.
    pub(super) fn directory(&mut self, name: &str, found: Result<&ObjectData, &String>) {
        match found {
            Ok(files) => {
                for (file, contents) in files {
                    self.update(name.as_bytes(), file.as_bytes());
                    self.update(file.as_bytes(), contents);
                }
            }
            Err(message) => self.update(name.as_bytes(), message.as_bytes()),
        }
    }

    pub(super) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    /// Lengths keep the borders between names and contents in the digest.
    fn update(&mut self, name: &[u8], contents: &[u8]) {
        for part in [name, contents] {
            self.0.update((part.len() as u64).to_be_bytes());
            self.0.update(part);
        }
    }
}

/// What the file system says about the inputs without reading them: names, sizes, times and inodes. Much cheaper than
/// reading, and never equal after a change that is older than the clock's tick.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Fingerprint {
    digest: [u8; 32],
    /// The newest change of all, in seconds since the epoch.
    newest: i64,
}

/// A file that changed less than this many seconds before it was read may have changed again within one tick of the
/// file system's clock, with the same size: it is read again.
const UNSURE_SECONDS: i64 = 3;

impl Fingerprint {
    /// Whether an equal fingerprint means that nothing changed.
    pub(super) fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
        self.newest < i64::try_from(now).unwrap_or(i64::MAX) - UNSURE_SECONDS
    }
}

/// Collects what the file system says.
#[derive(Default)]
pub(super) struct Stamps {
    digest: Sha256,
    newest: i64,
}

impl Stamps {
    /// A file of documents.
    pub(super) fn file(&mut self, path: &Path) {
        self.stamp(path);
    }

    /// A directory that a profile names, and everything in it.
    pub(super) fn tree(&mut self, path: &Path) {
        self.tree_at(path, 0);
    }

    pub(super) fn finish(self) -> Fingerprint {
        Fingerprint { digest: self.digest.finalize().into(), newest: self.newest }
    }

    fn stamp(&mut self, path: &Path) -> Option<fs::Metadata> {
        self.digest.update(path.as_os_str().as_encoded_bytes());
        let metadata = fs::metadata(path).ok()?;
        let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
        for number in [seconds, nanoseconds, metadata.ctime(), metadata.ctime_nsec()] {
            self.digest.update(number.to_be_bytes());
        }
        for number in [metadata.dev(), metadata.ino(), metadata.len()] {
            self.digest.update(number.to_be_bytes());
        }
        self.newest = self.newest.max(seconds).max(metadata.ctime());
        Some(metadata)
    }

    fn tree_at(&mut self, path: &Path, depth: usize) {
        let is_folder = self.stamp(path).is_some_and(|metadata| metadata.is_dir());
        if !is_folder || depth > DEPTH_LIMIT {
            return;
        }
        let mut names: Vec<_> =
            fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        names.sort();
        for name in names.iter().take(FILE_COUNT_LIMIT) {
            self.tree_at(name, depth + 1);
        }
    }
}
