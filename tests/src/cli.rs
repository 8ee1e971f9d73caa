//! The built `spark-injector` as a command line.

use std::process::Command;
use std::time::Duration;

use crate::places;
use crate::process::{self, Finished};

/// Runs `spark-injector` with these arguments and this standard input, at most a minute.
///
/// # Panics
/// When the binary is not built or does not end.
pub fn run(args: &[&str], stdin: &[u8]) -> Finished {
    let mut command = Command::new(places::spark_injector());
    command.args(args);
    process::run(command, stdin, Duration::from_secs(60))
}
