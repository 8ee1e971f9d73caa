//! Affinity: set if absent; under `enforce` the pod's own and ours hold together.

use serde_json::{Value, json};

use super::{added, common, kept};
use crate::support::{catalog, driver, inject, inject_with_warnings, with};

const REQUIRED: &str =
    "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
const OURS: &str = "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
    {matchExpressions: [{key: disk, operator: In, values: [nvme]}]}, {matchFields: [{key: metadata.name, operator: In, values: [n1]}]}]}}}";

fn disk() -> Value {
    json!({ "key": "disk", "operator": "In", "values": ["nvme"] })
}

fn node() -> Value {
    json!({ "key": "metadata.name", "operator": "In", "values": ["n1"] })
}

fn zone(name: &str) -> Value {
    json!({ "key": "zone", "operator": "In", "values": [name] })
}

fn with_terms(terms: Value) -> Value {
    with(driver(), REQUIRED, terms)
}

#[test]
fn an_absent_or_empty_affinity_is_set() {
    for own in [json!(null), json!({})] {
        let pod = with(driver(), "/spec/affinity", own);
        let terms = json!([{ "matchExpressions": [disk()] }, { "matchFields": [node()] }]);
        added(&catalog(&common(OURS, "")), &pod, REQUIRED, &terms);
    }
}

#[test]
fn an_equal_affinity_is_left_and_another_one_kept() {
    let catalog = catalog(&common(OURS, ""));
    let equal = inject(&catalog, &driver());
    inject(&catalog, &with(driver(), "/spec/affinity", equal["spec"]["affinity"].clone()));
    let pod = with_terms(json!([{ "matchExpressions": [zone("a")] }]));
    kept(&catalog, &pod, "/spec/affinity", "affinity");
}

#[test]
fn under_enforce_every_pair_of_terms_is_joined_and_the_rest_stays() {
    let mut pod =
        with_terms(json!([{ "matchExpressions": [zone("a")] }, { "matchExpressions": [zone("b")] }]));
    let preferred = json!([{ "weight": 1, "preference": { "matchExpressions": [zone("c")] } }]);
    pod["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] =
        preferred.clone();
    pod["spec"]["affinity"]["podAntiAffinity"] =
        json!({ "requiredDuringSchedulingIgnoredDuringExecution": [] });
    let patched = inject(&catalog(&common(OURS, "affinity")), &pod);
    let expected = json!([
        { "matchExpressions": [zone("a"), disk()] },
        { "matchExpressions": [zone("a")], "matchFields": [node()] },
        { "matchExpressions": [zone("b"), disk()] },
        { "matchExpressions": [zone("b")], "matchFields": [node()] },
    ]);
    assert_eq!(patched.pointer(REQUIRED), Some(&expected));
    let affinity = &patched["spec"]["affinity"];
    assert_eq!(affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"], preferred);
    assert_eq!(affinity["podAntiAffinity"], pod["spec"]["affinity"]["podAntiAffinity"]);
}

#[test]
fn under_enforce_an_affinity_without_required_terms_gets_ours() {
    let terms = json!([{ "matchExpressions": [disk()] }, { "matchFields": [node()] }]);
    for own in [
        json!({ "podAffinity": {} }),
        json!({ "nodeAffinity": {} }),
        json!({ "nodeAffinity": null, "podAffinity": {} }),
        json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [] } } }),
    ] {
        let pod = with(driver(), "/spec/affinity", own);
        added(&catalog(&common(OURS, "affinity")), &pod, REQUIRED, &terms);
    }
}

#[test]
fn a_pod_that_demands_more_than_we_do_is_left_alone() {
    let terms = json!([{ "matchExpressions": [zone("a"), disk(), zone("b")] }]);
    added(&catalog(&common(OURS, "affinity")), &with_terms(terms.clone()), REQUIRED, &terms);
}

#[test]
fn a_term_that_matches_no_node_still_matches_none() {
    let terms = json!([{}, { "matchExpressions": [zone("a")] }]);
    let (pod, _) = inject_with_warnings(&catalog(&common(OURS, "affinity")), &with_terms(terms));
    let joined = pod.pointer(REQUIRED).unwrap().as_array().unwrap();
    assert!(joined.iter().filter(|term| **term == json!({})).count() >= 1);
    assert!(joined.iter().all(|term| *term == json!({}) || term["matchExpressions"][0] == zone("a")));
}

#[test]
fn under_enforce_no_part_of_ours_is_lost() {
    let apart = json!({ "topologyKey": "host", "labelSelector": { "matchLabels": { "a": "b" } } });
    let preferred = json!({ "weight": 1, "preference": { "matchExpressions": [disk()] } });
    let field = "requiredDuringSchedulingIgnoredDuringExecution";
    let ours = json!({
        "podAntiAffinity": { field: [apart] },
        "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [preferred] },
    });
    let catalog = catalog(&common(&format!("affinity: {ours}"), "affinity"));
    let other = json!({ "topologyKey": "zone" });
    let own = |value: Value| with(driver(), "/spec/affinity", value);
    for (pod, terms) in [
        (own(json!({ "nodeAffinity": {} })), json!([apart])),
        (own(json!({ "podAntiAffinity": { field: [] } })), json!([apart])),
        (own(json!({ "podAntiAffinity": { field: [other] } })), json!([other, apart])),
        (own(json!({ "podAntiAffinity": { field: [apart, other] } })), json!([apart, other])),
    ] {
        let patched = inject(&catalog, &pod);
        let affinity = &patched["spec"]["affinity"];
        assert_eq!(affinity["podAntiAffinity"][field], terms);
        let preferences = &affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
        assert_eq!(*preferences, json!([preferred]));
    }
}

#[test]
fn an_affinity_of_nothing_is_not_set_at_every_call() {
    inject(&catalog(&common("affinity: {}", "")), &driver());
}
