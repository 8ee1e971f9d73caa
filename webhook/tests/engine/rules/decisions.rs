//! Inject, skip or deny: who is left alone, who may leave, and which variant a job may choose.

use serde_json::{Value, json};
use spark_injector::admit::{Outcome, isolate, judge, review};

use crate::support::{
    TEAM, World, admit, catalog, denied, driver, executor, fixture, inject, untouched, with, world,
};

fn everywhere() -> World {
    let on = [("spark-injector.io/inject", "enabled")];
    world()
        .namespace("kube-system", &on, &[])
        .namespace("kube-public", &on, &[])
        .namespace("kube-node-lease", &on, &[])
        .namespace("spark-injector", &on, &[])
        .namespace("plain", &[], &[])
        .namespace("off", &[("spark-injector.io/inject", "disabled")], &[])
        .profile("all", "namespaces: {selector: {}}")
}

#[test]
fn namespaces_of_the_control_plane_and_our_own_are_never_touched() {
    let catalog = everywhere().catalog();
    for namespace in ["kube-system", "kube-public", "kube-node-lease", "spark-injector"] {
        assert_eq!(untouched(&catalog, namespace, &driver()), "excluded_namespace");
    }
    let catalog = everywhere().settings(|settings| settings.namespace = TEAM.to_owned()).catalog();
    assert_eq!(untouched(&catalog, TEAM, &driver()), "excluded_namespace");
}

#[test]
fn a_namespace_without_the_label_is_left_alone() {
    let catalog = everywhere().catalog();
    for namespace in ["plain", "off"] {
        assert_eq!(untouched(&catalog, namespace, &driver()), "namespace_not_opted_in");
    }
}

#[test]
fn only_drivers_and_executors_are_of_interest() {
    let catalog = everywhere().catalog();
    for role in [json!("other"), json!(""), json!(null)] {
        let pod = with(driver(), "/metadata/labels/spark-role", role);
        assert_eq!(untouched(&catalog, TEAM, &pod), "not_spark");
    }
    let bare = json!({ "metadata": {}, "spec": { "containers": [{ "name": "a", "image": "b" }] } });
    assert_eq!(untouched(&catalog, TEAM, &bare), "not_spark");
}

#[test]
fn pods_that_cannot_be_changed_are_left_alone() {
    let catalog = everywhere().catalog();
    let mirror = with(driver(), "/metadata/annotations/kubernetes.io~1config.mirror", "x");
    assert_eq!(untouched(&catalog, TEAM, &mirror), "mirror_pod");
    let windows = admit(&catalog, TEAM, &with(driver(), "/spec/os", json!({ "name": "windows" })));
    assert_eq!(windows.answer.record.reason, "windows");
    assert!(windows.warnings[0].contains("Windows"), "{:?}", windows.warnings);
    inject(&catalog, &with(driver(), "/spec/os", json!({ "name": "linux" })));
}

#[test]
fn a_pod_that_says_it_is_being_deleted_is_one_like_any_other() {
    // The API server drops this from a pod that is posted, and keeps it in one that is applied by the server.
    let pod = with(driver(), "/metadata/deletionTimestamp", "2030-01-01T00:00:00Z");
    let catalog = everywhere().catalog();
    assert_eq!(inject(&catalog, &pod)["spec"], inject(&catalog, &driver())["spec"]);
}

#[test]
fn a_spec_is_judged_only_where_it_is_needed() {
    let catalog = everywhere().catalog();
    let broken = with(driver(), "/spec/containers", "none of your business");
    let reviewed = |namespace, pod: &Value| {
        let body = crate::support::answer::body(namespace, pod);
        (review(&catalog, &body).record.reason, isolate(&catalog, &body).record.reason)
    };
    assert_eq!(reviewed("plain", &broken), ("namespace_not_opted_in", "namespace_not_isolated"));
    assert_eq!(reviewed(TEAM, &broken), ("malformed", "namespace_not_isolated"));
    let other = with(broken.clone(), "/metadata/labels/spark-role", "x");
    assert_eq!(reviewed(TEAM, &other), ("not_spark", "namespace_not_isolated"));
    // Whoever asks about a pod that is not created yet hears of it everywhere.
    assert_eq!(judge(&catalog, "plain", &broken).record.outcome, Outcome::Malformed);
}

