//! `init-sync`: writes files from environment variables, all of them or none, then is gone.
//!
//! ```text
//! args -> sync -> payload (decode, verify) -> publish -> kernel
//!                                  report <- Summary or Failure
//! ```
//!
//! This file maps a run to an exit code. The contract with the webhook is the library of this crate.

mod args;
mod help;
mod kernel;
mod payload;
mod publish;
mod publish_error;
mod report;
mod self_test;
mod sync;

use std::env;
use std::panic;
use std::process::ExitCode;

use init_sync::Exit;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::args::{Args, Command, Verbosity};
use crate::kernel::{Linux, Resolution};
use crate::report::Failure;

/// Keeps what was freed; musl's own hands a copy of a large variable back to the kernel, and asks anew for the next.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    // Environment and memory hold secrets: no core dump, and no reading of /proc/PID/environ by a neighbour of the
    // same user. It is a second line of defence; a kernel that refuses is no reason to stop.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // A panic's own message may quote what it choked on.
    panic::set_hook(Box::new(|_| {}));
    let (settings, result) = match Args::parse(env::args_os().skip(1)) {
        Ok(Args { command, settings }) => {
            let result = panic::catch_unwind(|| run(command, settings.verbosity));
            (settings, result.unwrap_or_else(|_| Err(Failure::new(Exit::Internal, "internal error"))))
        }
        Err(error) => (error.settings, Err(Failure::new(Exit::Usage, error.message))),
    };
    let exit = match result {
        Ok(()) => Exit::Done,
        Err(failure) => {
            report::fail(&failure, settings.termination_log.as_deref());
            failure.exit
        }
    };
    ExitCode::from(exit.code())
}

fn run(command: Command, verbosity: Verbosity) -> Result<(), Failure> {
    let kernel = Linux::new(Resolution::Openat2);
    let summary = match command {
        Command::Help => {
            report::say(&help::Help);
            return Ok(());
        }
        Command::Version => {
            report::say(&concat!("init-sync ", env!("CARGO_PKG_VERSION")));
            return Ok(());
        }
        Command::SelfTest { to } => {
            self_test::run(&kernel, &to)?;
            "init-sync: self-test passed".to_owned()
        }
        Command::ByManifest { to } => sync::by_manifest(&kernel, &args::variable, to.as_deref())?.to_string(),
        Command::ByNames { to, mode, names } => {
            sync::by_names(&kernel, &args::variable, &to, mode, &names)?.to_string()
        }
    };
    match verbosity {
        Verbosity::Normal => report::say(&summary),
        Verbosity::Quiet => {}
    }
    Ok(())
}
