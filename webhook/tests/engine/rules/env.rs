//! Environment: added where absent by name, order kept; the role variable is authoritative.

use serde_json::{Value, json};

use super::{enforced, kept, spark_field};
use crate::support::{catalog, driver, executor, inject, names, spark_of, with};

const ENV: &str = "/spec/containers/0/env";
const ROLE: &str = "executorRole: {name: MY_EXECUTOR, value: \"true\"}";

fn value_of<'v>(pod: &'v Value, name: &str) -> Vec<&'v Value> {
    let env = spark_of(pod)["env"].as_array().unwrap();
    env.iter().filter(|variable| variable["name"] == name).collect()
}

#[test]
fn absent_variables_follow_the_pods_own_in_order() {
    let pod =
        inject(&catalog(&spark_field("env: [{name: B, value: '2'}, {name: A, value: '1'}]", "")), &driver());
    let expected = ["SPARK_USER", "SPARK_DRIVER_BIND_ADDRESS", "SPARK_LOCAL_DIRS", "B", "A"];
    assert_eq!(names(&pod, ENV), expected);
}

#[test]
fn a_container_without_environment_gets_one() {
    let catalog = catalog(&spark_field("env: [{name: A, value: '1'}]", ""));
    for env in [json!(null), json!([])] {
        let pod = inject(&catalog, &with(driver(), ENV, env));
        assert_eq!(pod.pointer(ENV), Some(&json!([{ "name": "A", "value": "1" }])));
    }
}

#[test]
fn a_variable_that_differs_is_kept_or_refused_under_enforce() {
    let field = "env: [{name: SPARK_USER, value: root}]";
    kept(&catalog(&spark_field(field, "")), &driver(), "/spec/containers/0/env/0/value", "env SPARK_USER");
    enforced(&catalog(&spark_field(field, "env")), &driver(), "SPARK_USER");
    inject(&catalog(&spark_field("env: [{name: SPARK_USER, value: etl}]", "env")), &driver());
}

#[test]
fn of_several_entries_the_one_that_counts_in_the_container_is_compared() {
    let entries = |values: [&str; 2]| {
        let mut pod = driver();
        let env = pod.pointer_mut(ENV).unwrap().as_array_mut().unwrap();
        env.extend(values.map(|value| json!({ "name": "TEAM", "value": value })));
        pod
    };
    let field = "env: [{name: TEAM, value: a}]";
    enforced(&catalog(&spark_field(field, "env")), &entries(["a", "b"]), "TEAM");
    kept(&catalog(&spark_field(field, "")), &entries(["a", "b"]), ENV, "env TEAM");
    inject(&catalog(&spark_field(field, "env")), &entries(["b", "a"]));
}

#[test]
fn references_are_compared_with_their_defaults() {
    let field = "env: [{name: SPARK_DRIVER_BIND_ADDRESS, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]";
    inject(&catalog(&spark_field(field, "env")), &driver());
    let other = "env: [{name: SPARK_DRIVER_BIND_ADDRESS, value: 0.0.0.0}]";
    enforced(&catalog(&spark_field(other, "env")), &driver(), "SPARK_DRIVER_BIND_ADDRESS");
}

#[test]
fn an_executor_gets_the_role_variable_and_a_driver_does_not() {
    let catalog = catalog(ROLE);
    assert_eq!(value_of(&inject(&catalog, &executor()), "MY_EXECUTOR")[0]["value"], "true");
    assert!(value_of(&inject(&catalog, &driver()), "MY_EXECUTOR").is_empty());
}

#[test]
fn every_entry_of_the_users_own_gives_way_to_the_role_variable() {
    let mut pod = executor();
    let env = pod.pointer_mut(ENV).unwrap().as_array_mut().unwrap();
    env.insert(0, json!({ "name": "MY_EXECUTOR", "value": "false" }));
    env.push(json!({ "name": "MY_EXECUTOR", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }));
    let pod = inject(&catalog(ROLE), &pod);
    let values = value_of(&pod, "MY_EXECUTOR");
    assert!(values.iter().all(|variable| **variable == json!({ "name": "MY_EXECUTOR", "value": "true" })));
    assert_eq!(names(&pod, ENV).first(), Some(&"MY_EXECUTOR"), "its place stays");
}

#[test]
fn a_driver_that_claims_to_be_an_executor_loses_the_variable_alone() {
    let mut pod = driver();
    let env = pod.pointer_mut(ENV).unwrap().as_array_mut().unwrap();
    env.insert(0, json!({ "name": "MY_EXECUTOR", "value": "true" }));
    env.insert(2, json!({ "name": "MY_EXECUTOR", "value": "true" }));
    let pod = inject(&catalog(ROLE), &pod);
    assert_eq!(names(&pod, ENV), names(&driver(), ENV));
}

#[test]
fn taking_the_variable_away_does_not_shift_the_local_directories() {
    let mut pod = driver();
    let env = pod.pointer_mut(ENV).unwrap().as_array_mut().unwrap();
    env.insert(0, json!({ "name": "MY_EXECUTOR", "value": "true" }));
    let spec = format!("{{{ROLE}, localDirs: [{{hostPath: {{path: /n0}}}}, {{hostPath: {{path: /n1}}}}]}}");
    let pod = inject(&catalog(&spec), &pod);
    assert_eq!(names(&pod, ENV), names(&driver(), ENV));
    assert_eq!(
        value_of(&pod, "SPARK_LOCAL_DIRS")[0]["value"],
        "/var/data/spark-1111,/var/data/spark-injector-1"
    );
    assert_eq!(value_of(&pod, "SPARK_DRIVER_BIND_ADDRESS")[0].get("value"), None);
}

#[test]
fn a_dollar_in_the_role_variable_reaches_the_process() {
    let pod = inject(&catalog("executorRole: {name: R, value: \"$(HOME)\"}"), &executor());
    assert_eq!(value_of(&pod, "R")[0]["value"], "$$(HOME)");
}
