//! Scene: somebody has put another Secret where ours should be. No job may start with files that are not what was meant.

use std::time::Duration;

use serde_json::json;

use super::jobs::{self, NOT_YET};
use super::running::Node;
use super::seen;
use crate::chaos::Finding;
use crate::kubelet::INIT_CONTAINER;
use crate::spark::IMAGE;

const LIMIT: Duration = Duration::from_secs(60);

/// Exchanges the Secret, then starts a driver.
pub fn exchanged(node: &Node) -> Finding {
    let mut finding = Finding::new("A Secret of our name with other files");
    let Some(secret) = jobs::delivered(node, NOT_YET) else {
        finding.promise(false, format_args!("there is a Secret in {NOT_YET}"));
        return finding;
    };
    let planted = jobs::other(&secret);
    node.api().delete(&planted);
    node.api().create(&planted).expect(201);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "driver", "namespace": NOT_YET, "labels": {"spark-role": "driver"}},
        "spec": {"restartPolicy": "Never", "containers": [
            {"name": "spark-kubernetes-driver", "image": IMAGE, "args": ["driver"]}]},
    });
    node.api().create(&pod).expect(201);
    let path = format!("/api/v1/namespaces/{NOT_YET}/pods/driver");
    let pod = seen::wait_for(node.api(), &path, "the end of the pod", LIMIT, |pod| {
        (pod["status"]["phase"] == "Failed").then(|| pod.clone())
    });
    let ended = &seen::status(&pod, INIT_CONTAINER)["state"]["terminated"];
    let message = ended["message"].as_str().unwrap_or_default();
    finding.promise(ended["exitCode"] != 0, format_args!("init-sync ends with {}", ended["exitCode"]));
    finding.promise(
        message.contains("krb5.conf") && message.contains("manifest"),
        format_args!("the pod says why: {:?}", message.trim()),
    );
    let main = &seen::status(&pod, "spark-kubernetes-driver");
    finding.promise(main["started"] == false, "the driver never starts");
    finding.promise(seen::log(node.api(), &pod, INIT_CONTAINER) == message, "its log says the same");
    finding
}
