//! `make chaos`: every scene of faults and load in its long form, and a report.

// A suite that cannot set up its world has nothing to return: the panic is the message.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use acceptance::chaos::certificates::Lives;
use acceptance::chaos::hostile::{self, Force};
use acceptance::chaos::stage::Stage;
use acceptance::chaos::{Report, certificates, replicas, soak};
use clap::Parser;

/// Plays faults and load on a real API server with three replicas of the built webhook behind a balancer, and writes
/// down what was promised, what was measured, and what does not hold.
#[derive(Debug, Parser)]
#[command(name = "chaos", version, after_help = EXAMPLES, max_term_width = 110)]
struct Arguments {
    /// File for the report, Markdown; its name is its date
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How long the soak at full speed lasts
    #[arg(long, value_name = "MINUTES", default_value_t = 30)]
    soak: u64,
    /// How often all replicas are restarted
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    rounds: usize,
    /// Creations per second while replicas come and go
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    rate: u32,
}

const EXAMPLES: &str = "\
Examples:
  make chaos
  cargo run --release -p acceptance --bin chaos -- --soak 5 --report docs/chaos/2026-11-21.md

Exit status:
  0  every promise holds
  1  one is broken: the report says which
  2  something did not start";

fn main() -> ExitCode {
    let Arguments { report: file, soak: minutes, rounds, rate } = Arguments::parse();
    let begin = Instant::now();
    let mut report = Report::default();

    // As shipped: three replicas, ends that take ten seconds and more.
    let mut stage = Stage::start(3, &[]);
    report.add(replicas::steady(&stage, rate, Duration::from_secs(20)));
    report.add(replicas::roll_out(&mut stage, rounds, rate, Duration::from_secs(2)));
    report.add(replicas::kill(&mut stage, rate, Duration::from_secs(20)));
    report.add(replicas::hang(&mut stage, rate, Duration::from_secs(20)));
    let force =
        Force { slow: 500, bodies: 500, idle: 10_000, flood: Duration::from_secs(30), per_second: rate / 2 };
    for finding in hostile::all(&mut stage, &force) {
        report.add(finding);
    }
    for finding in hostile::with_slowhttptest(&stage, &force) {
        report.add(finding);
    }
    report.add(soak::soak(&stage, Duration::from_secs(60 * minutes)));
    drop(stage);
    let lives = Lives { authority: 60, certificate: 20, confirm: 5 };
    report.add(certificates::rotate(3, lives, rate / 2, Duration::from_secs(300)));

    let mut text = heading(file.as_ref());
    let _ = writeln!(text, "\n{} minutes in all.", begin.elapsed().as_secs() / 60);
    text += &report.markdown();
    match file {
        Some(file) => {
            std::fs::write(&file, &text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            eprintln!("report: {}", file.display());
        }
        None => eprintln!("{text}"),
    }
    let broken = report.broken();
    for line in &broken {
        eprintln!("BROKEN: {line}");
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn heading(file: Option<&PathBuf>) -> String {
    let date = file.and_then(|file| file.file_stem()).map(|stem| format!(", {}", stem.display()));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "# Faults and load{}\n\nspark-injector {}, three replicas behind a balancer, one API server, all on one \
         machine with {cores} cores. Pods are created as dry runs through the API server, with `failurePolicy: Fail` \
         and a time-out of 5 s, as installed.\n",
        date.unwrap_or_default(),
        env!("CARGO_PKG_VERSION")
    )
}