#[test]
fn the_order_of_fields_makes_no_difference() {
    fn backwards(value: Value) -> Value {
        match value {
            Value::Object(map) => map.into_iter().rev().map(|(key, value)| (key, backwards(value))).collect(),
            other => other,
        }
    }
    let catalog = everywhere().catalog();
    let windows = with(driver(), "/spec/os/name", "windows");
    for (namespace, pod) in
        [(TEAM, driver()), (TEAM, windows), ("plain", executor()), ("brand-new", driver())]
    {
        let body = crate::support::answer::body(namespace, &pod);
        let turned = backwards(serde_json::from_slice(&body).unwrap());
        let turned = serde_json::to_vec(&turned).unwrap();
        assert_ne!(turned, body);
        let (one, other) = (review(&catalog, &body), review(&catalog, &turned));
        assert_eq!((one.status, one.body), (other.status, other.body), "{namespace}");
    }
}

#[test]
fn a_field_that_is_there_twice_is_refused() {
    let catalog = everywhere().catalog();
    let text = String::from_utf8(crate::support::answer::body(TEAM, &driver())).unwrap();
    for field in ["request", "namespace", "object", "metadata", "spec"] {
        let key = format!("\"{field}\":");
        let (start, rest) = text.split_once(&key).unwrap();
        let value = match field {
            "namespace" => "\"plain\"",
            _ => "{}",
        };
        let twice = format!("{start}{key}{value},{key}{rest}");
        let answer = review(&catalog, twice.as_bytes());
        assert_eq!(answer.record.outcome, Outcome::Malformed, "{field}");
    }
}

#[test]
fn a_namespace_that_is_not_known_yet_is_asked_for_again() {
    let catalog = everywhere().catalog();
    let answer = review(&catalog, &crate::support::answer::body("brand-new", &driver()));
    assert_eq!((answer.status, answer.retry, answer.record.outcome), (503, true, Outcome::Unavailable));
    // Not for pods that would be skipped anyway.
    let other = with(driver(), "/metadata/labels/spark-role", "x");
    assert_eq!(untouched(&catalog, "brand-new", &other), "not_spark");
}

#[test]
fn a_namespace_that_nobody_serves_is_refused_with_the_remedy() {
    let (code, message) = denied(&world().catalog(), &driver());
    assert_eq!(code, 403);
    for part in [TEAM, "no SparkProfile", "spec.namespaces", "remove the label"] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn an_opt_out_is_written_down_where_the_profile_allows_it() {
    let out = with(driver(), "/metadata/labels/spark-injector.io~1inject", "disabled");
    let admitted = admit(&catalog("allowOptOut: true"), TEAM, &out);
    assert!(admitted.allowed);
    let mut expected = out.clone();
    expected["metadata"]["annotations"] = json!({ "spark-injector.io/status": "{\"skipped\":\"opt_out\"}" });
    assert_eq!(admitted.pod, expected);
    assert_eq!(untouched(&catalog("allowOptOut: true"), TEAM, &admitted.pod), "opt_out");
    let (code, message) = denied(&catalog(""), &out);
    assert!(
        code == 403 && message.contains("allows no opt-out") && message.contains("remove the label"),
        "{message}"
    );
    inject(&catalog(""), &with(driver(), "/metadata/labels/spark-injector.io~1inject", "enabled"));
}

#[test]
fn an_unknown_variant_is_refused_with_the_valid_names() {
    let catalog = catalog("variants: {p1: {template: {}}, p2: {template: {}}}");
    let variant = |name: &str| with(executor(), "/metadata/labels/spark-injector.io~1variant", name);
    let (code, message) = denied(&catalog, &variant("p3"));
    assert_eq!(code, 403);
    for part in ["p3", "p1, p2", "spark-injector.io/variant", "remove the label"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert_eq!(denied(&catalog, &variant("")).0, 403);
    inject(&catalog, &variant("p2"));
    let (_, message) = denied(&crate::support::catalog(""), &variant("p1"));
    assert!(message.contains("has none"), "{message}");
}

#[test]
fn pods_that_a_controller_names_are_injected() {
    let mut pod = executor();
    pod["metadata"].as_object_mut().unwrap().remove("name");
    pod["metadata"]["generateName"] = json!("spark-d-42-0-");
    pod["metadata"]["labels"]["spark-exec-id"] = json!("EXECID");
    pod["spec"]["restartPolicy"] = json!("Always");
    let admitted = admit(&catalog(""), TEAM, &pod);
    assert_eq!(admitted.answer.record.name, "spark-d-42-0-");
    inject(&catalog(""), &pod);
    for name in ["spark-3.5.9-executor-statefulset", "spark-4.3.0-executor-deployment"] {
        let workload = fixture(name);
        assert_eq!(untouched(&catalog(""), TEAM, &workload), "not_spark", "a workload is no pod");
        inject(&catalog(""), &workload["spec"]["template"]);
    }
}
