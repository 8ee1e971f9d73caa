//! How a command ends: the published exit statuses, and one message on the standard error.

use std::process::ExitCode;

use super::output::{self, Printed};

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(super) enum Failure {
    /// A defect of ours: 1.
    Internal(anyhow::Error),
    /// Unusable input or arguments, or an output that cannot be written: 2.
    Unusable(String),
    /// As unusable, and everything has been said already.
    Invalid,
    /// The webhook would deny the object, or a check failed, and the reasons are written: 3.
    Denied,
}

/// Says why a command failed.
pub(super) fn report(failure: &Failure) -> ExitCode {
    match failure {
        Failure::Internal(error) => {
            output::note(&format!("error: internal: {error:#}"));
            ExitCode::from(1)
        }
        Failure::Unusable(message) => {
            for line in message.lines() {
                output::note(&format!("error: {line}"));
            }
            ExitCode::from(2)
        }
        Failure::Invalid => ExitCode::from(2),
        Failure::Denied => ExitCode::from(3),
    }
}

/// Writes a help text or what is wrong with the arguments.
pub fn report_usage(usage: &clap::Error) -> ExitCode {
    if usage.use_stderr() {
        // Through clap, which knows whether the terminal shows colours. Nothing is left to do if that fails.
        drop(usage.print());
        return ExitCode::from(2);
    }
    match Printed::from(usage.render().to_string()).write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}
