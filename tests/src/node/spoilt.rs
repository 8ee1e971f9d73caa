//! Scenes: files that are missing or not what was meant, and files that are written once more.

use std::time::Duration;

use serde_json::{Value, json};

use super::jobs::{self, BY_SECRET, EXCHANGED, WITHOUT};
use super::running::Node;
use super::seen::{self, Running};
use crate::chaos::Finding;
use crate::client;
use crate::kubelet::INIT_CONTAINER;
use crate::spark::IMAGE;

const LIMIT: Duration = Duration::from_secs(60);
pub(super) const CONTAINER: &str = "spark-kubernetes-executor";

/// Somebody has deleted our Secret, and a pod is created before the next pass brings it back; [`brought_back`] follows.
pub fn deleted(node: &Node) -> Finding {
    let mut finding = Finding::new("A Secret of ours that is deleted");
    if let Some(secret) = jobs::delivered(node, WITHOUT) {
        node.api().delete(&client::secret(WITHOUT, seen::name(&secret), &[]));
    }
    node.api().create(&executor(WITHOUT, "Never")).expect(201);
    let waiting = seen::wait_for(node.api(), &path(WITHOUT), "a pod that waits", LIMIT, |pod| {
        let state = &seen::status(pod, INIT_CONTAINER)["state"];
        (state["waiting"]["reason"] == "CreateContainerConfigError" || state["terminated"].is_object())
            .then(|| state["waiting"].clone())
    });
    finding.promise(waiting.is_object(), format_args!("a pod waits for it: {}", waiting["message"]));
    finding
}

/// The pod of [`deleted`] has what it waited for.
pub fn brought_back(node: &Node) -> Finding {
    let mut finding = Finding::new("A Secret that is brought back");
    let pod = seen::wait_for(node.api(), &path(WITHOUT), "the start of the pod", 3 * LIMIT, |pod| {
        (seen::status(pod, CONTAINER)["started"] == true).then(|| pod.clone())
    });
    finding.promise(
        seen::status(&pod, INIT_CONTAINER)["restartCount"] == 0,
        "the pod that has waited starts by itself, and init-sync had nothing to repeat",
    );
    node.api().delete(&pod_of(WITHOUT));
    finding
}

/// Somebody has put another Secret where ours should be: no job may start with files that are not what was meant.
pub fn exchanged(node: &Node) -> Finding {
    let mut finding = Finding::new("A Secret of our name with other files");
    let Some(secret) = jobs::delivered(node, EXCHANGED) else {
        finding.promise(false, format_args!("there is a Secret in {EXCHANGED}"));
        return finding;
    };
    let planted = jobs::other(&secret);
    node.api().delete(&planted);
    node.api().create(&planted).expect(201);
    node.api().create(&executor(EXCHANGED, "Never")).expect(201);
    let pod = seen::wait_for(node.api(), &path(EXCHANGED), "the end of the pod", LIMIT, |pod| {
        (pod["status"]["phase"] == "Failed").then(|| pod.clone())
    });
    let ended = &seen::status(&pod, INIT_CONTAINER)["state"]["terminated"];
    let message = ended["message"].as_str().unwrap_or_default();
    finding.promise(ended["exitCode"] != 0, format_args!("init-sync ends with {}", ended["exitCode"]));
    finding.promise(
        message.contains("krb5.conf") && message.contains("manifest"),
        format_args!("the pod says why: {:?}", message.trim()),
    );
    finding.promise(seen::log(node.api(), &pod, INIT_CONTAINER) == message, "its log says the same");
    finding.promise(seen::status(&pod, CONTAINER)["started"] == false, "the executor never starts");
    finding
}

/// The pod's sandbox dies, as at a reboot of the node: init containers run again, on a volume with files.
pub fn again(node: &Node) -> Finding {
    let mut finding = Finding::new("A sandbox that dies");
    node.api().create(&executor(BY_SECRET, "Always")).expect(201);
    let started = |pod: &Value, times: u64| {
        let (init, main) = (seen::status(pod, INIT_CONTAINER), seen::status(pod, CONTAINER));
        (init["restartCount"] == times && main["restartCount"] == times && main["started"] == true)
            .then(|| pod.clone())
    };
    let path = path(BY_SECRET);
    let pod = seen::wait_for(node.api(), &path, "the start of the pod", LIMIT, |pod| started(pod, 0));
    let Some(sandbox) = Running::of(&pod, "/pause") else {
        finding.promise(false, "the pod has a sandbox");
        return finding;
    };
    sandbox.signal("KILL");
    let pod = seen::wait_for(node.api(), &path, "another start of the pod", LIMIT, |pod| started(pod, 1));
    let ended = &seen::status(&pod, INIT_CONTAINER)["state"]["terminated"];
    finding.promise(
        ended["exitCode"] == 0,
        format_args!("init-sync has run again and ended with {}; the executor runs again", ended["exitCode"]),
    );
    node.api().delete(&pod_of(BY_SECRET));
    finding
}

/// An executor that does nothing, with Spark's image.
pub(super) fn executor(namespace: &str, restart: &str) -> Value {
    let mut pod = pod_of(namespace);
    pod["metadata"]["labels"] = json!({"spark-role": "executor"});
    pod["spec"] = json!({"restartPolicy": restart, "containers": [
        {"name": CONTAINER, "image": IMAGE, "command": ["/usr/bin/tini", "--", "sleep", "600"]}]});
    pod
}

fn pod_of(namespace: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "idle", "namespace": namespace}})
}

pub(super) fn path(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/idle")
}
