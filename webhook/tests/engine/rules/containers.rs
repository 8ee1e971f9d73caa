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

/// A native sidecar is an init container: the pod's `logs` is one, the profile's is not, or the other way round.
#[test]
fn a_name_of_the_other_list_is_refused_and_says_whose_it_is() {
    let own = json!({ "name": "logs", "image": "logs:1", "restartPolicy": "Always" });
    let init = "initContainers: [{name: logs, image: 'logs:1', restartPolicy: Always}]";
    for (field, list, path) in [
        (SIDECAR, "initContainers", "team-a: spec.common.template.spec.containers[0]"),
        (init, "containers", "team-a: spec.common.template.spec.initContainers[0]"),
    ] {
        let mut pod = driver();
        if pod["spec"].get(list).is_none() {
            pod["spec"][list] = json!([]);
        }
        pod["spec"][list].as_array_mut().unwrap().push(own.clone());
        let (code, message) = denied(&catalog(&common(field, "")), &pod);
        assert_eq!(code, 403, "{message}");
        for part in ["named logs", path, "rename"] {
            assert!(message.contains(part), "{part} in {message}");
        }
    }
}

#[test]
fn one_name_in_both_lists_is_a_mistake_of_the_profile() {
    let spec = format!(
        "{{common: {{template: {{spec: {{{SIDECAR}}}}}}},
          driver: {{template: {{spec: {{initContainers: [{{name: logs, image: 'logs:1'}}]}}}}}}}}"
    );
    let problem = world().spec(&spec).problem();
    for part in
        ["spec.common.template.spec.containers[0]", "\"logs\"", "spec.driver.template.spec.initContainers[0]"]
    {
        assert!(problem.contains(part), "{part} in {problem}");
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
