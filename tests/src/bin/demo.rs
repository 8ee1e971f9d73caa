//! `make demo`: a real API server, the webhook, real Spark, and what comes of it, told in six steps.

// A demo that cannot set up its world has nothing to return: the panic is the message.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::ExitCode;

use clap::Parser;

#[path = "../demo/mod.rs"]
mod demo;

/// Shows what spark-injector does: starts an API server and the webhook on this machine, lets real Spark create pods,
/// and compares what Spark sent with what was stored. Nothing outside a temporary directory and the cache is touched.
#[derive(Debug, Parser)]
#[command(name = "demo", version, after_help = EXAMPLES, max_term_width = 110)]
struct Arguments {
    /// Keep everything running at the end, for a look around with kubectl, until Enter or Ctrl-C
    #[arg(long)]
    keep: bool,
}

const EXAMPLES: &str = "\
The first run builds etcd and kube-apiserver (Go, some minutes) and downloads
Spark (435 MB); both stay in ~/.cache/spark-injector, or where
SPARK_INJECTOR_CACHE says. Java 17 or newer runs Spark.

Examples:
  make demo
  cargo run -p acceptance --bin demo -- --keep
  NO_COLOR=1 make demo > demo.txt

Exit status:
  0    everything that the report says was checked and holds
  1    a check failed, or something did not start: the last lines say what
  130  stopped with Ctrl-C";

fn main() -> ExitCode {
    demo::run(Arguments::parse().keep)
}
