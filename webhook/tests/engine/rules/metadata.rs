//! Labels and annotations: added where absent; Spark's labels untouched; the status annotation is ours.

use serde_json::json;

use super::{enforced, kept};
use crate::support::{catalog, driver, executor, inject, inject_with_warnings, with, world};

const SPEC: &str = "common: {template: {metadata: {labels: {team: a, example.com/cost: x}, annotations: {note: 'y', a.example/c: z}}}}";

#[test]
fn absent_labels_and_annotations_are_added() {
    let pod = inject(&catalog(SPEC), &driver());
    assert_eq!(pod["metadata"]["labels"]["team"], "a");
    assert_eq!(pod["metadata"]["labels"]["example.com/cost"], "x");
    assert_eq!(pod["metadata"]["labels"]["spark-app-selector"], "spark-42");
    assert_eq!(pod["metadata"]["annotations"]["note"], "y");
}

#[test]
fn maps_that_are_null_or_empty_are_filled() {
    let catalog = catalog("common: {template: {metadata: {annotations: {note: 'y'}}}}");
    for annotations in [json!(null), json!({})] {
        let pod = inject(&catalog, &with(driver(), "/metadata/annotations", annotations));
        assert_eq!(pod["metadata"]["annotations"]["note"], "y");
    }
}

#[test]
fn the_users_own_label_stays_with_a_warning() {
    let catalog = catalog("common: {template: {metadata: {labels: {team: a}}}}");
    kept(&catalog, &with(driver(), "/metadata/labels/team", "b"), "/metadata/labels/team", "label team");
    inject(&catalog, &with(driver(), "/metadata/labels/team", "a"));
}

#[test]
fn an_enforced_label_or_annotation_is_refused_when_it_differs() {
    for field in ["labels", "annotations"] {
        let catalog = catalog(&format!(
            "{{common: {{template: {{metadata: {{{field}: {{team: a}}}}}}}}, enforce: [{field}]}}"
        ));
        let pod = with(driver(), &format!("/metadata/{field}/team"), "b");
        enforced(&catalog, &pod, "team");
    }
}

#[test]
fn labels_of_spark_cannot_be_in_a_profile() {
    let problem = world().spec("common: {template: {metadata: {labels: {spark-role: driver}}}}").problem();
    assert!(problem.contains("spec.common.template.metadata.labels.spark-role"), "{problem}");
}

#[test]
fn labels_and_annotations_of_the_injector_cannot_be_in_a_profile() {
    for field in
        ["labels: {spark-injector.io/inject: disabled}", "annotations: {spark-injector.io/status: x}"]
    {
        let problem = world().spec(&format!("common: {{template: {{metadata: {{{field}}}}}}}")).problem();
        assert!(problem.contains("spark-injector.io/") && problem.contains("injector"), "{problem}");
    }
}

#[test]
fn the_status_annotation_says_profile_revision_role_and_variant() {
    let catalog = catalog("{variants: {p1: {template: {}}}, files: [{mountPath: /x, inline: {a: b}}]}");
    let status = |pod: &serde_json::Value| -> serde_json::Value {
        let text = pod["metadata"]["annotations"]["spark-injector.io/status"].as_str().unwrap().to_owned();
        assert!(!text.contains(' '), "compact");
        serde_json::from_str(&text).unwrap()
    };
    let plain = status(&inject(&catalog, &driver()));
    assert_eq!(plain["profile"], "team-a");
    assert_eq!(plain["role"], "driver");
    assert_eq!(plain["revision"].as_str().unwrap().len(), 16);
    assert!(plain.get("variant").is_none());
    let chosen = with(executor(), "/metadata/labels/spark-injector.io~1variant", "p1");
    let chosen = status(&inject(&catalog, &chosen));
    assert_eq!(chosen["role"], "executor");
    assert_eq!(chosen["variant"], "p1");
}

#[test]
fn a_status_that_the_pod_brings_is_replaced() {
    let lie =
        with(driver(), "/metadata/annotations", json!({ "spark-injector.io/status": "{}", "own": "1" }));
    let (pod, _) = inject_with_warnings(&catalog(""), &lie);
    assert!(pod["metadata"]["annotations"]["spark-injector.io/status"].as_str().unwrap().contains("team-a"));
    assert_eq!(pod["metadata"]["annotations"]["own"], "1");
}
