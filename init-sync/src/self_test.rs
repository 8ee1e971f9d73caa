//! `--self-test`: does this binary, as this user, on this volume, do what it is for? It makes one directory of its
//! own and removes it; it needs no manifest and leaves nothing.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use init_sync::{Exit, MANIFEST_VARIABLE, Wiped};

use crate::kernel::Kernel;
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
";

/// A manifest that differs in one digit of a digest.
const FORGED: &str = "\
init-sync 1 /self-test
f 0440 3 812450d3c4a79eea9509e75dc1dacdeff58034df538536cfae2da882bd8a0c50 plain chunk.0,chunk.1 forged
";

/// Runs it below `to`.
///
/// # Errors
///
/// What the run answered, or [`Exit::Internal`] if its result is not as it must be.
pub(crate) fn run(kernel: &impl Kernel, to: &Path) -> Result<(), Failure> {
    let directory = to.join(DIRECTORY);
    // Of a run that was killed.
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).map_err(|error| cannot_make(&directory, &error))?;
    let result = check(kernel, &directory);
    let _ = fs::remove_dir_all(&directory);
    result
}

fn check(kernel: &impl Kernel, directory: &Path) -> Result<(), Failure> {
    by_manifest(kernel, &|name| variable(name, MANIFEST), Some(directory))?;
    let lines = "init-sync self-test\n".repeat(8);
    let expected: [(&str, u32, &[u8]); 3] = [
        ("empty", 0o444, b""),
        ("directory/chunks", 0o440, b"\x00\xff\n"),
        ("deflated", 0o444, lines.as_bytes()),
    ];
    let mut inodes = Vec::new();
    for (path, mode, content) in expected {
        let wrong = || Failure::new(Exit::Internal, format!("self-test: {path} is not as it must be"));
        let status = fs::metadata(directory.join(path)).map_err(|_| wrong())?;
        let found = fs::read(directory.join(path)).map_err(|_| wrong())?;
        if found != content || status.permissions().mode() & 0o7777 != mode {
            return Err(wrong());
        }
        inodes.push(status.ino());
    }

    by_manifest(kernel, &|name| variable(name, MANIFEST), Some(directory))?;
    for ((path, ..), inode) in expected.iter().zip(inodes) {
        if fs::metadata(directory.join(path)).map_or(0, |status| status.ino()) != inode {
            return Err(Failure::new(Exit::Internal, format!("self-test: a re-run touched {path}")));
        }
    }

    match by_manifest(kernel, &|name| variable(name, FORGED), Some(directory)) {
        Err(failure) if failure.exit == Exit::DigestMismatch && !directory.join("forged").exists() => Ok(()),
        _ => Err(Failure::new(Exit::Internal, "self-test: a forged digest was not noticed")),
    }
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

fn cannot_make(directory: &Path, error: &io::Error) -> Failure {
    let exit = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Exit::NoTarget,
        io::ErrorKind::PermissionDenied => Exit::PermissionDenied,
        io::ErrorKind::ReadOnlyFilesystem => Exit::ReadOnly,
        io::ErrorKind::StorageFull => Exit::NoSpace,
        io::ErrorKind::QuotaExceeded => Exit::QuotaExceeded,
        io::ErrorKind::AlreadyExists => Exit::Occupied,
        _ => Exit::InputOutput,
    };
    Failure::new(exit, format!("cannot make {}: {error}", directory.display()))
}
