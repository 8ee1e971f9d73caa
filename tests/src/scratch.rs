//! A temporary directory that goes when its owner goes, also when the owner is a static or the process is killed.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::places;

/// Waits for a word on the pipe; its end without one means that nobody is left to remove the directory. The pause
/// is for the children that end at the same moment and may still write.
const JANITOR: &str = r#"read -r word || { sleep 1; rm -rf -- "$1"; }"#;

/// The directory. With `KEEP` set it stays, and its path is printed.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: TempDir,
    janitor: Option<Child>,
}

impl Scratch {
    /// A new directory whose name starts with `spark-injector-NAME`.
    pub(crate) fn new(name: &str) -> Self {
        let mut directory = tempfile::Builder::new()
            .prefix(&format!("spark-injector-{name}-"))
            .tempdir()
            .expect("a temporary directory");
        if places::keep() {
            directory.disable_cleanup(true);
            eprintln!("kept: {}", directory.path().display());
            return Self { directory, janitor: None };
        }
        let janitor = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(directory.path())
            .stdin(Stdio::piped())
            // Ctrl-C ends the group of the terminal; whoever cleans up must not be in it.
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh runs");
        Self { directory, janitor: Some(janitor) }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(janitor) = &mut self.janitor {
            if let Some(pipe) = &mut janitor.stdin {
                let _ = writeln!(pipe, "done");
            }
            let _ = janitor.wait();
        }
    }
}
