//! Files that hang: whoever opens one of them waits in the kernel, as on a file system that does not answer any more.
//!
//! By leases: the kernel lets nobody open a file for which another process holds one, until that process gives it back
//! or `/proc/sys/fs/lease-break-time` is over, 45 s by default. It takes no rights but the ownership of the file.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::Process;

/// Files are written elsewhere and come into their place with the lease.
const HOLDER: &str = r#"
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
beside, directory, text, *names = sys.argv[1:]
for name in names:
    new = os.path.join(beside, name)
    with open(new, "w") as file:
        file.write(text)
    file = os.open(new, os.O_RDWR)
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    os.rename(new, os.path.join(directory, name))
print("held", flush=True)
signal.pause()
"#;

/// So many are opened one after the other: together they hang for minutes.
const FILES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Files in a directory that hang until this is dropped.
#[derive(Debug)]
pub struct Leased {
    _holder: Process,
    _beside: tempfile::TempDir,
}

impl Leased {
    /// Puts files with this text into a directory, or replaces them: `a`, `b`, and so on.
    ///
    /// # Panics
    /// When the leases cannot be taken.
    pub fn plant(directory: &Path, text: &str) -> Self {
        let parent = directory.parent().expect("a directory below another");
        // On the same file system, and not below the directory.
        let beside = tempfile::tempdir_in(parent).expect("a temporary directory");
        let mut command = Command::new("python3");
        command.arg("-c").arg(HOLDER).arg(beside.path()).arg(directory).arg(text).args(FILES);
        let mut holder = Process::spawn("leases", &command, Stdio::piped(), Stdio::inherit());
        let mut line = String::new();
        let stdout = holder.stdout().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line, "held\n", "the leases cannot be taken");
        Self { _holder: holder, _beside: beside }
    }
}
