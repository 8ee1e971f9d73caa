//! The system calls that publishing needs, as a trait, so that tests can stop or fail the publisher at every one of
//! them; and the one implementation that talks to Linux. Every path here is relative to a directory descriptor; no
//! call follows a symbolic link. No policy: what to call when is the publisher's.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, CWD, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

/// The kernel, as the publisher sees it. A `path` has been checked and normalised; a `name` is one element of one.
pub(crate) trait Kernel {
    /// Opens the target directory. Here alone symbolic links are followed: it is the operator's path, not a user's.
    fn open_target(&self, path: &Path) -> Result<OwnedFd, Errno>;

    /// Opens what is beneath `at`, without following a symbolic link anywhere on the way.
    fn open(&self, at: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno>;

    /// The status of a name, not of what it links to.
    fn status(&self, at: BorrowedFd<'_>, name: &str) -> Result<Stat, Errno>;

    /// The status of an open file.
    fn status_of(&self, file: BorrowedFd<'_>) -> Result<Stat, Errno>;

    fn make_directory(&self, at: BorrowedFd<'_>, name: &str) -> Result<(), Errno>;

    fn set_mode(&self, file: BorrowedFd<'_>, mode: u32) -> Result<(), Errno>;

    fn read(&self, file: BorrowedFd<'_>, into: &mut [u8]) -> Result<usize, Errno>;

    fn write(&self, file: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno>;

    fn rename(&self, at: BorrowedFd<'_>, from: &str, to: &str) -> Result<(), Errno>;

    fn remove(&self, at: BorrowedFd<'_>, name: &str) -> Result<(), Errno>;

    fn remove_directory(&self, at: BorrowedFd<'_>, name: &str) -> Result<(), Errno>;
}

/// How paths of several elements are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// `openat2`: the kernel itself refuses links and escapes.
    Openat2,
    /// One `openat` per element, each refusing a link.
    Elementwise,
}

/// Linux 3.15 or newer; with 5.6 or newer, and a seccomp profile that knows it, `openat2`.
pub(crate) struct Linux {
    resolution: Cell<Resolution>,
}

impl Linux {
    pub(crate) fn new(resolution: Resolution) -> Self {
        Self { resolution: Cell::new(resolution) }
    }
}

impl Kernel for Linux {
    fn open_target(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        retry_on_intr(|| fs::openat(CWD, path, flags, Mode::empty()))
    }

    fn open(&self, at: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if self.resolution.get() == Resolution::Openat2 {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match retry_on_intr(|| fs::openat2(at, path, flags, creation_mode(flags), resolve)) {
                // An old kernel, or a seccomp profile older than the call (it answers EPERM). A genuine EPERM comes
                // back from the fallback.
                Err(Errno::NOSYS | Errno::PERM) => self.resolution.set(Resolution::Elementwise),
                answer => return answer,
            }
        }
        open_elementwise(at, path, flags)
    }

    fn status(&self, at: BorrowedFd<'_>, name: &str) -> Result<Stat, Errno> {
        fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    fn status_of(&self, file: BorrowedFd<'_>) -> Result<Stat, Errno> {
        fs::fstat(file)
    }

    fn make_directory(&self, at: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
        fs::mkdirat(at, name, Mode::from_raw_mode(0o755))
    }

    fn set_mode(&self, file: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
        fs::fchmod(file, Mode::from_raw_mode(mode))
    }

    fn read(&self, file: BorrowedFd<'_>, into: &mut [u8]) -> Result<usize, Errno> {
        retry_on_intr(|| rustix::io::read(file, &mut *into))
    }

    fn write(&self, file: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
        retry_on_intr(|| rustix::io::write(file, bytes))
    }

    fn rename(&self, at: BorrowedFd<'_>, from: &str, to: &str) -> Result<(), Errno> {
        fs::renameat(at, from, at, to)
    }

    fn remove(&self, at: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
        fs::unlinkat(at, name, AtFlags::empty())
    }

    fn remove_directory(&self, at: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
        fs::unlinkat(at, name, AtFlags::REMOVEDIR)
    }
}

/// A new file is nobody else's until it has its content and its mode. `openat2` refuses a mode without `CREATE`.
fn creation_mode(flags: OFlags) -> Mode {
    if flags.contains(OFlags::CREATE) { Mode::RUSR | Mode::WUSR } else { Mode::empty() }
}

/// The answer that `openat2` would give: as no element is `..` or a link, none leads out.
fn open_elementwise(at: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut parent: Option<OwnedFd> = None;
    for element in parents.split_terminator('/') {
        let at = parent.as_ref().map_or(at, AsFd::as_fd);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        parent = Some(retry_on_intr(|| fs::openat(at, element, flags, Mode::empty()))?);
    }
    let at = parent.as_ref().map_or(at, AsFd::as_fd);
    retry_on_intr(|| fs::openat(at, name, flags, creation_mode(flags)))
}
