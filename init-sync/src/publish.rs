//! Makes files visible: all of them complete, or none. Content comes verified, file by file; this module decides
//! nothing about what to write, only how.
//!
//! ```text
//! stage   per file: look, create .init-sync-<hash>, write, set the mode     nothing visible; a full volume shows here
//! commit  per file: rename over the target                                  each file appears complete
//! undo    remove temporary files, then what this run made visible           dropped before: a later file is refused,
//!                                                                           or any failure, also a panic
//! ```
//!
//! Nothing is synced to disk: after a crash of the node the init container runs again, and compares contents.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use init_sync::Wiped;
use init_sync::digest::fingerprint;
use init_sync::path::TEMPORARY_PREFIX;
use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::publish_error::PublishError;

/// Reading in pieces keeps a re-run from holding a second copy of a large file.
const COMPARED_BYTES: usize = 64 * 1024;

/// Publishes files below a directory. Paths are checked, normalised, and free of conflicts.
pub(crate) struct Publisher<'a, K: Kernel> {
    kernel: &'a K,
    root: Rc<OwnedFd>,
    /// Open until the end: commit and undo must act on the directories that were checked. The root's path is empty.
    directories: Vec<(&'a str, Rc<OwnedFd>)>,
    /// Directories made by this run: the parent, and the name.
    made: Vec<(Rc<OwnedFd>, &'a str)>,
    staged: Vec<Staged<'a>>,
    compared: Option<Wiped>,
}

struct Staged<'a> {
    directory: Rc<OwnedFd>,
    path: &'a str,
    name: &'a str,
    temporary: String,
    state: State,
    replaces: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Hidden,
    Visible,
}

