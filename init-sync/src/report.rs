//! What a run says: one line on stdout when it went well, one on stderr and in the termination message when not.
//! The only place that writes to any of them. Never content, and never a value of the environment.

use std::fmt::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use init_sync::{DecodeError, Exit, ManifestError};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::retry_on_intr;
use rustix::stdio;

use crate::publish_error::PublishError;

/// Where the kubelet reads why a container ended (`terminationMessagePath`), unless the pod says otherwise.
pub(crate) const TERMINATION_LOG: &str = "/dev/termination-log";

/// Why a run failed: a code, and which file or variable it is about.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    // Two callers, and half a kilobyte of formatting in each of them.
    #[inline(never)]
    pub(crate) fn decoding(path: &str, variables: &[String], error: DecodeError) -> Self {
        let message = match error {
            DecodeError::NotBase64 { variable } => {
                let name = variables.get(variable).map_or("?", String::as_str);
                format!("{path}: variable {name}: {error}")
            }
            _ => format!("{path}: {error}"),
        };
        Self::new(error.exit(), message)
    }
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Self {
        Self::new(error.exit(), format!("{}, {error}", init_sync::MANIFEST_VARIABLE))
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        Self::new(error.exit(), error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("init-sync: ")?;
        for character in self.message.chars() {
            // Names and directories come from outside; the message stays one line, whatever is in them.
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        write!(f, "; {}", self.exit.remedy())
    }
}

/// A line for whoever reads the container's log.
pub(crate) fn say(text: &dyn fmt::Display) {
    write(stdio::stdout(), &format!("{text}\n"));
}

/// One line on stderr, and in the termination message, which alone reaches `kubectl describe pod`.
pub(crate) fn fail(failure: &Failure, termination_log: Option<&Path>) {
    let line = format!("{failure}\n");
    write(stdio::stderr(), &line);
    // Not created where it is missing: then nobody will read it. Not waited for, should it be a FIFO.
    let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if let Ok(log) = fs::open(termination_log.unwrap_or(Path::new(TERMINATION_LOG)), flags, Mode::empty()) {
        write(log.as_fd(), &line);
    }
}

/// A line in one write where possible, as several containers end up in one log; not through std's streams, which are
/// 5 kB of the binary. That nobody takes it is no failure of the run.
fn write(to: BorrowedFd<'_>, text: &str) {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match retry_on_intr(|| rustix::io::write(to, rest)) {
            Ok(written @ 1..) => rest = rest.get(written..).unwrap_or_default(),
            _ => return,
        }
    }
}
