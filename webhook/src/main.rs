//! Parses the command line and turns the result into an exit status. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use spark_injector::args::Cli;
use spark_injector::cli;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli::run(cli.command),
        Err(usage) => cli::report_usage(&usage),
    }
}
