//! Lists without a key: appended unless an equal entry is there.

use serde_json::json;

use super::{common, kept, spark_field};
use crate::support::{catalog, driver, inject, with, world, yaml};

/// The field of the profile, and where it lands in the pod.
const ROWS: [(&str, &str, &str); 6] = [
    (
        "tolerations",
        "{key: dedicated, operator: Equal, value: spark, effect: NoSchedule}",
        "/spec/tolerations",
    ),
    (
        "topologySpreadConstraints",
        "{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}",
        "/spec/topologySpreadConstraints",
    ),
    ("imagePullSecrets", "{name: registry}", "/spec/imagePullSecrets"),
    ("envFrom", "{configMapRef: {name: common}}", "/spec/containers/0/envFrom"),
    ("ports", "{containerPort: 9999, name: extra}", "/spec/containers/0/ports"),
    ("hostAliases", "{ip: 10.0.0.1, hostnames: [a]}", "/spec/hostAliases"),
];

fn spec(field: &str, entry: &str, pointer: &str) -> String {
    let field = format!("{field}: [{entry}]");
    if pointer.contains("containers") { spark_field(&field, "") } else { common(&field, "") }
}

#[test]
fn a_list_that_is_absent_null_or_empty_holds_the_entry_afterwards() {
    for (field, entry, pointer) in ROWS {
        let catalog = catalog(&spec(field, entry, pointer));
        for present in [None, Some(json!(null)), Some(json!([]))] {
            let mut pod = driver();
            pod["spec"]["containers"][0].as_object_mut().unwrap().remove("ports");
            if let Some(present) = present {
                pod = with(pod, pointer, present);
            }
            assert_eq!(inject(&catalog, &pod).pointer(pointer), Some(&json!([yaml(entry)])), "{field}");
        }
    }
}

#[test]
fn an_entry_follows_those_of_the_pod_and_an_equal_one_is_not_added_twice() {
    let others = [json!({ "key": "x", "operator": "Exists" }), json!({ "name": "own" })];
    for (field, entry, pointer) in &ROWS[..3] {
        let catalog = catalog(&spec(field, entry, pointer));
        let own = if *field == "imagePullSecrets" { &others[1] } else { &others[0] };
        let pod = inject(&catalog, &with(driver(), pointer, json!([own])));
        assert_eq!(pod.pointer(pointer), Some(&json!([own, yaml(entry)])), "{field}");
        let pod = inject(&catalog, &with(driver(), pointer, json!([yaml(entry), own])));
        assert_eq!(pod.pointer(pointer), Some(&json!([yaml(entry), own])), "{field}");
    }
}

#[test]
fn a_port_with_the_default_protocol_is_equal() {
    let catalog = catalog(&spark_field("ports: [{containerPort: 4040, name: spark-ui}]", ""));
    let pod = inject(&catalog, &driver());
    assert_eq!(pod.pointer("/spec/containers/0/ports").unwrap().as_array().unwrap().len(), 1);
}

/// The API server refuses two ports of one name in a container, and two constraints of one key and one action.
#[test]
fn what_may_stand_once_stays_as_the_pod_has_it() {
    let port = json!([{ "containerPort": 4041, "name": "spark-ui", "protocol": "TCP" }]);
    let spread = json!([{ "maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway" }]);
    for (own, (field, entry, pointer), word) in [
        (port, ("ports", "{containerPort: 4040, name: spark-ui}", ROWS[4].2), "port spark-ui"),
        (spread, ROWS[1], "topologySpreadConstraint zone ScheduleAnyway"),
    ] {
        let pod = with(driver(), pointer, own);
        kept(&catalog(&spec(field, entry, pointer)), &pod, pointer, word);
    }
}

