//! Lists without a key: appended unless an equal entry is there.

use serde_json::json;

use super::{common, spark_field};
use crate::support::{catalog, driver, inject, with, yaml};

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

#[test]
fn the_order_of_keys_does_not_make_an_entry_different() {
    let catalog = catalog(&common("tolerations: [{effect: NoSchedule, key: a, operator: Exists}]", ""));
    let own = json!([{ "operator": "Exists", "key": "a", "effect": "NoSchedule" }]);
    let pod = inject(&catalog, &with(driver(), "/spec/tolerations", own.clone()));
    assert_eq!(pod["spec"]["tolerations"], own);
}
