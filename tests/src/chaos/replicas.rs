//! Scenes about replicas: all is well, a roll-out, one that is killed, one that hangs.

use std::time::Duration;

use super::Finding;
use super::load::Load;
use super::stage::Stage;

/// How long the control plane takes until no new connections come to a replica that is told to end.
const PROPAGATION: Duration = Duration::from_secs(1);

/// The API server's limit for one call, as installed.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Nothing happens: what the machine can do by itself, to judge the other scenes by.
pub fn steady(stage: &Stage, per_second: u32, lasting: Duration) -> Finding {
    let mut finding = Finding::new("All is well");
    let load = Load::start(&stage.api, per_second);
    std::thread::sleep(lasting);
    let tally = load.stop();
    finding.measured(&tally);
    finding.promise(tally.failed == 0, "no creation fails");
    finding
}

/// Every replica is replaced by a new one, so many times, as a Deployment with `maxSurge: 1` does it: the new one is
/// ready and waits `settle`, then the old one is told to end, and still gets connections for a while.
pub fn roll_out(stage: &mut Stage, rounds: usize, per_second: u32, settle: Duration) -> Finding {
    let count = stage.replicas.len();
    let mut finding = Finding::new(&format!("Rolling restart of {count} replicas, {rounds} times"));
    let load = Load::start(&stage.api, per_second);
    let mut ended_well = true;
    for _ in 0..rounds {
        let mut leaving = Vec::new();
        for _ in 0..count {
            let replica = stage.replica();
            stage.join(replica);
            std::thread::sleep(settle);
            let mut old = stage.replicas.remove(0);
            old.terminate();
            std::thread::sleep(PROPAGATION);
            stage.balancer.retire(old.review_address());
            // The next one starts while this one drains.
            leaving.push(old);
        }
        ended_well &= leaving.iter_mut().all(|old| old.stop().success());
    }
    let tally = load.stop();
    finding.measured(&tally);
    finding.promise(tally.failed == 0, format_args!("no creation fails ({} did)", tally.failed));
    finding.promise(ended_well, "every replica ends with status 0");
    finding
}

/// A replica gets SIGKILL: no goodbye to anybody.
pub fn kill(stage: &mut Stage, per_second: u32, lasting: Duration) -> Finding {
    let mut finding = Finding::new("SIGKILL to a replica");
    let load = Load::start(&stage.api, per_second);
    std::thread::sleep(lasting / 2);
    let mut victim = stage.replicas.remove(0);
    let address = victim.review_address();
    load.most_flying();
    victim.kill();
    std::thread::sleep(Duration::from_millis(50));
    let flying = load.most_flying();
    std::thread::sleep(lasting / 2);
    stage.balancer.retire(address);
    let unreachable = stage.balancer.unreachable(address);
    let tally = load.stop();
    finding.measured(&tally);
    finding.measured(format_args!(
        "{flying} creations were under way, {unreachable} connections went to it before the probe failed"
    ));
    finding.promise(
        tally.failed <= flying + unreachable,
        format_args!("{} failures are at most the calls under way and those connections", tally.failed),
    );
    let replica = stage.replica();
    stage.join(replica);
    finding
}

/// A replica gets SIGSTOP: its connections stay open and nobody answers, as with a node that hangs.
pub fn hang(stage: &mut Stage, per_second: u32, lasting: Duration) -> Finding {
    let mut finding = Finding::new("SIGSTOP to a replica");
    let load = Load::start(&stage.api, per_second);
    std::thread::sleep(lasting / 4);
    let before = stage.balancer.connections(stage.replicas[0].review_address());
    stage.replicas[0].signal("STOP");
    std::thread::sleep(TIMEOUT + lasting / 2);
    let after = stage.balancer.connections(stage.replicas[0].review_address());
    let share = before.1 + (after.0 - before.0);
    let at_the_end = load.failed();
    std::thread::sleep(lasting / 4);
    let later = load.failed() - at_the_end;
    stage.replicas[0].signal("CONT");
    let tally = load.stop();
    finding.measured(&tally);
    finding.measured(format_args!(
        "it had {} connections, {} came before the probe failed",
        before.1,
        after.0 - before.0
    ));
    finding.promise(
        tally.failed <= share,
        format_args!("{} failures are at most its share until the time-out", tally.failed),
    );
    finding.promise(later == 0, "nothing fails once its connections have timed out");
    finding
}
