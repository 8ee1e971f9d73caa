//! Fields with one value: set where unset; what the API server fills in before us counts as unset.

use serde_json::{Value, json};

use super::{added, common, enforced, kept, spark_field};
use crate::support::{catalog, denied, driver, inject, inject_with_warnings, with, world};

/// Field, value of the profile, what the API server fills in, another choice of a user.
fn rows() -> Vec<(&'static str, Value, Option<Value>, Value)> {
    vec![
        ("dnsPolicy", json!("Default"), Some(json!("ClusterFirst")), json!("None")),
        ("schedulerName", json!("yunikorn"), Some(json!("default-scheduler")), json!("volcano")),
        ("runtimeClassName", json!("gvisor"), None, json!("kata")),
        ("serviceAccountName", json!("spark"), Some(json!("default")), json!("own")),
        ("shareProcessNamespace", json!(true), None, json!(false)),
        ("terminationGracePeriodSeconds", json!(60), Some(json!(30)), json!(5)),
        ("priorityClassName", json!("p1"), None, json!("p9")),
        ("hostNetwork", json!(true), Some(json!(false)), json!(null)),
    ]
}

#[test]
fn an_unset_field_is_set_and_an_equal_one_is_not_touched() {
    for (field, value, default, _) in rows() {
        let catalog = catalog(&common(&format!("{field}: {value}"), field));
        let pointer = format!("/spec/{field}");
        added(&catalog, &driver(), &pointer, &value);
        added(&catalog, &with(driver(), &pointer, json!(null)), &pointer, &value);
        added(&catalog, &with(driver(), &pointer, value.clone()), &pointer, &value);
        if let Some(default) = default {
            added(&catalog, &with(driver(), &pointer, default), &pointer, &value);
        }
    }
}

#[test]
fn another_choice_is_kept_or_refused_under_enforce() {
    for (field, value, _, other) in rows() {
        if other.is_null() {
            continue;
        }
        let pointer = format!("/spec/{field}");
        let pod = with(driver(), &pointer, other);
        kept(&catalog(&common(&format!("{field}: {value}"), "")), &pod, &pointer, field);
        enforced(&catalog(&common(&format!("{field}: {value}"), field)), &pod, field);
    }
}

#[test]
fn the_old_alias_of_the_service_account_says_the_same() {
    let mut pod = with(driver(), "/spec/serviceAccountName", "default");
    pod["spec"]["serviceAccount"] = json!("default");
    let pod = inject(&catalog(&common("serviceAccountName: spark", "")), &pod);
    assert_eq!(pod["spec"]["serviceAccount"], "spark");
}

#[test]
fn a_computed_priority_goes_when_a_class_is_set() {
    let mut pod = with(driver(), "/spec/priority", 0);
    pod["spec"]["preemptionPolicy"] = json!("PreemptLowerPriority");
    let catalog = catalog(&common("priorityClassName: p1", ""));
    let patched = inject(&catalog, &pod);
    assert_eq!(patched["spec"]["priorityClassName"], "p1");
    assert_eq!((patched["spec"].get("priority"), patched["spec"].get("preemptionPolicy")), (None, None));
    // It belongs to the class of the user, which stays.
    pod["spec"]["priorityClassName"] = json!("p9");
    kept(&catalog, &pod, "/spec/priority", "priorityClassName");
}

#[test]
fn nothing_is_removed_where_nothing_is_computed() {
    let pod = inject(
        &catalog(&common("priorityClassName: p1", "")),
        &with(driver(), "/spec/priority", json!(null)),
    );
    assert_eq!(pod["spec"]["priority"], json!(null));
}

#[test]
fn the_default_priority_class_of_the_cluster_was_not_chosen_by_anybody() {
    let spec = common("priorityClassName: p1", "priorityClassName");
    let pod = with(driver(), "/spec/priorityClassName", "standard");
    let world = world().spec(&spec);
    enforced(&world.catalog(), &pod, "priorityClassName");
    let catalog =
        world.settings(|settings| settings.default_priority_class = Some("standard".to_owned())).catalog();
    added(&catalog, &pod, "/spec/priorityClassName", &json!("p1"));
}

#[test]
fn a_chosen_variants_class_is_the_one_enforced() {
    let catalog = catalog(
        "{enforce: [priorityClassName], common: {template: {spec: {priorityClassName: p0}}},
          variants: {fast: {template: {spec: {priorityClassName: p1}}}}}",
    );
    let fast = with(driver(), "/metadata/labels/spark-injector.io~1variant", "fast");
    added(&catalog, &driver(), "/spec/priorityClassName", &json!("p0"));
    added(&catalog, &fast, "/spec/priorityClassName", &json!("p1"));
    added(
        &catalog,
        &with(fast.clone(), "/spec/priorityClassName", "p1"),
        "/spec/priorityClassName",
        &json!("p1"),
    );
    enforced(&catalog, &with(fast, "/spec/priorityClassName", "p0"), "priorityClassName");
}

