//! The short form of the chaos suite: every scene, briefly. `make chaos` plays the long one and writes a report.

use std::time::Duration;

use acceptance::chaos::certificates::Lives;
use acceptance::chaos::hostile::{self, Force};
use acceptance::chaos::slowhttptest::{self, Attack};
use acceptance::chaos::stage::Stage;
use acceptance::chaos::{Report, certificates, idle, replicas, soak};

const BRIEF: [&str; 4] = ["--drain-min", "2s", "--drain-quiet", "1s"];

#[test]
fn replicas_come_and_go_hang_and_die_without_a_pod_that_fails_for_it() {
    let mut stage = Stage::start(2, &BRIEF);
    let mut report = Report::default();
    report.add(replicas::roll_out(&mut stage, 2, 50, Duration::from_millis(200)));
    report.add(replicas::kill(&mut stage, 50, Duration::from_secs(3)));
    report.add(replicas::hang(&mut stage, 50, Duration::from_secs(4)));
    assert!(report.broken().is_empty(), "{}", report.markdown());
}

#[test]
fn hostile_clients_neither_stop_nor_bloat_a_replica() {
    let mut stage = Stage::start(2, &BRIEF);
    let force = Force { slow: 40, bodies: 60, idle: 400, flood: Duration::from_secs(1), per_second: 20 };
    let mut report = Report::default();
    for finding in hostile::all(&mut stage, &force) {
        report.add(finding);
    }
    for finding in slowhttptest::all(&stage, &force, &[Attack::Headers, Attack::Bodies]) {
        report.add(finding);
    }
    // Longer than the headers of a request may take: an idle connection has a clock of its own.
    report.add(idle::idle(&stage, Duration::from_secs(11)));
    report.add(soak::soak(&stage, Duration::from_secs(5)));
    assert!(report.broken().is_empty(), "{}", report.markdown());
}

#[test]
fn certificates_are_replaced_and_nobody_notices() {
    let lives = Lives { authority: 30, certificate: 10, confirm: 2 };
    let mut report = Report::default();
    report.add(certificates::rotate(3, lives, 20, Duration::from_secs(30)));
    assert!(report.broken().is_empty(), "{}", report.markdown());
}
