//! Which container runs Spark: by first argument, else by Spark's own names, else the only one. Never the first.

use serde_json::{Value, json};
use spark_injector::admit::{Action, judge};

use crate::support::{TEAM, catalog, denied, executor, fixture, inject, names, pods::fixtures, with};

const SPEC: &str =
    "common: {template: {spec: {containers: [{name: spark, env: [{name: FOUND, value: here}]}]}}}";

/// A pod of these containers, each a name and a first argument.
fn pod(role: &str, containers: &[(&str, &str)]) -> Value {
    let containers: Vec<Value> = containers
        .iter()
        .map(|(name, argument)| match *argument {
            "" => json!({ "name": name, "image": "x:1" }),
            argument => json!({ "name": name, "image": "x:1", "args": [argument] }),
        })
        .collect();
    with(with(executor(), "/spec/containers", containers), "/metadata/labels/spark-role", role)
}

/// Names of the containers that got something.
fn found(pod: &Value) -> Vec<&str> {
    let containers = pod["spec"]["containers"].as_array().unwrap();
    let touched = containers.iter().filter(|container| container.get("env").is_some());
    touched.map(|container| container["name"].as_str().unwrap()).collect()
}

#[test]
fn the_first_argument_tells_it_whatever_the_name_and_place() {
    for (role, argument) in
        [("driver", "driver"), ("driver", "driver-py"), ("driver", "driver-r"), ("executor", "executor")]
    {
        let pod = pod(
            role,
            &[("logs", ""), ("spark-kubernetes-driver", "other"), ("my-spark", argument), ("proxy", "run")],
        );
        assert_eq!(found(&inject(&catalog(SPEC), &pod)), ["my-spark"], "{argument}");
    }
}

#[test]
fn without_such_an_argument_sparks_own_name_tells_it() {
    for (role, name) in [
        ("driver", "spark-kubernetes-driver"),
        ("executor", "spark-kubernetes-executor"),
        ("executor", "executor"),
    ] {
        let pod = pod(role, &[("logs", ""), (name, "/opt/entrypoint.sh")]);
        assert_eq!(found(&inject(&catalog(SPEC), &pod)), [name]);
    }
}

#[test]
fn of_two_with_the_argument_the_name_decides() {
    let pod = pod("executor", &[("helper", "executor"), ("spark-kubernetes-executor", "executor")]);
    assert_eq!(found(&inject(&catalog(SPEC), &pod)), ["spark-kubernetes-executor"]);
}

#[test]
fn an_only_container_is_it_whatever_it_is_called() {
    assert_eq!(found(&inject(&catalog(SPEC), &pod("driver", &[("odd", "start")]))), ["odd"]);
}

#[test]
fn an_only_container_is_still_found_beside_a_sidecar_of_the_profile() {
    let spec = "{common: {template: {spec: {containers: [{name: spark, env: [{name: FOUND, value: here}]}, {name: logs, image: 'l:1'}]}}}}";
    let pod = inject(&catalog(spec), &pod("driver", &[("odd", "start")]));
    assert_eq!(names(&pod, "/spec/containers"), ["odd", "logs"]);
}

#[test]
fn a_pod_in_which_it_cannot_be_told_is_refused_with_its_containers() {
    for containers in [
        &[("a", "x"), ("b", "y")][..],
        &[("a", "driver"), ("b", "driver")],
        &[("spark-kubernetes-executor", ""), ("executor", "")],
    ] {
        let role = if containers[0].0 == "a" { "driver" } else { "executor" };
        let (code, message) = denied(&catalog(SPEC), &pod(role, containers));
        assert_eq!(code, 422, "{message}");
        for part in [containers[0].0, containers[1].0, role, "first argument"] {
            assert!(message.contains(part), "{part} in {message}");
        }
    }
}

#[test]
fn a_pod_without_containers_is_refused() {
    for containers in [json!(null), json!([])] {
        let (code, message) = denied(&catalog(SPEC), &with(executor(), "/spec/containers", containers));
        assert!(code == 422 && message.contains("none"), "{message}");
    }
    let mut pod = executor();
    pod["spec"] = json!(null);
    assert_eq!(denied(&catalog(SPEC), &pod).0, 422);
}

#[test]
fn every_pod_that_spark_was_seen_to_send_is_understood() {
    let catalog = catalog(SPEC);
    for (name, pod) in fixtures() {
        let verdict = judge(&catalog, TEAM, &pod);
        assert!(
            verdict.notes.iter().any(|note| note.action == Action::Added),
            "{name}: {:?}",
            verdict.record
        );
        let patched = inject(&catalog, &pod);
        assert!(
            crate::support::spark_of(&patched)["env"]
                .as_array()
                .unwrap()
                .iter()
                .any(|env| env["name"] == "FOUND"),
            "{name}"
        );
        super::reinvoked(&catalog, &pod);
    }
}

#[test]
fn a_sidecar_of_a_pod_template_stands_first_in_a_real_pod() {
    let pod = fixture("spark-4.3.0-executor-template");
    assert!(pod["spec"]["containers"].as_array().unwrap().len() > 1);
    let patched = inject(&catalog(SPEC), &pod);
    let sidecars = pod["spec"]["containers"].as_array().unwrap().len() - 1;
    assert_eq!(
        patched["spec"]["containers"].as_array().unwrap()[..sidecars],
        pod["spec"]["containers"].as_array().unwrap()[..sidecars]
    );
}
