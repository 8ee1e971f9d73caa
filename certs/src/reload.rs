//! Notices that the files of a pair have changed, by their content.
//!
//! By content, not by inotify: kubelet swaps a symlink above the files, and a watch on a file never sees that.

use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::pair::Contents;
use crate::{Credentials, Error, Pair};

/// What a look at the files found.
#[derive(Debug)]
pub enum Event {
    /// Nothing to report.
    Unchanged,
    /// Another pair, ready to be served.
    Loaded(Credentials),
    /// Something that cannot be served; what is being served stays. Reported once for each cause.
    Refused(Error),
}

/// Watches one pair of files.
#[derive(Debug)]
pub struct Reloader {
    pair: Pair,
    served: [u8; 32],
    refused: Option<String>,
}

impl Reloader {
    /// Loads the pair for the first time.
    ///
    /// # Errors
    ///
    /// As [`Pair::load`]: there is nothing older to fall back to.
    pub fn start(pair: Pair, now: SystemTime) -> Result<(Self, Credentials), Error> {
        let contents = pair.read()?;
        let served = digest(&contents);
        let credentials = pair.check(&contents, now)?;
        Ok((Self { pair, served, refused: None }, credentials))
    }

    /// Looks at the files. Cheap enough for every few seconds; 10 s is the longest that a rotation should wait.
    pub fn poll(&mut self, now: SystemTime) -> Event {
        match self.look(now) {
            Ok(None) => {
                self.refused = None;
                Event::Unchanged
            }
            Ok(Some(credentials)) => {
                self.refused = None;
                Event::Loaded(credentials)
            }
            Err(error) => {
                // A refused pair is judged again each time: one that is not valid yet becomes valid by itself.
                let text = error.to_string();
                if self.refused.as_ref() == Some(&text) {
                    return Event::Unchanged;
                }
                self.refused = Some(text);
                Event::Refused(error)
            }
        }
    }

    fn look(&mut self, now: SystemTime) -> Result<Option<Credentials>, Error> {
        let contents = self.pair.read()?;
        let found = digest(&contents);
        if found == self.served {
            return Ok(None);
        }
        let credentials = self.pair.check(&contents, now)?;
        self.served = found;
        Ok(Some(credentials))
    }
}

fn digest(contents: &Contents) -> [u8; 32] {
    let Contents { certificate, key } = contents;
    let mut digest = Sha256::new();
    // The length keeps the border between the two files in the digest.
    digest.update((certificate.len() as u64).to_be_bytes());
    digest.update(certificate);
    digest.update(key);
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pair::tests::{NOON, at, write_pair};

    #[test]
    fn another_pair_is_loaded_once() {
        let directory = tempfile::tempdir().unwrap();
        let (mut reloader, first) = Reloader::start(write_pair(directory.path(), 30), at(NOON)).unwrap();
        assert!(matches!(reloader.poll(at(NOON)), Event::Unchanged));
        write_pair(directory.path(), 60);
        let Event::Loaded(second) = reloader.poll(at(NOON)) else { panic!("not loaded") };
        assert!(second.not_after > first.not_after);
        assert!(matches!(reloader.poll(at(NOON)), Event::Unchanged));
    }

    #[test]
    fn a_bad_pair_is_reported_once_and_can_be_repaired() {
        let directory = tempfile::tempdir().unwrap();
        let pair = write_pair(directory.path(), 30);
        let good = std::fs::read(&pair.certificate).unwrap();
        let (mut reloader, _) = Reloader::start(pair.clone(), at(NOON)).unwrap();
        std::fs::write(&pair.certificate, b"").unwrap();
        assert!(matches!(reloader.poll(at(NOON)), Event::Refused(Error::Content { .. })));
        assert!(matches!(reloader.poll(at(NOON)), Event::Unchanged));
        std::fs::remove_file(&pair.certificate).unwrap();
        assert!(matches!(reloader.poll(at(NOON)), Event::Refused(Error::Read { .. })));
        std::fs::write(&pair.certificate, good).unwrap();
        assert!(matches!(reloader.poll(at(NOON)), Event::Unchanged), "the served pair is back");
    }

    #[test]
    fn an_expired_pair_keeps_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        let (mut reloader, _) = Reloader::start(write_pair(directory.path(), 30), at(NOON)).unwrap();
        write_pair(directory.path(), 10);
        let event = reloader.poll(at(NOON + 20 * 86_400));
        assert!(matches!(event, Event::Refused(Error::Expired { .. })), "{event:?}");
    }

    #[test]
    fn a_pair_that_is_not_valid_yet_becomes_valid() {
        let directory = tempfile::tempdir().unwrap();
        let (mut reloader, _) = Reloader::start(write_pair(directory.path(), 30), at(NOON)).unwrap();
        write_pair(directory.path(), 60);
        let early = reloader.poll(at(NOON - 3 * 86_400));
        assert!(matches!(early, Event::Refused(Error::NotYetValid { .. })), "{early:?}");
        assert!(matches!(reloader.poll(at(NOON)), Event::Loaded(_)));
    }

    #[test]
    fn a_swap_of_the_folder_above_is_seen_and_a_key_for_its_owner_alone_is_enough() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};

        let directory = tempfile::tempdir().unwrap();
        let project = |version: &str, days| {
            let folder = directory.path().join(version);
            std::fs::create_dir(&folder).unwrap();
            let pair = write_pair(&folder, days);
            std::fs::set_permissions(&pair.key, std::fs::Permissions::from_mode(0o400)).unwrap();
            symlink(version, directory.path().join("..data_tmp")).unwrap();
            std::fs::rename(directory.path().join("..data_tmp"), directory.path().join("..data")).unwrap();
            pair
        };
        let real = project("..1", 30);
        let seen = |name: &str| {
            let link = directory.path().join(name);
            symlink(std::path::Path::new("..data").join(name), &link).unwrap();
            link
        };
        let pair = Pair { certificate: seen("tls.crt"), key: seen("tls.key"), ..real };
        let (mut reloader, first) = Reloader::start(pair, at(NOON)).unwrap();
        project("..2", 60);
        let Event::Loaded(second) = reloader.poll(at(NOON)) else { panic!("not loaded") };
        assert!(second.not_after > first.not_after);
    }
}
