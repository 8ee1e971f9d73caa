//! From bytes to bytes, in process, on one thread.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;

use serde_json::value::RawValue;
use spark_injector::admit;
use spark_injector::catalog::Catalog;

use crate::Progress;
use crate::args::{Bench, Subject, program};
use crate::fixtures::{self, LARGE, QUIET, SMALL};
use crate::idiom::{self, Addition};
use crate::measure::{Samples, count, cpu_per_call};
use crate::picture::{Curve, Panel};
use crate::report::Report;

const UNIT: &str = "µs CPU";

/// Encoded payload sizes of the picture.
const PAYLOADS: [usize; 6] = [1_000, SMALL, 16_000, 64_000, LARGE, 250_000];
/// Review sizes of the picture and of the linearity check.
const REVIEWS: [usize; 5] = [9_301, 32_000, 96_000, 256_000, 1_024_000];

pub(crate) fn run(bench: &Bench, progress: &Progress, report: &mut Report) {
    let body = fixtures::review("team-a");
    for (label, payload, against_kube) in [("4 KB", SMALL, 20.0), ("150 KB", LARGE, 60.0)] {
        progress.say(&format!("handler, {label} payload"));
        let catalog = fixtures::catalog(payload);
        let addition = Addition::of(&catalog, &body);
        let [ours, kube, scan] = rounds(bench, &catalog, &addition, &body);
        report.at_least(
            &format!("handler, {label} payload, against kube-rs"),
            UNIT,
            &ours,
            &kube,
            against_kube,
        );
        report.at_most(&format!("handler, {label} payload, against a scan"), UNIT, &ours, &scan, 2.0);
        let ours = admit::review(&catalog, &body).body.len();
        let theirs = idiom::review(&addition, &body).len();
        let (ours, theirs) = (Samples::one(count(ours)), Samples::one(count(theirs)));
        report.beside(&format!("answer, {label} payload, against kube-rs"), "bytes", &ours, &theirs);
    }
    instructions(bench, progress, report);
    skipped(bench, report, &body);
    operations(report);
    curves(bench, progress, report, &body);
}

/// CPU microseconds of ours, of the idiom and of the scan, round by round.
fn rounds(bench: &Bench, catalog: &Catalog, addition: &Addition, body: &[u8]) -> [Samples; 3] {
    let mut samples: [Samples; 3] = Default::default();
    for _ in 0..bench.rounds() {
        for (samples, subject) in samples.iter_mut().zip([Subject::Ours, Subject::Kube, Subject::Scan]) {
            samples.push(cpu_per_call(bench.call_time(), || handle(subject, catalog, addition, body)));
        }
    }
    samples
}

fn handle(subject: Subject, catalog: &Catalog, addition: &Addition, body: &[u8]) {
    let body = black_box(body);
    match subject {
        Subject::Ours => drop(black_box(admit::review(catalog, body))),
        Subject::Kube => drop(black_box(idiom::review(addition, body))),
        Subject::Scan => {
            black_box(serde_json::from_slice::<&RawValue>(body).expect("JSON"));
        }
        Subject::Nothing => {}
    }
}

/// A pod of a namespace that has not opted in costs less than one that is injected.
fn skipped(bench: &Bench, report: &mut Report, body: &[u8]) {
    let catalog = fixtures::catalog(SMALL);
    let quiet = fixtures::review(QUIET);
    assert!(idiom::operations(&admit::review(&catalog, &quiet).body.to_vec()).is_empty(), "it is skipped");
    let (mut skipped, mut injected) = (Samples::default(), Samples::default());
    for _ in 0..bench.rounds() {
        for (samples, body) in [(&mut skipped, quiet.as_slice()), (&mut injected, body)] {
            samples.push(cpu_per_call(bench.call_time(), || {
                handle(Subject::Ours, &catalog, &Addition::default(), body);
            }));
        }
    }
    report.at_most("handler, a skipped pod against an injected one", UNIT, &skipped, &injected, 0.8);
}

/// The number of operations says nothing about the pod.
fn operations(report: &mut Report) {
    let catalog = fixtures::catalog(SMALL);
    let number = |variables| {
        let body = fixtures::review_with_env("team-a", variables);
        Samples::one(count(idiom::operations(&admit::review(&catalog, &body).body.to_vec()).len()))
    };
    let (many, none) = (number(3_000), number(0));
    report.at_most("operations, 3,000 more variables against none", "", &many, &none, 1.0);
}