impl<'a, K: Kernel> Publisher<'a, K> {
    /// Begins below `target`, which must exist.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub(crate) fn open(kernel: &'a K, target: &Path) -> Result<Self, PublishError> {
        let root = kernel.open_target(target).map_err(|errno| PublishError::target(target, errno))?;
        let root = Rc::new(root);
        let directories = vec![("", Rc::clone(&root))];
        Ok(Self { kernel, root, directories, made: Vec::new(), staged: Vec::new(), compared: None })
    }

    /// An open directory, made where it is missing.
    ///
    /// # Errors
    ///
    /// What the file system answered, or what is in the way.
    pub(crate) fn directory(&mut self, path: &'a str) -> Result<Rc<OwnedFd>, PublishError> {
        // A few, and files of one directory mostly come one after the other.
        if let Some((_, open)) = self.directories.iter().rfind(|(known, _)| *known == path) {
            return Ok(Rc::clone(open));
        }
        let kernel = self.kernel;
        let failed = |action| move |errno| PublishError::system(action, path, errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = match kernel.open(self.root.as_fd(), path, flags) {
            Err(Errno::NOENT) => {
                let (parent, name) = split(path);
                let parent = self.directory(parent)?;
                kernel.make_directory(parent.as_fd(), name).map_err(failed("make the directory"))?;
                self.made.push((Rc::clone(&parent), name));
                kernel.open(parent.as_fd(), name, flags)
            }
            answer => answer,
        }
        .map_err(failed("open the directory"))?;
        // The umask may have taken bits from what was made, now or in a run that was killed. Other bits stay: with an
        // fsGroup, set-group-ID hands the group down to the files.
        let mode = kernel.status_of(directory.as_fd()).map_err(failed("look at it"))?.st_mode & 0o7777;
        if mode & 0o755 != 0o755 {
            kernel.set_mode(directory.as_fd(), mode | 0o755).map_err(failed("set its mode"))?;
        }
        let directory = Rc::new(directory);
        self.directories.push((path, Rc::clone(&directory)));
        Ok(directory)
    }

    /// Writes a file under a hidden name, unless it is already there as planned.
    ///
    /// # Errors
    ///
    /// What the file system answered, or what is in the way.
    pub(crate) fn stage(&mut self, path: &'a str, mode: u32, content: &[u8]) -> Result<(), PublishError> {
        let kernel = self.kernel;
        let failed = |action| move |errno| PublishError::system(action, path, errno);
        let (parent, name) = split(path);
        let directory = self.directory(parent)?;
        let at = directory.as_fd();
        let temporary = temporary_name(name);
        let replaces = match kernel.status(at, name) {
            Err(Errno::NOENT) => false,
            Err(errno) => return Err(failed("look at it")(errno)),
            Ok(status) => {
                let kind = FileType::from_raw_mode(status.st_mode);
                if kind != FileType::RegularFile {
                    return Err(PublishError::occupied(path, kind));
                }
                if self.is_as_planned(at, name, &status, mode, content) {
                    // Left by a killed run of another manifest, if at all.
                    let _ = kernel.remove(at, &temporary);
                    return Ok(());
                }
                true
            }
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let descriptor = match kernel.open(at, &temporary, flags) {
            Err(Errno::EXIST) => {
                // Of a killed run. Never opened: whose it is, and what links to it, is unknown.
                kernel.remove(at, &temporary).map_err(failed("remove its old temporary file"))?;
                kernel.open(at, &temporary, flags)
            }
            answer => answer,
        }
        .map_err(failed("create its temporary file"))?;
        let state = State::Hidden;
        self.staged.push(Staged { directory: Rc::clone(&directory), path, name, temporary, state, replaces });
        let mut rest = content;
        while !rest.is_empty() {
            let written = match kernel.write(descriptor.as_fd(), rest).map_err(failed("write it"))? {
                0 => return Err(failed("write it")(Errno::IO)),
                written => written,
            };
            rest = rest.get(written..).unwrap_or_default();
        }
        // After the content: a mode without `w` is no obstacle to writing it, and the umask none to the mode.
        kernel.set_mode(descriptor.as_fd(), mode).map_err(failed("set its mode"))
    }

    /// Whether a regular file has the planned mode and content. One that cannot be read is replaced.
    fn is_as_planned(
        &mut self,
        at: BorrowedFd<'_>,
        name: &str,
        status: &Stat,
        mode: u32,
        content: &[u8],
    ) -> bool {
        if status.st_mode & 0o7777 != mode || usize::try_from(status.st_size) != Ok(content.len()) {
            return false;
        }
        // Without blocking, should a FIFO have come in between.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let Ok(descriptor) = self.kernel.open(at, name, flags) else {
            return false;
        };
        let buffer = self.compared.get_or_insert_with(|| Wiped::zeroed(COMPARED_BYTES));
        let mut rest = content;
        while !rest.is_empty() {
            let read = self.kernel.read(descriptor.as_fd(), buffer).unwrap_or(0);
            match buffer.get(..read).and_then(|read| rest.strip_prefix(read)) {
                Some(after) if read > 0 => rest = after,
                _ => return false,
            }
        }
        true
    }

    /// Makes all that was staged visible.
    ///
    /// # Errors
    ///
    /// What the file system answered. Then, as after any other error or none of this call, nothing that was absent
    /// before is visible; a file that this run had already replaced keeps its new, complete content.
    pub(crate) fn commit(mut self) -> Result<(), PublishError> {
        for file in &mut self.staged {
            self.kernel
                .rename(file.directory.as_fd(), &file.temporary, file.name)
                .map_err(|errno| PublishError::system("rename its temporary file", file.path, errno))?;
            file.state = State::Visible;
        }
        // Nothing is left to undo.
        self.staged.clear();
        self.made.clear();
        Ok(())
    }
}

impl<K: Kernel> Drop for Publisher<'_, K> {
    /// As far as it goes: the failure that led here is the one to report.
    fn drop(&mut self) {
        for file in self.staged.iter().rev() {
            let name = match file.state {
                State::Hidden => file.temporary.as_str(),
                State::Visible if file.replaces => continue,
                State::Visible => file.name,
            };
            let _ = self.kernel.remove(file.directory.as_fd(), name);
        }
        for (parent, name) in self.made.iter().rev() {
            let _ = self.kernel.remove_directory(parent.as_fd(), name);
        }
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Always the same for a file, so that a run finds what a killed one left; a hash, since prefix and name together
/// may be longer than a name may be.
fn temporary_name(name: &str) -> String {
    format!("{TEMPORARY_PREFIX}{}", fingerprint(name.as_bytes()))
}

#[cfg(test)]
mod tests;
