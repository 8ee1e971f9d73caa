//! `make node`: what is installed, on a real node.

// A suite that cannot set up its world has nothing to return: the panic is the message.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use acceptance::chaos::Report;
use acceptance::node::running::Node;
use acceptance::node::{checked, cost, install, jobs, machine, restarts, spoilt};
use acceptance::places;
use clap::Parser;

/// Makes this machine a cluster of one node, in namespaces of its own: kubelet, containerd and runc beside the control
/// plane. Installs what is shipped, runs Spark jobs to their end, restarts replicas, and writes down what held.
#[derive(Debug, Parser)]
#[command(name = "node", version, after_help = EXAMPLES, max_term_width = 110)]
struct Arguments {
    /// File for the report, Markdown; its name is its date
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Creations per second while replicas come and go
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    rate: u32,
    /// Inside the namespaces already
    #[arg(long, hide = true)]
    inside: bool,
}

const EXAMPLES: &str = "\
The first run builds kubelet and containerd (Go, some minutes) and makes an
image of Spark from packages of Debian; both stay in ~/.cache/spark-injector,
or where SPARK_INJECTOR_CACHE says. It needs root, control groups of version 1,
4 GB of memory and 5 GB of disk. Nothing of it is seen outside, and nothing is left.

Examples:
  make node
  cargo run -p acceptance --bin node -- --report docs/node/2026-11-21.md
  KEEP=1 make node          logs and volumes stay, for a look

Exit status:
  0  everything holds
  1  something does not: the report says what
  2  this machine cannot be a node, or something did not start";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.inside {
        return play(arguments.report.as_deref(), arguments.rate);
    }
    let obstacles = machine::obstacles();
    if !obstacles.is_empty() {
        for obstacle in obstacles {
            eprintln!("node: error: {obstacle}");
        }
        return ExitCode::from(2);
    }
    // Downloads and builds need the network that the node does not have.
    places::images();
    places::spark_injector();
    places::control_plane();
    places::node();
    places::spark_image();

    let mut args = vec!["--inside".to_owned(), format!("--rate={}", arguments.rate)];
    if let Some(report) = arguments.report {
        args.push(format!("--report={}", std::path::absolute(report).expect("a path").display()));
    }
    let program = std::env::current_exe().expect("the path of this program");
    let status = machine::enter(&program, &args);
    match status.code() {
        Some(0) => ExitCode::SUCCESS,
        Some(1) => ExitCode::FAILURE,
        _ => ExitCode::from(2),
    }
}

fn play(file: Option<&Path>, rate: u32) -> ExitCode {
    let begin = Instant::now();
    let mut images = places::images();
    images.push(places::spark_image());
    let node = Node::start(&images);
    let up = begin.elapsed().as_secs();

    let mut report = Report::default();
    report.add(install::install(&node));
    report.add(jobs::prepare(&node));
    report.add(spoilt::deleted(&node));
    report.add(jobs::run(&node, jobs::BY_SECRET));
    report.add(spoilt::brought_back(&node));
    report.add(spoilt::exchanged(&node));
    report.add(spoilt::again(&node));
    report.add(cost::start(&node));
    report.add(install::guard(&node));
    report.add(jobs::run(&node, jobs::BY_ENVIRONMENT));
    report.add(checked::by_hand(&node));
    report.add(checked::scheduled(&node));
    report.add(restarts::roll_out(&node, rate));
    report.add(restarts::mistaken(&node, rate));
    report.add(restarts::evicted(&node, rate));
    report.add(restarts::forced(&node, rate));
    report.add(restarts::killed(&node, rate));
    report.add(restarts::stopped(&node));

    let heading = heading(file, &node.versions());
    let seconds = begin.elapsed().as_secs();
    drop(node);
    report.finish(file, &format!("{heading}\nThe node was ready after {up} s; {seconds} s in all.\n"))
}

fn heading(file: Option<&Path>, versions: &[String]) -> String {
    let date = file.and_then(|file| file.file_stem()).map(|stem| format!(", {}", stem.display()));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "# On a real node{}\n\nspark-injector {}, with `make images` and `manifests/base` as they are, on a cluster of one \
         node with {cores} cores: {}.\n",
        date.unwrap_or_default(),
        env!("CARGO_PKG_VERSION"),
        versions.join(", ")
    )
}
