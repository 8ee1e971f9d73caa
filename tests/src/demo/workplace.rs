//! The one temporary directory that everything of the demo lies in, and its end: also after Ctrl-C or a kill.

use std::path::{Path, PathBuf};

use acceptance::scratch::Scratch;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::screen::complain;

/// The directory; removed when dropped.
#[derive(Debug)]
pub(super) struct Workplace(Scratch);

impl Workplace {
    /// Makes it, and makes every temporary directory of this process from now on a part of it.
    pub(super) fn new() -> Self {
        let scratch = Scratch::new("demo");
        tempfile::env::override_temp_dir(scratch.path())
            .expect("nothing has asked for the temporary directory before");
        Self(scratch)
    }

    /// A new directory in it.
    pub(super) fn directory(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir(&path).expect("a directory");
        path
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
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
