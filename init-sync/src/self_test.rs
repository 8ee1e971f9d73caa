//! `--self-test`: does this binary, as this user, on this volume, do what it is for? It makes one directory of its
//! own and removes it; it needs no manifest and leaves nothing.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use init_sync::{Exit, MANIFEST_VARIABLE, Wiped};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::publish_error::PublishError;
use crate::report::Failure;
use crate::sync::by_manifest;

/// Starts like a temporary file, so that no manifest can name it.
const DIRECTORY: &str = ".init-sync-self-test";

const MANIFEST: &str = "\
init-sync 1 /self-test
d directory/inner
e empty
f 0440 3 712450d3c4a79eea9509e75dc1dacdeff58034df538536cfae2da882bd8a0c50 plain chunk.0,chunk.1 directory/chunks
f 0444 160 07a33907f6570b48ceb9bd0c4ae9ba627abe6bafc06050176b5c142cc558e31b deflate deflated deflated
end
";

/// A manifest that differs in one digit of a digest.
const FORGED: &str = "\
init-sync 1 /self-test
f 0440 3 812450d3c4a79eea9509e75dc1dacdeff58034df538536cfae2da882bd8a0c50 plain chunk.0,chunk.1 forged
end
";

/// Paths, modes and contents that [`MANIFEST`] makes.
const FILES: [(&str, u32, &[u8]); 3] = [
    ("empty", 0o444, b""),
    ("directory/chunks", 0o440, b"\x00\xff\n"),
    ("deflated", 0o444, LINES.as_bytes()),
];

const LINES: &str = "\
init-sync self-test
init-sync self-test
init-sync self-test
init-sync self-test
init-sync self-test
init-sync self-test
init-sync self-test
init-sync self-test
";

/// Runs it below `to`.
///
/// # Errors
///
/// What the run answered, or [`Exit::Internal`] if its result is not as it must be.
pub(crate) fn run(kernel: &impl Kernel, to: &Path) -> Result<(), Failure> {
    let target = kernel.open_target(to).map_err(|errno| PublishError::target(to, errno))?;
    let failed = |action| move |errno| PublishError::system(action, DIRECTORY, errno);
    match kernel.make_directory(target.as_fd(), DIRECTORY) {
        // Of a run that was killed: publishing copes with what is in it.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed("make the directory")(errno).into()),
    }
    let directory = kernel
        .open(target.as_fd(), DIRECTORY, OFlags::RDONLY | OFlags::DIRECTORY)
        .map_err(failed("open the directory"))?;
    let result = check(kernel, directory.as_fd(), &to.join(DIRECTORY));
    remove(kernel, directory.as_fd());
    let _ = kernel.remove_directory(target.as_fd(), DIRECTORY);
    result
}

fn check(kernel: &impl Kernel, directory: BorrowedFd<'_>, path: &Path) -> Result<(), Failure> {
    let wrong = |what: &str| Failure::new(Exit::Internal, format!("self-test: {what}"));
    by_manifest(kernel, &|name| variable(name, MANIFEST), Some(path))?;
    let first = inodes(kernel, directory).ok_or_else(|| wrong("a file is not as delivered"))?;
    by_manifest(kernel, &|name| variable(name, MANIFEST), Some(path))?;
    if inodes(kernel, directory) != Some(first) {
        return Err(wrong("a second run touched a file"));
    }
    match by_manifest(kernel, &|name| variable(name, FORGED), Some(path)) {
        Err(failure) if failure.exit == Exit::DigestMismatch => {}
        _ => return Err(wrong("a forged digest was not noticed")),
    }
    match kernel.status(directory, "forged") {
        Err(Errno::NOENT) => Ok(()),
        _ => Err(wrong("a refused file is visible")),
    }
}

/// The inodes of all files, if each has its mode and content.
fn inodes(kernel: &impl Kernel, directory: BorrowedFd<'_>) -> Option<[u64; FILES.len()]> {
    let mut inodes = [0; FILES.len()];
    for ((path, mode, content), inode) in FILES.iter().zip(&mut inodes) {
        let file = kernel.open(directory, path, OFlags::RDONLY).ok()?;
        let status = kernel.status_of(file.as_fd()).ok()?;
        let mut buffer = [0; 256];
        let read = kernel.read(file.as_fd(), &mut buffer).ok()?;
        if status.st_mode & 0o7777 != *mode || buffer.get(..read)? != *content {
            return None;
        }
        *inode = status.st_ino;
    }
    Some(inodes)
}

/// As far as it goes: what stays is hidden, and the next run uses it.
fn remove(kernel: &impl Kernel, directory: BorrowedFd<'_>) {
    if let Ok(inner) = kernel.open(directory, "directory", OFlags::RDONLY | OFlags::DIRECTORY) {
        let _ = kernel.remove(inner.as_fd(), "chunks");
        let _ = kernel.remove_directory(inner.as_fd(), "inner");
    }
    let _ = kernel.remove_directory(directory, "directory");
    let _ = kernel.remove(directory, "empty");
    let _ = kernel.remove(directory, "deflated");
}

fn variable(name: &str, manifest: &str) -> Option<Wiped> {
    let value = match name {
        MANIFEST_VARIABLE => manifest,
        "chunk.0" => "AP8=",
        "chunk.1" => "Cg==",
        "deflated" => "y8zLLNEtrsxLVihOzUnTLUktLuHKHERiAA==",
        _ => return None,
    };
    Some(Wiped::from(value.as_bytes().to_vec()))
}
