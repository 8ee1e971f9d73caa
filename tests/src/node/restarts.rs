//! Scenes: replicas that come and go on the node while pods are created.

use std::process::Command;
use std::time::{Duration, Instant};

use super::install::{PODS, PROGRAM, wait_until_available};
use super::running::Node;
use super::seen::{self, Running};
use crate::chaos::Finding;
use crate::chaos::load::Load;
use crate::manifests::OWN;
use crate::process::wait_until;

const LIMIT: Duration = Duration::from_secs(120);

/// `kubectl rollout restart`: every replica is replaced.
pub fn roll_out(node: &Node, per_second: u32) -> Finding {
    let mut finding = Finding::new("`kubectl rollout restart` while pods are created");
    let before = names(node);
    let load = Load::start(node.api(), per_second);
    let begin = Instant::now();
    node.cluster().kubectl_succeeds(&["rollout", "restart", "deployment", OWN, "--namespace", OWN]);
    wait_until_available(node);
    // The last of the old ones drains after the Deployment is as it should be.
    let gone = wait_until(LIMIT, || {
        let now = names(node);
        (now.len() == 2 && before.iter().all(|name| !now.contains(name))).then_some(())
    });
    let took = begin.elapsed();
    let tally = load.stop();
    finding.measured(&tally);
    finding
        .promise(gone.is_some(), format_args!("both replicas are others after {:.0} s", took.as_secs_f64()));
    finding.promise(tally.failed == 0, format_args!("no creation fails ({} did)", tally.failed));
    finding
}

/// `kubectl delete pod --force`: the pod is gone from the API server at once, its process a little later.
pub fn forced(node: &Node, per_second: u32) -> Finding {
    let mut finding = Finding::new("`kubectl delete pod --force` while pods are created");
    let victim = names(node).swap_remove(0);
    let load = Load::start(node.api(), per_second);
    std::thread::sleep(Duration::from_secs(5));
    load.most_flying();
    let begin = Instant::now();
    node.cluster().kubectl_succeeds(&[
        "delete",
        "pod",
        &victim,
        "--namespace",
        OWN,
        "--force",
        "--grace-period=0",
    ]);
    let ended = wait_until(LIMIT, || {
        Running::of(PROGRAM).iter().all(|process| process.pod() != victim).then(|| begin.elapsed())
    });
    let flying = load.most_flying();
    wait_until_available(node);
    let tally = load.stop();
    finding.measured(&tally);
    finding.promise(
        ended.is_some(),
        format_args!("its process ends, after {:.1} s", ended.unwrap_or_default().as_secs_f64()),
    );
    finding.promise(
        tally.failed <= flying,
        format_args!("{} failures are at most the {flying} calls that were under way", tally.failed),
    );
    finding
}

/// SIGKILL to the process, as of an exhausted node: the kubelet starts the container again.
pub fn killed(node: &Node, per_second: u32) -> Finding {
    let mut finding = Finding::new("SIGKILL to the process of a replica while pods are created");
    let Some(process) = Running::of(PROGRAM).into_iter().next() else {
        finding.promise(false, "there is a replica");
        return finding;
    };
    let load = Load::start(node.api(), per_second);
    std::thread::sleep(Duration::from_secs(5));
    load.most_flying();
    signal("KILL", process.id);
    let path = format!("/api/v1/namespaces/{OWN}/pods/{}", process.pod());
    let begin = Instant::now();
    seen::wait_for(node.api(), &path, "a container that was started again", LIMIT, |pod| {
        (seen::status(pod, OWN)["restartCount"] == 1 && seen::is_ready(pod)).then_some(())
    });
    let took = begin.elapsed();
    let flying = load.most_flying();
    let tally = load.stop();
    finding.measured(&tally);
    finding
        .measured(format_args!("the kubelet has started it again, ready after {:.1} s", took.as_secs_f64()));
    // New connections are refused until the kubelet has seen it and kube-proxy has been told.
    finding.measured(format_args!("{} failures; at most {flying} calls were under way", tally.failed));
    finding
}

/// SIGSTOP to the process: nobody answers, nobody says that it is gone.
pub fn stopped(node: &Node) -> Finding {
    let mut finding = Finding::new("SIGSTOP to the process of a replica");
    let Some(process) = Running::of(PROGRAM).into_iter().next() else {
        finding.promise(false, "there is a replica");
        return finding;
    };
    let path = format!("/api/v1/namespaces/{OWN}/pods/{}", process.pod());
    let begin = Instant::now();
    signal("STOP", process.id);
    seen::wait_for(node.api(), &path, "a pod that is not ready", LIMIT, |pod| {
        (!seen::is_ready(pod)).then_some(())
    });
    finding.measured(format_args!("the kubelet sees it after {:.1} s", begin.elapsed().as_secs_f64()));
    signal("CONT", process.id);
    let begin = Instant::now();
    seen::wait_for(node.api(), &path, "a pod that is ready again", LIMIT, |pod| {
        seen::is_ready(pod).then_some(())
    });
    finding
        .measured(format_args!("once it goes on, it is ready after {:.1} s", begin.elapsed().as_secs_f64()));
    finding
}

fn names(node: &Node) -> Vec<String> {
    seen::pods(node.api(), OWN, PODS).iter().map(|pod| seen::name(pod).to_owned()).collect()
}

fn signal(name: &str, id: u32) {
    let status = Command::new("kill").args(["-s", name, &id.to_string()]).status().expect("kill runs");
    assert!(status.success(), "kill -s {name} {id}: {status}");
}