#[test]
fn what_differs_in_what_may_stand_once_is_added() {
    let port = json!([{ "containerPort": 9999, "protocol": "TCP" }, { "containerPort": 9999, "name": "own", "protocol": "TCP" }]);
    let spread = json!([{ "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule" }]);
    for (own, (field, entry, pointer)) in [(port, ROWS[4]), (spread, ROWS[1])] {
        let pod = with(driver(), pointer, own.clone());
        let list = inject(&catalog(&spec(field, entry, pointer)), &pod).pointer(pointer).unwrap().clone();
        assert_eq!(list.as_array().unwrap().len(), own.as_array().unwrap().len() + 1, "{field}");
    }
    // Without a name nothing may stand only once.
    let catalog = catalog(&spec("ports", "{containerPort: 9999}", ROWS[4].2));
    let pod = with(driver(), ROWS[4].2, json!([{ "containerPort": 9998, "protocol": "TCP" }]));
    assert_eq!(inject(&catalog, &pod).pointer(ROWS[4].2).unwrap().as_array().unwrap().len(), 2);
}

#[test]
fn a_later_layer_replaces_what_may_stand_once() {
    let catalog = catalog(
        "{common: {template: {spec: {topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}],
                   containers: [{name: spark, ports: [{name: metrics, containerPort: 9000}]}]}}},
          driver: {template: {spec: {topologySpreadConstraints: [{maxSkew: 3, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}],
                   containers: [{name: spark, ports: [{name: metrics, containerPort: 9001}]}]}}}}",
    );
    let pod = inject(&catalog, &driver());
    let expected = json!([{ "maxSkew": 3, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway" }]);
    assert_eq!(pod["spec"]["topologySpreadConstraints"], expected);
    assert_eq!(
        pod.pointer("/spec/containers/0/ports/1"),
        Some(&json!({ "name": "metrics", "containerPort": 9001 }))
    );
    assert_eq!(pod.pointer("/spec/containers/0/ports/2"), None);
}

#[test]
fn what_may_stand_once_stands_once_in_a_template() {
    let port = "ports: [{containerPort: 1, name: a}, {containerPort: 2, name: a}]";
    let spread = "topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule}, {maxSkew: 2, topologyKey: a, whenUnsatisfiable: DoNotSchedule}]";
    for (spec, path) in [
        (spark_field(port, ""), "spec.containers[0].ports[1]"),
        (common(spread, ""), "spec.topologySpreadConstraints[1]"),
    ] {
        let problem = world().spec(&spec).problem();
        assert!(problem.contains(path) && problem.contains("twice"), "{problem}");
    }
}

#[test]
fn the_order_of_keys_does_not_make_an_entry_different() {
    let catalog = catalog(&common("tolerations: [{effect: NoSchedule, key: a, operator: Exists}]", ""));
    let own = json!([{ "operator": "Exists", "key": "a", "effect": "NoSchedule" }]);
    let pod = inject(&catalog, &with(driver(), "/spec/tolerations", own.clone()));
    assert_eq!(pod["spec"]["tolerations"], own);
}

#[test]
fn an_equal_entry_is_found_behind_others_that_repeat_themselves() {
    let catalog =
        catalog(&common("tolerations: [{key: a, operator: Exists}, {key: b, operator: Exists}]", ""));
    let of = |key: &str| json!({ "key": key, "operator": "Exists" });
    let own = json!([{}, {}, of("c"), {}, {}, of("a"), of("a"), {}]);
    let pod = inject(&catalog, &with(driver(), "/spec/tolerations", own.clone()));
    let mut expected = own;
    expected.as_array_mut().unwrap().push(of("b"));
    assert_eq!(pod["spec"]["tolerations"], expected);
}

/// No API server sends them, but whoever asks twice gets the same.
#[test]
fn what_is_no_entry_hides_none_behind_it() {
    let catalog = catalog(&common("tolerations: [{key: a, operator: Exists}]", ""));
    let own = json!([1, "a", null, { "key": "a", "operator": "Exists" }]);
    let pod = inject(&catalog, &with(driver(), "/spec/tolerations", own.clone()));
    assert_eq!(pod["spec"]["tolerations"], own);
}
