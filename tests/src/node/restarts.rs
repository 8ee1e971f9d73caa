//! Scenes: replicas that come and go on the node while pods are created.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::install::{PODS, PROGRAM, wait_until_available};
use super::running::Node;
use super::seen::{self, Running};
use crate::chaos::Finding;
use crate::chaos::load::Load;
use crate::manifests::OWN;
use crate::process::wait_until;

const LIMIT: Duration = Duration::from_secs(120);

/// How long pods are created before something happens.
const BEFORE: Duration = Duration::from_secs(5);

/// `kubectl rollout restart`: every replica is replaced.
pub fn roll_out(node: &Node, per_second: u32) -> Finding {
    let mut finding = Finding::new("`kubectl rollout restart` while pods are created");
    let before = replicas(node);
    let load = Load::start(node.api(), per_second);
    let begin = Instant::now();
    node.cluster().kubectl_succeeds(&["rollout", "restart", "deployment", OWN, "--namespace", OWN]);
    wait_until_available(node);
    // The last of the old ones drains after the Deployment is as it should be.
    let gone = wait_until(LIMIT, || {
        let now = replicas(node);
        let is_old = |pod: &Value| before.iter().any(|old| seen::name(old) == seen::name(pod));
        (now.len() == 2 && !now.iter().any(is_old)).then_some(())
    });
    let took = begin.elapsed();
    let tally = load.stop();
    finding.measured(&tally);
    finding
        .promise(gone.is_some(), format_args!("both replicas are others after {:.0} s", took.as_secs_f64()));
    finding.promise(tally.failed == 0, format_args!("no creation fails ({} did)", tally.failed));
    finding
}

/// A setting that no replica starts with: the old ones go on serving, and the new one says what is wrong.
pub fn mistaken(node: &Node, per_second: u32) -> Finding {
    let mut finding = Finding::new("A roll-out with a setting that is wrong");
    let kubectl = |args: &[&str]| node.cluster().kubectl_succeeds(&[args, &["--namespace", OWN]].concat());
    let load = Load::start(node.api(), per_second);
    kubectl(&["set", "env", "deployment", OWN, "SPARK_INJECTOR_LOG_LEVEL=loud"]);
    let path = format!("/api/v1/namespaces/{OWN}/pods?labelSelector={PODS}");
    let ended = seen::wait_for(node.api(), &path, "a replica that fails to start", LIMIT, |list| {
        let statuses = list["items"].as_array()?.iter().map(|pod| seen::status(pod, OWN));
        let mut states = statuses.flat_map(|status| [&status["state"], &status["lastState"]]);
        states.find(|state| state["terminated"].is_object()).map(|state| state["terminated"].clone())
    });
    std::thread::sleep(BEFORE);
    kubectl(&["rollout", "undo", "deployment", OWN]);
    wait_until_available(node);
    let tally = load.stop();
    finding.measured(&tally);
    let message = ended["message"].as_str().unwrap_or_default();
    finding.promise(
        message.contains("loud"),
        format_args!(
            "`kubectl describe pod` says, with exit code {}: {:?}",
            ended["exitCode"],
            message.trim()
        ),
    );
    finding.promise(tally.failed == 0, format_args!("no creation fails ({} did)", tally.failed));
    finding
}

/// An eviction, as of a node that is drained; the disruption budget lets one go at a time.
pub fn evicted(node: &Node, per_second: u32) -> Finding {
    let mut finding = Finding::new("Eviction of both replicas while pods are created");
    let load = Load::start(node.api(), per_second);
    std::thread::sleep(BEFORE);
    let answers: Vec<_> = replicas(node)
        .iter()
        .map(|pod| {
            let path = format!("/api/v1/namespaces/{OWN}/pods/{}/eviction", seen::name(pod));
            let metadata = json!({"name": seen::name(pod), "namespace": OWN});
            let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata});
            node.api().post(&path, &eviction).status
        })
        .collect();
    wait_until_available(node);
    let gone = wait_until(LIMIT, || (replicas(node).len() == 2).then_some(()));
    let tally = load.stop();
    finding.measured(&tally);
    finding.promise(
        answers == [201, 429],
        format_args!("the first one is let go, the second is kept ({answers:?})"),
    );
    finding.promise(gone.is_some(), "it drains, and ends");
    finding.promise(tally.failed == 0, format_args!("no creation fails ({} did)", tally.failed));
    finding
}

