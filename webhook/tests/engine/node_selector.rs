//! The decision table of the in-tree plugin PodNodeSelector, row by row, and the eleven cases of its own test.
//!
//! Rows that only a plugin inside the API server can meet have no counterpart here: informer caches (3 to 7 are one
//! row for us: a namespace that is not known), and Validate as a second pass (20; our whitelist is checked in the one
//! pass that there is, and again when the API server calls again).

use serde_json::{Value, json};

use crate::support::answer::{Admitted, body};
use crate::support::{TEAM, World, admit, denied, driver, inject, with, world};

const CONFLICT: &str = "pod node label selector conflicts with its namespace node label selector";
const WHITELIST: &str = "pod node label selector labels conflict with its namespace whitelist";

/// What is said about node selectors: in the namespace, by default, as whitelist, by the pod.
#[derive(Clone, Copy, Default)]
struct Case {
    row: &'static str,
    annotation: Option<&'static str>,
    default: &'static str,
    allowed: &'static str,
    pod: &'static [(&'static str, &'static str)],
}

enum Expected {
    Selector(&'static [(&'static str, &'static str)]),
    /// The start of the message, and what else it says.
    Refused(&'static str, &'static [&'static str]),
}

use Expected::{Refused, Selector};

impl Case {
    fn world(self) -> World {
        let world = match self.annotation {
            Some(text) => world().annotated(text),
            None => world(),
        };
        world.spec(&format!("nodeSelector: {{default: {{{}}}, allowed: {{{}}}}}", self.default, self.allowed))
    }

    fn admit(self) -> Admitted {
        let selector: serde_json::Map<String, Value> =
            self.pod.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let pod = if self.pod.is_empty() { driver() } else { with(driver(), "/spec/nodeSelector", selector) };
        admit(&self.world().compile(None), TEAM, &pod)
    }
}

fn check(cases: &[(Case, Expected)]) {
    for (case, expected) in cases {
        let admitted = case.admit();
        match expected {
            Selector(pairs) => {
                assert!(admitted.allowed, "{}: {}", case.row, admitted.message);
                let found = admitted.pod["spec"].get("nodeSelector").cloned().unwrap_or(json!({}));
                let expected: serde_json::Map<String, Value> =
                    pairs.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
                assert_eq!(found, Value::Object(expected), "{}", case.row);
                let again = admit(&case.world().compile(None), TEAM, &admitted.pod);
                assert!(again.allowed && again.patch.is_null(), "{}: called again", case.row);
            }
            Refused(sentence, parts) => {
                assert!(!admitted.allowed, "{}", case.row);
                assert_eq!(admitted.code, 403, "{}", case.row);
                let message = &admitted.message;
                assert!(message.starts_with(sentence), "{}: {message}", case.row);
                for part in *parts {
                    assert!(message.contains(part), "{}: {part} in {message}", case.row);
                }
            }
        }
    }
}

#[test]
fn the_decision_table_of_the_in_tree_plugin() {
    let case = Case::default();
    check(&[
        (
            Case {
                row: "8: annotation valid, default ignored entirely",
                annotation: Some("pool=a"),
                default: "zone: z",
                ..case
            },
            Selector(&[("pool", "a")]),
        ),
        (
            Case {
                row: "9: annotation present but empty",
                annotation: Some(""),
                default: "pool: shared",
                ..case
            },
            Selector(&[]),
        ),
        (
            Case { row: "10: annotation absent, default", default: "pool: shared", ..case },
            Selector(&[("pool", "shared")]),
        ),
        (Case { row: "10: annotation absent, no default", ..case }, Selector(&[])),
        (
            Case {
                row: "12: same key, same value",
                annotation: Some("pool=a"),
                pod: &[("pool", "a")],
                ..case
            },
            Selector(&[("pool", "a")]),
        ),
        (
            Case {
                row: "13: same key, other value",
                annotation: Some("pool=a"),
                pod: &[("pool", "b")],
                ..case
            },
            Refused(
                CONFLICT,
                &[
                    "pool=b",
                    "pool=a",
                    "annotation scheduler.alpha.kubernetes.io/node-selector",
                    "remove pool",
                ],
            ),
        ),
        (
            Case {
                row: "13: other value than the default's",
                default: "pool: shared",
                pod: &[("pool", "b")],
                ..case
            },
            Refused(CONFLICT, &["pool=b", "pool=shared", "spec.nodeSelector.default", "remove pool"]),
        ),
        (
            Case {
                row: "14: union of namespace and pod",
                annotation: Some("pool=a"),
                pod: &[("disk", "nvme")],
                ..case
            },
            Selector(&[("pool", "a"), ("disk", "nvme")]),
        ),
        (
            Case {
                row: "15: a pod without selector gets the namespace's",
                annotation: Some("pool=a,zone=z"),
                ..case
            },
            Selector(&[("pool", "a"), ("zone", "z")]),
        ),
    ]);
}

#[test]
fn the_rows_about_the_whitelist() {
    let case = Case::default();
    check(&[
        (
            Case { row: "16: no whitelist", annotation: Some("pool=a"), pod: &[("any", "thing")], ..case },
            Selector(&[("pool", "a"), ("any", "thing")]),
        ),
        (
            Case {
                row: "17: the pod's key is not in the whitelist",
                allowed: "pool: [a]",
                pod: &[("disk", "nvme")],
                ..case
            },
            Refused(WHITELIST, &["the pod asks for disk=nvme", "allows pool in (a)"]),
        ),
        (
            Case {
                row: "17: the pod's value is not in the whitelist",
                allowed: "pool: [a, b]",
                pod: &[("pool", "c")],
                ..case
            },
            Refused(WHITELIST, &["pool=c", "pool in (a, b)"]),
        ),
        (
            Case {
                row: "17: the annotation is not in the whitelist",
                annotation: Some("pool=z"),
                allowed: "pool: [a]",
                ..case
            },
            Refused(WHITELIST, &["annotation", "pool=z"]),
        ),
        (
            Case {
                row: "17: the default is not in the whitelist",
                default: "pool: z",
                allowed: "pool: [a]",
                ..case
            },
            Refused(WHITELIST, &["spec.nodeSelector.default", "pool=z"]),
        ),
        (
            Case {
                row: "17: the merge satisfies the whitelist",
                annotation: Some("pool=a"),
                allowed: "pool: [a], disk: [nvme]",
                pod: &[("disk", "nvme")],
                ..case
            },
            Selector(&[("pool", "a"), ("disk", "nvme")]),
        ),
        (
            Case {
                row: "13 before 17",
                annotation: Some("pool=a"),
                allowed: "disk: [x]",
                pod: &[("pool", "b")],
                ..case
            },
            Refused(CONFLICT, &[]),
        ),
    ]);
}

#[test]
fn a_malformed_annotation_refuses_and_says_how_to_write_it() {
    // Row 11.
    for bad in ["a==b", "a", "a in (b)", "a=b,", " ", "a=b=c", "=b", "!a", "a!=b", "a=b c", "ä=b"] {
        let admitted = Case { annotation: Some(bad), ..Case::default() }.admit();
        assert!(!admitted.allowed && admitted.code == 403, "{bad:?}");
        for part in ["annotation scheduler.alpha.kubernetes.io/node-selector", TEAM, "malformed", "key=value"]
        {
            assert!(admitted.message.contains(part), "{bad:?}: {part} in {}", admitted.message);
        }
        let problem = Case { annotation: Some(bad), ..Case::default() }.world().problem();
        assert!(problem.contains("Namespace team-a") && problem.contains("node-selector"), "{problem}");
    }
    for (good, expected) in [
        (" pool = a , zone = z ", json!({ "pool": "a", "zone": "z" })),
        ("pool=", json!({ "pool": "" })),
        ("pool=a,pool=b", json!({ "pool": "b" })),
        ("example.com/pool=a", json!({ "example.com/pool": "a" })),
    ] {
        let admitted = Case { annotation: Some(good), ..Case::default() }.admit();
        assert_eq!(admitted.pod["spec"]["nodeSelector"], expected, "{good:?}: {}", admitted.message);
    }
}

#[test]
fn the_eleven_cases_of_the_plugins_own_test() {
    let case = Case::default();
    let over = Case { default: "testDefaultNodeSelector: 'true'", ..case };
    check(&[
        (Case { row: "no node selectors", ..case }, Selector(&[])),
        (
            Case { row: "default node selector and no conflicts", ..over },
            Selector(&[("testDefaultNodeSelector", "true")]),
        ),
        (
            Case { row: "namespace selector with white space", annotation: Some(" infra = false "), ..case },
            Selector(&[("infra", "false")]),
        ),
        (
            Case { row: "namespace selector over default", annotation: Some("infra=false"), ..over },
            Selector(&[("infra", "false")]),
        ),
        (Case { row: "empty namespace selector over default", annotation: Some(""), ..over }, Selector(&[])),
        (
            Case {
                row: "namespace and pod, no conflict",
                annotation: Some("infra=false"),
                pod: &[("env", "test")],
                ..over
            },
            Selector(&[("infra", "false"), ("env", "test")]),
        ),
        (
            Case {
                row: "one label conflicts",
                annotation: Some("infra=false"),
                pod: &[("infra", "true")],
                ..over
            },
            Refused(CONFLICT, &["infra=true"]),
        ),
        (
            Case {
                row: "one of several labels conflicts",
                annotation: Some("infra=false, foo=bar"),
                pod: &[("env", "test"), ("infra", "true")],
                ..over
            },
            Refused(CONFLICT, &["infra=true", "infra=false"]),
        ),
        (
            Case {
                row: "the merge satisfies the whitelist",
                annotation: Some("infra=false"),
                allowed: "infra: ['false'], env: [test]",
                pod: &[("env", "test")],
                ..over
            },
            Selector(&[("infra", "false"), ("env", "test")]),
        ),
        (
            Case {
                row: "the merge violates the whitelist",
                annotation: Some("infra=false"),
                allowed: "infra: ['true'], env: [test]",
                pod: &[("env", "test")],
                ..over
            },
            Refused(WHITELIST, &["infra=false"]),
        ),
        (
            Case { row: "the default violates the whitelist", allowed: "env: [test]", ..over },
            Refused(WHITELIST, &["testDefaultNodeSelector=true"]),
        ),
    ]);
}

#[test]
fn only_the_creation_of_pods_is_looked_at() {
    // Rows 1 and 2.
    let catalog = Case { annotation: Some("pool=a"), ..Case::default() }.world().catalog();
    let review = |change: &dyn Fn(&mut Value)| {
        let mut review: Value = serde_json::from_slice(&body(TEAM, &driver())).unwrap();
        change(&mut review["request"]);
        let answer = spark_injector::admit::review(&catalog, review.to_string().as_bytes());
        crate::support::answer::response(&answer)
    };
    assert!(review(&|_| ()).get("patch").is_some());
    for operation in ["UPDATE", "DELETE", "CONNECT"] {
        assert!(
            review(&|request| request["operation"] = json!(operation)).get("patch").is_none(),
            "{operation}"
        );
    }
    for (field, value) in [
        ("subResource", json!("ephemeralcontainers")),
        ("resource", json!({ "group": "", "version": "v1", "resource": "services" })),
        ("resource", json!({ "group": "x.example", "version": "v1", "resource": "pods" })),
        ("kind", json!({ "group": "", "version": "v1", "kind": "Binding" })),
        ("object", json!(null)),
    ] {
        let response = review(&|request| request[field] = value.clone());
        assert!(response["allowed"] == true && response.get("patch").is_none(), "{field} {value}");
    }
}

#[test]
fn a_key_that_went_missing_is_put_back_and_a_changed_one_refused() {
    // Rows 21 and 22: another webhook, and the API server calls again.
    let catalog = Case { annotation: Some("pool=a"), ..Case::default() }.world().catalog();
    let pod = inject(&catalog, &driver());
    let removed = inject(&catalog, &with(pod.clone(), "/spec/nodeSelector", json!({})));
    assert_eq!(removed["spec"]["nodeSelector"], json!({ "pool": "a" }));
    assert!(denied(&catalog, &with(pod, "/spec/nodeSelector/pool", "b")).1.starts_with(CONFLICT));
}

#[test]
fn affinity_node_name_and_tolerations_do_not_count() {
    // Row 24.
    let catalog =
        Case { annotation: Some("pool=a"), allowed: "pool: [a]", ..Case::default() }.world().catalog();
    let mut pod = with(driver(), "/spec/nodeName", "n1");
    pod["spec"]["affinity"] = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "pool", "operator": "In", "values": ["b"] }] }] } } });
    assert_eq!(inject(&catalog, &pod)["spec"]["nodeSelector"], json!({ "pool": "a" }));
}

#[test]
fn a_template_against_the_namespace_is_refused_with_both() {
    let template = "common: {template: {spec: {nodeSelector: {pool: t, disk: nvme}}}}";
    let catalog = world().annotated("pool=a").spec(template).catalog();
    let (code, message) = denied(&catalog, &driver());
    assert_eq!(code, 403);
    for part in [CONFLICT, "team-a: spec.common.template.spec.nodeSelector.pool", "pool=t", "pool=a"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let catalog = world().annotated("zone=z").spec(template).catalog();
    let expected = json!({ "pool": "t", "disk": "nvme", "zone": "z" });
    assert_eq!(inject(&catalog, &driver())["spec"]["nodeSelector"], expected);
}
