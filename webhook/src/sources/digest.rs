//! Whether inputs are what they were: cheaply by what the file system says of them, surely by their content.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use super::files_root::{self, DEPTH_LIMIT, ENTRY_LIMIT};
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

    /// A directory that a profile names below the files root, and everything in it that could be read.
    pub(super) fn tree(&mut self, root: &Path, directory: &str) {
        // What is never read has nothing to be looked at.
        if let (true, Ok(root)) = (files_root::stays_below(directory), fs::canonicalize(root)) {
            let mut left = ENTRY_LIMIT;
            self.tree_at(&root, &root.join(directory), 0, &mut left);
        }
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

    /// Bounded as reading is: symlinks lead in circles, out of the root, or to all of `/proc`.
    fn tree_at(&mut self, root: &Path, path: &Path, depth: usize, left: &mut usize) {
        let is_folder = self.stamp(path).is_some_and(|metadata| metadata.is_dir());
        let is_inside = || fs::canonicalize(path).is_ok_and(|target| target.starts_with(root));
        if !is_folder || depth > DEPTH_LIMIT || !is_inside() {
            return;
        }
        let entries = fs::read_dir(path).into_iter().flatten().flatten().take(*left);
        let mut names: Vec<_> = entries.map(|entry| entry.path()).collect();
        names.sort();
        *left -= names.len();
        for name in names {
            self.tree_at(root, &name, depth + 1, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn look(root: &Path, directory: &str) -> [u8; 32] {
        let mut stamps = Stamps::default();
        stamps.tree(root, directory);
        stamps.finish().digest
    }

    /// Each of them would be walked for ever, or as good as.
    #[test]
    fn nothing_is_looked_at_that_would_not_be_read() {
        let root = tempfile::tempdir().unwrap();
        let files = root.path().join("files");
        fs::create_dir_all(files.join("deep")).unwrap();
        for path in ["/", "..", "files/../..", ""] {
            assert_eq!(look(root.path(), path), Stamps::default().finish().digest, "{path}");
        }
        symlink("/", files.join("out")).unwrap();
        for name in ["one", "two", "three"] {
            symlink(".", files.join("deep").join(name)).unwrap();
        }
        let before = look(root.path(), "files");
        assert_eq!(look(root.path(), "files"), before);
        fs::write(files.join("core-site.xml"), "<x/>").unwrap();
        assert_ne!(look(root.path(), "files"), before);
    }
}