/// `kubectl delete pod --force`: the pod is gone from the API server at once, its process a little later.
pub fn forced(node: &Node, per_second: u32) -> Finding {
    let mut finding = Finding::new("`kubectl delete pod --force` while pods are created");
    let victim = replicas(node).swap_remove(0);
    let load = Load::start(node.api(), per_second);
    std::thread::sleep(BEFORE);
    load.most_flying();
    let begin = Instant::now();
    let name = seen::name(&victim);
    let args = ["delete", "pod", name, "--namespace", OWN, "--force", "--grace-period=0"];
    node.cluster().kubectl_succeeds(&args);
    let ended = wait_until(LIMIT, || Running::of(&victim, PROGRAM).is_none().then(|| begin.elapsed()));
    let flying = load.most_flying();
    wait_until_available(node);
    let tally = load.stop();
    finding.measured(&tally);
    let took = ended.unwrap_or_default().as_secs_f64();
    finding.promise(ended.is_some(), format_args!("its process ends, after {took:.1} s"));
    finding.promise(
        tally.failed <= flying,
        format_args!("{} failures are at most the {flying} calls that were under way", tally.failed),
    );
    finding
}

/// SIGKILL to the process, as of an exhausted node: the kubelet starts the container again.
pub fn killed(node: &Node, per_second: u32) -> Finding {
    let mut finding = Finding::new("SIGKILL to the process of a replica while pods are created");
    let Some((pod, process)) = victim(node) else {
        finding.promise(false, "there is a replica");
        return finding;
    };
    let load = Load::start(node.api(), per_second);
    std::thread::sleep(BEFORE);
    process.signal("KILL");
    let begin = Instant::now();
    // Until the kubelet has noticed and kube-proxy was told, new connections still go there and are refused at once.
    seen::wait_for(node.api(), &path(&pod), "a pod that is not ready", LIMIT, |pod| {
        (!seen::is_ready(pod) || seen::status(pod, OWN)["restartCount"] == 1).then_some(())
    });
    let noticed = begin.elapsed();
    seen::wait_for(node.api(), &path(&pod), "a container that was started again", LIMIT, |pod| {
        (seen::status(pod, OWN)["restartCount"] == 1 && seen::is_ready(pod)).then_some(())
    });
    let ready = begin.elapsed();
    std::thread::sleep(BEFORE);
    let tally = load.stop();
    finding.measured(&tally);
    finding.measured(format_args!(
        "the kubelet has noticed after {:.1} s, and it is ready again after {:.1} s",
        noticed.as_secs_f64(),
        ready.as_secs_f64()
    ));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of pods")]
    let share = (f64::from(per_second) * ready.as_secs_f64()).ceil() as usize;
    finding.promise(
        tally.failed <= share,
        format_args!("{} failures are at most the {share} creations of that time", tally.failed),
    );
    finding
}

/// SIGSTOP to the process: nobody answers, nobody says that it is gone.
pub fn stopped(node: &Node) -> Finding {
    let mut finding = Finding::new("SIGSTOP to the process of a replica");
    let Some((pod, process)) = victim(node) else {
        finding.promise(false, "there is a replica");
        return finding;
    };
    let begin = Instant::now();
    process.signal("STOP");
    seen::wait_for(node.api(), &path(&pod), "a pod that is not ready", LIMIT, |pod| {
        (!seen::is_ready(pod)).then_some(())
    });
    finding.measured(format_args!(
        "its probe fails, and it is not ready after {:.1} s",
        begin.elapsed().as_secs_f64()
    ));
    process.signal("CONT");
    let begin = Instant::now();
    seen::wait_for(node.api(), &path(&pod), "a pod that is ready again", LIMIT, |pod| {
        seen::is_ready(pod).then_some(())
    });
    finding
        .measured(format_args!("once it goes on, it is ready after {:.1} s", begin.elapsed().as_secs_f64()));
    finding
}

fn replicas(node: &Node) -> Vec<Value> {
    seen::pods(node.api(), OWN, PODS)
}

fn victim(node: &Node) -> Option<(Value, Running)> {
    let pod = replicas(node).into_iter().find(seen::is_ready)?;
    let process = Running::of(&pod, PROGRAM)?;
    Some((pod, process))
}

fn path(pod: &Value) -> String {
    format!("/api/v1/namespaces/{OWN}/pods/{}", seen::name(pod))
}
