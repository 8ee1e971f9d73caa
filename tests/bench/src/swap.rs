//! Requests while catalogs are compiled and swapped: nobody should notice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::Progress;
use crate::args::Bench;
use crate::fixtures::{self, LARGE};
use crate::measure::Samples;
use crate::report::Report;
use crate::server::World;

const PROFILES: usize = 50;
const NAMESPACES: usize = 1_000;

/// How often every profile changes.
const EVERY: Duration = Duration::from_millis(500);

/// The p50, p99 and maximum of requests, in microseconds.
type Times = [Samples; 3];

pub(crate) fn run(bench: &Bench, progress: &Progress, report: &mut Report, world: &World) {
    let directory = world.directory("swapped");
    let [first, second] = ["0", "1"].map(profiles);
    fixtures::write_inputs(&directory, &first, fixtures::groups(NAMESPACES, PROFILES));
    let server = world.serve_with(&directory, &[("SPARK_INJECTOR_POLL", "100ms")]);
    let client = world.client("team-7");
    let time = Duration::from_secs(if bench.quick { 2 } else { 4 });
    let (mut still, mut swapped) = (Times::default(), Times::default());
    for round in 1..=bench.rounds() {
        progress.say(&format!("server, catalogs swapped, round {round} of {}", bench.rounds()));
        push(&mut still, client.at_leisure(&server, 4, time));
        let (before, done) = (client.answer(&server), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for profiles in [&second, &first].into_iter().cycle() {
                    fixtures::write_profiles(&directory, profiles);
                    std::thread::sleep(EVERY);
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            push(&mut swapped, client.at_leisure(&server, 4, time));
            done.store(true, Ordering::Relaxed);
        });
        // There were swaps indeed, and the next round begins as this one did.
        for (profiles, is_first) in [(&second, false), (&first, true)] {
            fixtures::write_profiles(&directory, profiles);
            while (client.answer(&server) == before) != is_first {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
    let name = format!("server, {PROFILES} profiles of {} kB compiled and swapped", LARGE / 1000);
    let [p50, p99, max] = &swapped;
    report.beside(&format!("{name}, p50 against none"), "µs", p50, &still[0]);
    report.at_most(&format!("{name}, p99 against none"), "µs", p99, &still[1], 2.0);
    report.beside(&format!("{name}, longest request against none"), "µs", max, &still[2]);
}

fn push(times: &mut Times, found: crate::load::Found) {
    for (samples, time) in times.iter_mut().zip([found.p50, found.p99, found.max]) {
        samples.push(time);
    }
}

/// Profiles whose files all differ from those of another edition.
fn profiles(edition: &str) -> Vec<Value> {
    let mut profiles: Vec<Value> = (0..PROFILES)
        .map(|index| fixtures::profile(&format!("profile-{index}"), &fixtures::group(index), LARGE))
        .collect();
    for files in
        profiles.iter_mut().filter_map(|profile| profile["spec"]["files"][0]["inline"].as_object_mut())
    {
        for content in files.values_mut() {
            *content = format!("{edition}{}", content.as_str().unwrap_or_default()).into();
        }
    }
    profiles
}
