//! One server of the control plane, which can end and start again with the same arguments and data.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{self, Process};

/// A server, running or not.
#[derive(Debug)]
pub(super) struct Component {
    name: &'static str,
    command: Command,
    log: PathBuf,
    process: Process,
}

impl Component {
    /// Starts it, with a log of its own in `home`.
    pub(super) fn start(name: &'static str, command: Command, home: &Path) -> Self {
        let log = home.join(format!("{name}.log"));
        let process = Process::spawn_logged(name, &command, &log);
        Self { name, command, log, process }
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Why it is gone, if it is.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = self.process.ended()?;
        Some(format!("{} ended with {status}", self.name))
    }

    /// SIGTERM, and its end.
    ///
    /// # Panics
    /// When it is still there after a minute.
    pub(super) fn stop(&mut self) {
        self.process.signal("TERM");
        let ended = self.process.wait(Duration::from_secs(60));
        assert!(ended.is_some(), "{} does not end:\n{}", self.name, self.last_words());
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        self.process.kill();
    }

    pub(super) fn signal(&mut self, signal: &str) {
        self.process.signal(signal);
    }

    /// Starts it again; what is still running is killed first.
    pub(super) fn start_again(&mut self) {
        self.process.kill();
        self.process = Process::spawn_logged(self.name, &self.command, &self.log);
    }

    pub(super) fn last_words(&self) -> String {
        format!("--- last lines of {}\n{}", self.log.display(), process::tail(&self.log, 20))
    }
}
