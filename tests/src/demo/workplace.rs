//! The one temporary directory that everything of the demo lies in, and its end: also after Ctrl-C or a kill.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::screen::complain;

/// Waits for a word on the pipe. Its end without one means that this process is gone; its children die at the same
/// moment and may still write, hence the pauses.
const JANITOR: &str = r#"
read -r word && exit
for pause in 1 2 5; do
  sleep "$pause"
  [ -n "${KEEP:-}" ] || rm -rf -- "$1"
done
"#;

/// The directory; removed when dropped.
#[derive(Debug)]
pub(super) struct Workplace {
    path: PathBuf,
    janitor: Child,
}

impl Workplace {
    /// Makes it, and makes every temporary directory of this process from now on a part of it.
    pub(super) fn new() -> Self {
        let made = tempfile::Builder::new().prefix("spark-injector-demo-").tempdir();
        let path = made.expect("a temporary directory").keep();
        tempfile::env::override_temp_dir(&path)
            .expect("nothing has asked for the temporary directory before");
        let mut janitor = Command::new("sh");
        janitor.args(["-c", JANITOR, "janitor"]).arg(&path);
        janitor.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own: Ctrl-C on a terminal goes to the whole group, and somebody has to be left to clean up.
        let janitor = janitor.process_group(0).spawn().expect("sh runs");
        Self { path, janitor }
    }

    /// A new directory in it.
    pub(super) fn directory(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        std::fs::create_dir(&path).expect("a directory");
        path
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if std::env::var_os("KEEP").is_none_or(|value| value.is_empty()) {
            let _ = std::fs::remove_dir_all(&self.path);
        }
        if let Some(pipe) = &mut self.janitor.stdin {
            let _ = writeln!(pipe, "done");
        }
        let _ = self.janitor.wait();
    }
}

/// Ends the process in order on Ctrl-C and its like. The children notice that their parent is gone, and the janitor
/// removes what is left.
pub(super) fn stop_on_signals() {
    let watch = async {
        let mut interrupt = signal(SignalKind::interrupt()).expect("a signal handler");
        let mut terminate = signal(SignalKind::terminate()).expect("a signal handler");
        let mut hangup = signal(SignalKind::hangup()).expect("a signal handler");
        tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
            _ = hangup.recv() => 129,
        }
    };
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_io().build().expect("a runtime");
        let status = runtime.block_on(watch);
        complain("stopped; everything that it started ends now");
        #[allow(
            clippy::exit,
            reason = "the main thread is in the middle of something that cannot be called off"
        )]
        std::process::exit(status);
    });
}
