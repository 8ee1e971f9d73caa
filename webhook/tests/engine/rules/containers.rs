//! Sidecars of a profile: appended by name; same name and other content is refused.

use serde_json::json;

use super::common;
use crate::support::{catalog, denied, driver, inject, names, with, world};

const SIDECAR: &str = "containers: [{name: logs, image: 'logs:1', resources: {limits: {cpu: 100m}}}]";

#[test]
fn a_sidecar_is_appended() {
    let pod = inject(&catalog(&common(SIDECAR, "")), &driver());
    assert_eq!(names(&pod, "/spec/containers"), ["spark-kubernetes-driver", "logs"]);
}

#[test]
fn an_equal_sidecar_is_not_added_twice() {
    let own = json!({ "name": "logs", "image": "logs:1", "imagePullPolicy": "IfNotPresent",
        "resources": { "limits": { "cpu": "100m" }, "requests": { "cpu": "100m" } } });
    let pod = inject(&catalog(&common(SIDECAR, "")), &with(driver(), "/spec/containers/-", own));
    assert_eq!(names(&pod, "/spec/containers"), ["spark-kubernetes-driver", "logs"]);
}

#[test]
fn a_sidecar_of_the_same_name_and_other_content_is_refused() {
    let own = json!({ "name": "logs", "image": "logs:2" });
    let (code, message) = denied(&catalog(&common(SIDECAR, "")), &with(driver(), "/spec/containers/-", own));
    assert_eq!(code, 403);
    for part in ["logs", "team-a: spec.common.template.spec.containers[0]", "rename"] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn a_container_with_the_name_of_our_init_container_is_refused() {
    let catalog = catalog("files: [{mountPath: /x, inline: {a: b}}]");
    let own = json!({ "name": "spark-injector-init", "image": "x:1" });
    let (code, message) = denied(&catalog, &with(driver(), "/spec/containers/-", own));
    assert!(code == 403 && message.contains("spark-injector-init"), "{message}");
}

#[test]
fn a_sidecar_that_would_pass_for_the_spark_container_is_a_mistake_of_the_profile() {
    for container in [
        "{name: executor, image: 'x:1'}",
        "{name: spark-kubernetes-executor, image: 'x:1'}",
        "{name: spark-kubernetes-driver, image: 'x:1'}",
        "{name: fine, image: 'x:1', args: [driver]}",
        "{name: fine, image: 'x:1', args: [executor, x]}",
    ] {
        let problem = world().spec(&common(&format!("containers: [{container}]"), "")).problem();
        assert!(
            problem.contains("spec.common.template.spec.containers[0]") && problem.contains("Spark"),
            "{problem}"
        );
    }
}
