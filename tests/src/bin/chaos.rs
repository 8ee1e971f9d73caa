//! `make chaos`: every scene of faults and load in its long form, and a report.

// A suite that cannot set up its world has nothing to return: the panic is the message.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use acceptance::chaos::certificates::Lives;
use acceptance::chaos::hostile::{self, Force};
use acceptance::chaos::slowhttptest::{self, Attack};
use acceptance::chaos::stage::Stage;
use acceptance::chaos::{Finding, Report, certificates, idle, replicas, scanners, soak};
use clap::{Parser, ValueEnum};

/// Plays faults and load on a real API server with three replicas of the built webhook behind a balancer, and writes
/// down what was promised, what was measured, and what does not hold.
#[derive(Debug, Parser)]
#[command(name = "chaos", version, after_help = EXAMPLES, max_term_width = 110)]
struct Arguments {
    /// File for the report, Markdown; its name is its date
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Plays this scene and no other; repeatable
    #[arg(long, value_enum, value_name = "SCENE")]
    only: Vec<Scene>,
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

/// In the order in which they are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scene {
    /// Nothing happens, to judge the others by
    Steady,
    /// Every replica is replaced, again and again
    RollOut,
    /// A replica is killed
    Kill,
    /// A replica hangs
    Hang,
    /// Connections that nobody uses for 95 s
    Idle,
    /// Slow headers, bodies and readers
    Slow,
    /// Bodies that are too much together
    Large,
    /// Bodies without an end
    Endless,
    /// Ten thousand connections on which nothing is asked
    Silent,
    /// Handshakes without a request
    Handshakes,
    /// A replica without descriptors
    Descriptors,
    /// The attacks of slowhttptest
    Slowhttptest,
    /// A long time at full speed
    Soak,
    /// sslscan and testssl.sh
    Scanners,
    /// Certificates that live for seconds
    Certificates,
    /// Certificates that live for minutes, confirmed for half a minute as by default
    CertificatesConfirmed,
}

const EXAMPLES: &str = "\
Examples:
  make chaos
  cargo run --release -p acceptance --bin chaos -- --soak 5 --report docs/chaos/2026-11-21.md
  cargo run -p acceptance --bin chaos -- --only slow --only idle

Exit status:
  0  every promise holds
  1  one is broken: the report says which
  2  something did not start";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let begin = Instant::now();
    let mut report = Report::default();
    let mut stage = None;
    for scene in Scene::value_variants() {
        if arguments.only.is_empty() || arguments.only.contains(scene) {
            for finding in play(*scene, &arguments, &mut stage) {
                report.add(finding);
            }
        }
    }
    let file = arguments.report.as_deref();
    let minutes = begin.elapsed().as_secs() / 60;
    report.finish(file, &format!("{}\n{minutes} minutes in all.\n", heading(file)))
}

fn play(scene: Scene, arguments: &Arguments, stage: &mut Option<Stage>) -> Vec<Finding> {
    let rotated = |lives| vec![certificates::rotate(3, lives, arguments.rate / 2, Duration::from_secs(300))];
    // The last ones have a cluster of their own, as installed.
    if matches!(scene, Scene::Scanners | Scene::Certificates | Scene::CertificatesConfirmed) {
        *stage = None;
    }
    match scene {
        Scene::Scanners => scanners::scan(),
        Scene::Certificates => rotated(Lives { authority: 60, certificate: 20, confirm: 5 }),
        // A third of a life has to be longer than what it is confirmed for, and a witness counts a tenth less.
        Scene::CertificatesConfirmed => rotated(Lives { authority: 310, certificate: 102, confirm: 34 }),
        // As shipped: three replicas, ends that take ten seconds and more.
        _ => on_stage(scene, arguments, stage.get_or_insert_with(|| Stage::start(3, &[]))),
    }
}

fn on_stage(scene: Scene, arguments: &Arguments, stage: &mut Stage) -> Vec<Finding> {
    let Arguments { soak: minutes, rounds, rate, .. } = *arguments;
    let lasting = Duration::from_secs;
    let force = Force { slow: 500, bodies: 500, idle: 10_000, flood: lasting(30), per_second: rate / 2 };
    let finding = match scene {
        Scene::Steady => replicas::steady(stage, rate, lasting(20)),
        Scene::RollOut => replicas::roll_out(stage, rounds, rate, lasting(2)),
        Scene::Kill => replicas::kill(stage, rate, lasting(20)),
        Scene::Hang => replicas::hang(stage, rate, lasting(20)),
        Scene::Idle => idle::idle(stage, lasting(95)),
        Scene::Slow => hostile::slow(stage, &force),
        Scene::Large => hostile::large(stage, &force),
        Scene::Endless => hostile::endless(stage, &force),
        Scene::Silent => hostile::idle(stage, &force),
        Scene::Handshakes => hostile::handshakes(stage, &force),
        Scene::Descriptors => hostile::no_descriptors(stage, &force),
        Scene::Soak => soak::soak(stage, lasting(60 * minutes)),
        Scene::Slowhttptest => return slowhttptest::all(stage, &force, &Attack::ALL),
        Scene::Scanners | Scene::Certificates | Scene::CertificatesConfirmed => return Vec::new(),
    };
    vec![finding]
}

fn heading(file: Option<&Path>) -> String {
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