fn curves(bench: &Bench, progress: &Progress, report: &mut Report, body: &[u8]) {
    let names = ["spark-injector", "kube-rs: typed pod, clone, diff", "validating scan"];
    let three = |points: Vec<(f64, [Samples; 3])>| -> Vec<Curve> {
        let of = |index: usize| points.iter().map(move |(x, all)| (*x, all[index].median()));
        names.iter().enumerate().map(|(index, name)| Curve::new(name, of(index).collect())).collect()
    };
    progress.say("handler, payload sizes");
    let payloads = PAYLOADS.map(|payload| {
        let catalog = fixtures::catalog(payload);
        let addition = Addition::of(&catalog, body);
        (count(payload), rounds(bench, &catalog, &addition, body))
    });
    let title = "CPU per review by payload: handler, executor of 9 KB";
    report.panel(Panel::lines(title, "payload in the pod, bytes", "µs", three(payloads.into())));
    progress.say("handler, review sizes");
    let catalog = fixtures::catalog(SMALL);
    let addition = Addition::of(&catalog, body);
    let reviews = REVIEWS.map(|bytes| {
        let body = fixtures::review_of_size("team-a", bytes);
        (count(body.len()), rounds(bench, &catalog, &addition, &body))
    });
    let [.., (_, [quarter, ..]), (_, [whole, ..])] = &reviews;
    report.at_most("handler, review of 1 MB against 256 KB", UNIT, whole, quarter, 4.3);
    let title = "CPU per review by pod size: handler, payload of 4 KB";
    report.panel(Panel::lines(title, "review, bytes", "µs", three(reviews.into())));
}

/// Instructions per review, which no neighbour changes. For the record: the thresholds are of time, and instructions
/// of a parser and of an allocator do not take the same.
fn instructions(bench: &Bench, progress: &Progress, report: &mut Report) {
    let rows = [
        ("4 KB payload, against kube-rs", SMALL, Subject::Kube),
        ("4 KB payload, against a scan", SMALL, Subject::Scan),
        ("150 KB payload, against kube-rs", LARGE, Subject::Kube),
        ("150 KB payload, against a scan", LARGE, Subject::Scan),
    ];
    let Some(valgrind) = program("valgrind") else {
        report.missing("instruction counts: no valgrind");
        return;
    };
    progress.say("handler, instruction counts");
    let count = |subject: Subject, payload| instructions_of(&valgrind, subject, payload, bench.quick);
    for (name, payload, subject) in rows {
        let (Some(ours), Some(reference)) = (count(Subject::Ours, payload), count(subject, payload)) else {
            report.missing("instruction counts: valgrind does not run this binary");
            return;
        };
        let name = format!("handler instructions, {name}");
        let (ours, reference) = (Samples::one(ours), Samples::one(reference));
        report.beside(&name, "", &ours, &reference);
    }
}

/// The difference of two runs leaves out the start, and the making of the inputs.
fn instructions_of(valgrind: &Path, subject: Subject, payload: usize, quick: bool) -> Option<f64> {
    let (few, many) = if quick { (10, 60) } else { (10, 210) };
    let run = |reviews: usize| -> Option<f64> {
        let itself = std::env::current_exe().ok()?;
        let name = format!("{subject:?}").to_lowercase();
        let output = Command::new(valgrind)
            // It counts each turn of `rep movsb`, which is one byte; let the copies be ordinary loops.
            .env("GLIBC_TUNABLES", "glibc.cpu.x86_rep_movsb_threshold=1000000000")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(itself)
            .args(["review", &name, &payload.to_string(), &reviews.to_string()])
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stderr);
        let collected = text.lines().find_map(|line| line.split_once("Collected :"))?.1;
        collected.trim().parse().ok()
    };
    Some((run(many)? - run(few)?) / count(many - few))
}

/// For a profiler: nothing but this subject, so often.
pub(crate) fn review_often(subject: Subject, payload: usize, reviews: usize) {
    let body = fixtures::review("team-a");
    let catalog = fixtures::catalog(payload);
    let addition = Addition::of(&catalog, &body);
    for _ in 0..reviews {
        handle(subject, &catalog, &addition, &body);
    }
}
