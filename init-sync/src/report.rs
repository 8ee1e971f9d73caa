//! What a run says: one line on stdout when it went well, one on stderr and in the termination message when not.
//! The only place that writes to any of them. Never content, and never a value of the environment.

use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use init_sync::{DecodeError, Exit, ManifestError};
use rustix::fs::OFlags;

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

/// A line for whoever reads the container's log. That nobody reads it is no failure.
pub(crate) fn say(line: &impl fmt::Display) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// One line on stderr, and in the termination message, which alone reaches `kubectl describe pod`.
pub(crate) fn fail(failure: &Failure, termination_log: Option<&Path>) {
    // In one write: lines of several containers end up in one log.
    let line = format!("{failure}\n");
    let _ = io::stderr().lock().write_all(line.as_bytes());
    // Not created where it is missing: then nobody will read it. Not waited for, should it be a FIFO.
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let opened = OpenOptions::new()
        .write(true)
        .truncate(true)
        .custom_flags(flags.bits().cast_signed())
        .open(termination_log.unwrap_or(Path::new(TERMINATION_LOG)));
    if let Ok(mut file) = opened {
        let _ = file.write_all(line.as_bytes());
    }
}
