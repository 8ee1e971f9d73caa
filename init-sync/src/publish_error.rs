//! Why publishing failed, in the words and the exit code that an operator sees. What is done about it is not
//! decided here.

use std::fmt;
use std::path::{Path, PathBuf};

use init_sync::Exit;
use rustix::fs::FileType;
use rustix::io::Errno;

/// Why nothing was published.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PublishError {
    /// The target directory cannot be opened.
    Target { path: PathBuf, errno: Errno },
    /// Something other than a regular file is where a file belongs.
    Occupied { path: String, by: &'static str },
    /// A system call failed.
    System { action: &'static str, path: String, errno: Errno },
}

impl PublishError {
    pub(crate) fn target(path: &Path, errno: Errno) -> Self {
        Self::Target { path: path.to_owned(), errno }
    }

    pub(crate) fn occupied(path: &str, kind: FileType) -> Self {
        let by = match kind {
            FileType::Directory => "a directory",
            FileType::Symlink => "a symbolic link",
            FileType::Fifo => "a FIFO",
            FileType::Socket => "a socket",
            FileType::BlockDevice | FileType::CharacterDevice => "a device",
            _ => "no regular file",
        };
        Self::Occupied { path: path.to_owned(), by }
    }

    // Called in a dozen places, seldom.
    #[cold]
    #[inline(never)]
    pub(crate) fn system(action: &'static str, path: &str, errno: Errno) -> Self {
        Self::System { action, path: path.to_owned(), errno }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Target { errno: Errno::NOENT | Errno::NOTDIR | Errno::LOOP, .. } => Exit::NoTarget,
            Self::Target { errno, .. } | Self::System { errno, .. } => exit_of(*errno),
            Self::Occupied { .. } => Exit::Occupied,
        }
    }
}

fn exit_of(errno: Errno) -> Exit {
    match errno {
        Errno::NOSPC => Exit::NoSpace,
        Errno::DQUOT => Exit::QuotaExceeded,
        Errno::ROFS => Exit::ReadOnly,
        Errno::ACCESS | Errno::PERM => Exit::PermissionDenied,
        // A link on the way (LOOP, XDEV from openat2; NOTDIR from openat), or something other than expected.
        Errno::LOOP
        | Errno::XDEV
        | Errno::NOTDIR
        | Errno::ISDIR
        | Errno::EXIST
        | Errno::NOTEMPTY
        | Errno::BUSY => Exit::Occupied,
        _ => Exit::InputOutput,
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target { path, errno } => {
                write!(f, "cannot open the target directory {}: {errno}", path.display())
            }
            Self::Occupied { path, by } => write!(f, "{path}: {by} is in its place"),
            Self::System { action, path, errno } => write!(f, "{path}: cannot {action}: {errno}"),
        }
    }
}