#[test]
fn resources_and_lifecycle_are_set_field_by_field() {
    let field = "resources: {limits: {cpu: 4, example.com/gpu: 1}, requests: {ephemeral-storage: 1Gi}}, lifecycle: {preStop: {sleep: {seconds: 5}}}";
    let pod = inject(&catalog(&spark_field(field, "")), &driver());
    let expected = json!({
        "limits": { "memory": "1408Mi", "cpu": "4", "example.com/gpu": "1" },
        "requests": { "cpu": "1", "memory": "1408Mi", "ephemeral-storage": "1Gi" },
    });
    assert_eq!(pod["spec"]["containers"][0]["resources"], expected);
    assert_eq!(
        pod["spec"]["containers"][0]["lifecycle"],
        json!({ "preStop": { "sleep": { "seconds": 5 } } })
    );
    let field = "resources: {requests: {cpu: 2}}";
    kept(&catalog(&spark_field(field, "")), &driver(), "/spec/containers/0/resources", "requests cpu");
    enforced(&catalog(&spark_field(field, "resources")), &driver(), "requests cpu");
}

/// Spark always sets a request; the API server refuses a limit below it.
#[test]
fn a_limit_below_what_the_pod_requests_is_left_out_or_refused_under_enforce() {
    let field = "resources: {limits: {cpu: 500m, example.com/gpu: 1}}";
    let (pod, warnings) = inject_with_warnings(&catalog(&spark_field(field, "")), &driver());
    let limits = json!({ "memory": "1408Mi", "example.com/gpu": "1" });
    assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"], limits);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("kept the pod's own requests cpu"), "{warnings:?}");
    let (code, message) = denied(&catalog(&spark_field(field, "resources")), &driver());
    assert_eq!(code, 403, "{message}");
    assert_eq!(
        message,
        "the pod requests 1 of cpu, more than the limit of 500m that profile team-a enforces \
         (team-a: spec.common.template.spec.containers[0].resources.limits.cpu); request less"
    );
    // As much is as far as it goes.
    inject(&catalog(&spark_field("resources: {limits: {cpu: 1000m}}", "resources")), &driver());
}

/// As LimitRanger of 1.36 left a pod whose container says nothing of its own.
fn with_defaults_of_a_limit_range(pod: Value) -> Value {
    let amounts = json!({
        "limits": { "cpu": "2", "memory": "1408Mi", "ephemeral-storage": "2Gi" },
        "requests": { "cpu": "1", "memory": "1408Mi", "ephemeral-storage": "1Gi" },
    });
    let said = "LimitRanger plugin set: ephemeral-storage request for container spark-kubernetes-driver; cpu, ephemeral-storage \
                limit for container spark-kubernetes-driver; memory limit for init container spark-kubernetes-driver";
    let pod = with(pod, "/spec/containers/0/resources", amounts);
    with(pod, "/metadata/annotations", json!({ "kubernetes.io/limit-ranger": said }))
}

#[test]
fn what_a_limit_range_filled_in_is_not_a_choice_of_the_user() {
    let pod = with_defaults_of_a_limit_range(driver());
    for enforce in ["", "resources"] {
        let field =
            "resources: {limits: {cpu: 4, ephemeral-storage: 20Gi}, requests: {ephemeral-storage: 10Gi}}";
        let patched = inject(&catalog(&spark_field(field, enforce)), &pod);
        let expected = json!({
            "limits": { "cpu": "4", "memory": "1408Mi", "ephemeral-storage": "20Gi" },
            "requests": { "cpu": "1", "memory": "1408Mi", "ephemeral-storage": "10Gi" },
        });
        assert_eq!(patched["spec"]["containers"][0]["resources"], expected);
    }
    // Not said of this container, or nothing said at all.
    enforced(
        &catalog(&spark_field("resources: {limits: {memory: 4Gi}}", "resources")),
        &pod,
        "limits memory",
    );
    let silent = with(pod, "/metadata/annotations", json!(null));
    enforced(&catalog(&spark_field("resources: {limits: {cpu: 4}}", "resources")), &silent, "limits cpu");
}

#[test]
fn a_request_above_the_limit_of_a_limit_range_is_left_out_or_refused_under_enforce() {
    let pod = with_defaults_of_a_limit_range(driver());
    let field = "resources: {requests: {ephemeral-storage: 10Gi}}";
    kept(&catalog(&spark_field(field, "")), &pod, "/spec/containers/0/resources", "limits ephemeral-storage");
    let (code, message) = denied(&catalog(&spark_field(field, "resources")), &pod);
    assert_eq!(code, 403, "{message}");
    for part in ["2Gi of ephemeral-storage", "10Gi", "team-a", "LimitRange"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    // And a limit below the request that it filled in.
    let field = "resources: {limits: {ephemeral-storage: 512Mi}}";
    kept(
        &catalog(&spark_field(field, "")),
        &pod,
        "/spec/containers/0/resources",
        "requests ephemeral-storage",
    );
}

#[test]
fn a_container_without_resources_gets_them() {
    for own in [json!(null), json!({}), json!({ "limits": null })] {
        let pod = with(driver(), "/spec/containers/0/resources", own);
        let pod = inject(&catalog(&spark_field("resources: {limits: {cpu: 4}}", "")), &pod);
        assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"], json!({ "cpu": "4" }));
    }
}

#[test]
fn the_same_amount_in_other_words_is_the_same_amount() {
    for (ours, own) in [("'1000m'", "1"), ("'1.0'", "1"), ("'1'", "1000m"), ("1", "1"), ("'0.001k'", "1")] {
        let spec = spark_field(&format!("resources: {{requests: {{cpu: {ours}}}}}"), "resources");
        inject(&catalog(&spec), &with(driver(), "/spec/containers/0/resources/requests/cpu", own));
    }
}
