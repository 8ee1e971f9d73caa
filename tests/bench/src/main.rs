//! The same-run comparison: what a review and a start of init-sync cost, next to references built beside them.
//!
//! | module | owns |
//! | --- | --- |
//! | `handler` | from bytes to bytes, in process: the engine against the idiom of kube-rs (`idiom`) and a bare scan |
//! | `server` | the built `spark-injector serve` against a server that answers a constant (`constant`) and one in Go |
//! | `swap` | requests to the built server while catalogs are compiled and swapped |
//! | `init_sync` | the built `init-sync` against a shell, a Java class and an empty process |
//! | `catalog` | many namespaces, large profiles |
//! | `burst` | many jobs at once through the real API server |
//! | `cluster` | many namespaces and profiles of a real API server: start, delivery, effect of a change |
//! | `measure`, `report`, `picture` | clocks and statistics; table and list; drawing |
//! | `fixtures`, `load`, `process` | inputs; the load client; servers as child processes |
//!
//! Everything is interleaved: one round runs each subject once, and ratios are taken within a round, since absolute
//! figures of a shared machine drift by a factor of two. A missed threshold is a finding, not a failure.

// A measurement that cannot set up its world has nothing to return: the panic is the message.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    // Clocks that do not run backwards.
    clippy::unchecked_time_subtraction
)]

mod args;
mod burst;
mod catalog;
mod cluster;
mod constant;
mod fixtures;
mod handler;
mod idiom;
mod init_sync;
mod load;
mod measure;
mod picture;
mod process;
mod report;
mod server;
mod spawn;
mod swap;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser as _;

use args::{Cli, Inner, Suite};
use report::Report;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(inner) = cli.inner {
        return run_inner(inner);
    }
    process::end_with_signals();
    let bench = cli.bench;
    let progress = Progress(Instant::now());
    let mut report = Report::default();
    for suite in Suite::ALL.into_iter().filter(|suite| bench.only.is_empty() || bench.only.contains(suite)) {
        progress.say(&format!("{suite:?}"));
        match suite {
            Suite::Handler => handler::run(&bench, &progress, &mut report),
            Suite::Server => server::run(&bench, &progress, &mut report),
            Suite::InitSync => init_sync::run(&bench, &progress, &mut report),
            Suite::Catalog => catalog::run(&bench, &progress, &mut report),
            Suite::Burst => burst::run(&bench, &progress, &mut report),
            Suite::Cluster => cluster::run(&bench, &progress, &mut report),
        }
    }
    print!("{}", report.table());
    if let Err(error) = report.write(&bench.json(), &bench.picture()) {
        eprintln!("bench: the report cannot be written: {error}");
        return ExitCode::FAILURE;
    }
    progress.say(&format!("done; {} and {}", bench.json().display(), bench.picture().display()));
    ExitCode::SUCCESS
}

fn run_inner(inner: Inner) -> ExitCode {
    match inner {
        Inner::Review { subject, payload, count } => handler::review_often(subject, payload, count),
        Inner::Constant(args) => constant::serve(args),
        Inner::Spawn { count, program } => spawn::run(count, &program),
        Inner::Peak { program } => spawn::peak(&program),
        Inner::Catalog { namespaces, profiles, bytes } => catalog::measure(namespaces, profiles, bytes),
    }
    ExitCode::SUCCESS
}

/// Tells whoever waits what runs, and since when.
struct Progress(Instant);

impl Progress {
    fn say(&self, what: &str) {
        eprintln!("bench {:>6.1} s  {what}", self.0.elapsed().as_secs_f64());
    }
}
