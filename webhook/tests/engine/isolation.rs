//! Every pod of an isolated namespace: held to its nodes, whoever made it, and by both entries alike.

use serde_json::{Value, json};
use spark_injector::admit::Outcome;
use spark_injector::catalog::Catalog;

use crate::support::answer::{Admitted, body};
use crate::support::{TEAM, World, admit, driver, inject, isolate, put, with, yaml};

const ISOLATE: (&str, &str) = ("spark-injector.io/isolate", "enabled");
const INJECT: (&str, &str) = ("spark-injector.io/inject", "enabled");
const STATUS: &str = "/metadata/annotations/spark-injector.io~1status";
const SELECTOR: &str = "scheduler.alpha.kubernetes.io/node-selector";

/// The namespace `team-a`, isolated and opted in, of a profile with this node selector policy.
fn isolated(policy: &str) -> World {
    World::default().namespace(TEAM, &[INJECT, ISOLATE], &[]).spec(&format!("nodeSelector: {policy}"))
}

/// A pod of nobody in particular.
fn plain() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "notebook", "labels": { "app": "notebook" } },
        "spec": { "containers": [{ "name": "main", "image": "notebook:1" }] },
    })
}

/// What this entry alone writes for [`POOL`]. Another fingerprint in another version of this program would make replicas of
/// both ask for patience.
const SIGNATURE: &str = r#"{"profile":"team-a","plan":"75a10a5e7878e23f","isolated":true}"#;

const POOL: &str = "{scope: AllPods, default: {pool: a}}";

#[track_caller]
fn refused(catalog: &Catalog, pod: &Value, reason: &str, parts: &[&str]) {
    let admitted = isolate(catalog, TEAM, pod);
    assert!(!admitted.allowed, "{:#}", admitted.patch);
    assert_eq!((admitted.code, admitted.answer.record.reason), (403, reason), "{}", admitted.message);
    for part in parts {
        assert!(admitted.message.contains(part), "{part} in {}", admitted.message);
    }
}

/// Allowed, and nothing is left to do when it is asked again.
#[track_caller]
fn held(catalog: &Catalog, pod: &Value) -> Admitted {
    let first = isolate(catalog, TEAM, pod);
    assert!(first.allowed, "{}", first.message);
    let second = isolate(catalog, TEAM, &first.pod);
    assert!(second.allowed && second.patch.is_null(), "asked again: {:#} {}", second.patch, second.message);
    first
}

#[test]
fn a_pod_that_is_not_sparks_is_held_to_the_nodes_of_its_namespace() {
    let catalog = isolated(POOL).catalog();
    let admitted = held(&catalog, &plain());
    assert_eq!(admitted.answer.record.outcome, Outcome::Isolated);
    let mut expected = plain();
    put(&mut expected, "/spec/nodeSelector", json!({ "pool": "a" }));
    put(&mut expected, STATUS, SIGNATURE);
    assert_eq!(admitted.pod, expected);
    let record = &admitted.answer.record;
    assert_eq!((record.profile.as_str(), record.revision.as_str(), record.role), (TEAM, "", None));
    // The other entry leaves it alone.
    assert_eq!(admit(&catalog, TEAM, &plain()).answer.record.reason, "not_spark");
}

#[test]
fn the_annotation_of_the_namespace_counts_before_the_default() {
    for (annotation, expected) in [("pool=b", json!({ "pool": "b" })), ("", Value::Null)] {
        let world = isolated(POOL).namespace(TEAM, &[ISOLATE], &[(SELECTOR, annotation)]);
        let pod = held(&world.catalog(), &plain()).pod;
        assert_eq!(pod["spec"].get("nodeSelector").cloned().unwrap_or_default(), expected);
    }
    let malformed = isolated(POOL).namespace(TEAM, &[ISOLATE], &[(SELECTOR, "pool")]);
    assert!(malformed.problem().contains("Namespace team-a"));
    refused(&malformed.compile(None), &plain(), "node_selector_malformed", &["key=value"]);
}

#[test]
fn conflicts_and_whitelist_are_those_of_the_in_tree_plugin() {
    let with_selector = |selector: Value| with(plain(), "/spec/nodeSelector", selector);
    let catalog =
        isolated("{scope: AllPods, default: {pool: a}, allowed: {pool: [a], disk: [ssd]}}").catalog();
    refused(
        &catalog,
        &with_selector(json!({ "pool": "b" })),
        "node_selector_conflict",
        &[
            "pod node label selector conflicts with its namespace node label selector",
            "pool=b",
            "remove pool",
        ],
    );
    refused(
        &catalog,
        &with_selector(json!({ "zone": "z" })),
        "node_selector_not_allowed",
        &[
            "pod node label selector labels conflict with its namespace whitelist",
            "zone=z",
            "profile team-a allows",
        ],
    );
    let pod = held(&catalog, &with_selector(json!({ "disk": "ssd" }))).pod;
    assert_eq!(pod["spec"]["nodeSelector"], json!({ "disk": "ssd", "pool": "a" }));
}

#[test]
fn a_node_that_is_chosen_by_name_is_refused() {
    let catalog = isolated(POOL).catalog();
    refused(
        &catalog,
        &with(plain(), "/spec/nodeName", "n1"),
        "node_name_forbidden",
        &["n1", "leave nodeName out"],
    );
    held(&catalog, &with(plain(), "/spec/nodeName", ""));
    let leaving = with(plain(), "/metadata/deletionTimestamp", "2030-01-01T00:00:00Z");
    refused(&catalog, &with(leaving, "/spec/nodeName", "n1"), "node_name_forbidden", &["n1"]);
    let spark = with(driver(), "/spec/nodeName", "n1");
    refused(&catalog, &spark, "node_name_forbidden", &["isolated by profile team-a"]);
}

#[test]
fn required_affinity_keeps_to_the_whitelist_of_the_keys_that_it_names() {
    let affinity = |expression: &str| {
        let term = yaml(&format!("[{{matchExpressions: [{expression}]}}]"));
        let required = json!({ "nodeSelectorTerms": term });
        with(plain(), "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution", required)
    };
    let catalog = isolated("{scope: AllPods, default: {pool: a}, allowed: {pool: [a, shared]}}").catalog();
    for good in [
        "{key: pool, operator: In, values: [a]}",
        "{key: pool, operator: In, values: [shared, a]}",
        "{key: zone, operator: NotIn, values: [z]}",
    ] {
        held(&catalog, &affinity(good));
    }
    for bad in [
        "{key: pool, operator: In, values: [b]}",
        "{key: pool, operator: In, values: [a, b]}",
        "{key: pool, operator: NotIn, values: [a]}",
        "{key: pool, operator: Exists}",
        "{key: pool, operator: DoesNotExist}",
    ] {
        refused(&catalog, &affinity(bad), "affinity_not_allowed", &["pool", "in (a, shared)", "operator In"]);
    }
    // Without a whitelist nobody forbids it: the selector holds the pod all the same.
    let free = isolated(POOL).catalog();
    held(&free, &affinity("{key: pool, operator: In, values: [b]}"));
    // What a controller of the cluster writes: a DaemonSet's pod for one node.
    let mut daemon = plain();
    let field = json!([{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["n1"] }] }]);
    let required = json!({ "nodeSelectorTerms": field });
    put(&mut daemon, "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution", required);
    put(&mut daemon, "/spec/tolerations", system_tolerations());
    held(&catalog, &daemon);
}

/// What the DaemonSet controller and the API server give to pods.
fn system_tolerations() -> Value {
    let names = ["disk-pressure", "memory-pressure", "network-unavailable", "pid-pressure", "unschedulable"];
    let schedule = names.map(|name| {
        json!({ "key": format!("node.kubernetes.io/{name}"), "operator": "Exists", "effect": "NoSchedule" })
    });
    let execute = ["not-ready", "unreachable"].map(|name| {
        json!({ "key": format!("node.kubernetes.io/{name}"), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 })
    });
    schedule.into_iter().chain(execute).collect()
}

#[test]
fn tolerations_are_bounded_where_the_profile_says_so() {
    let tolerating = |toleration: &str| with(plain(), "/spec/tolerations", json!([yaml(toleration)]));
    let foreign = "{key: dedicated, value: team-b, effect: NoSchedule}";
    held(&isolated(POOL).catalog(), &tolerating(foreign));

    let own = "{key: dedicated, operator: Equal, value: team-a, effect: NoSchedule}";
    let list = "{scope: AllPods, default: {pool: a}, allowedTolerations: [{key: dedicated, value: team-a}]}";
    let template = "common: {template: {spec: {tolerations: [{key: gpu, operator: Exists}]}}}";
    let spec = format!("{{nodeSelector: {list}, {template}}}");
    let catalog = World::default().namespace(TEAM, &[INJECT, ISOLATE], &[]).spec(&spec).catalog();
    held(&catalog, &tolerating(own));
    held(&catalog, &tolerating("{key: gpu, operator: Exists, effect: NoSchedule}"));
    held(&catalog, &with(plain(), "/spec/tolerations", system_tolerations()));
    let parts = &["dedicated=team-b:NoSchedule", "allows dedicated=team-a, gpu", "remove the toleration"];
    refused(&catalog, &tolerating(foreign), "toleration_not_allowed", parts);
    refused(&catalog, &tolerating("{operator: Exists}"), "toleration_not_allowed", &["every taint"]);
    refused(
        &catalog,
        &tolerating("{key: dedicated, operator: Exists}"),
        "toleration_not_allowed",
        &["dedicated"],
    );

    let none = isolated("{scope: AllPods, default: {pool: a}, allowedTolerations: []}").catalog();
    refused(&none, &tolerating(own), "toleration_not_allowed", &["allows none"]);
    held(&none, &plain());
}

#[test]
fn both_entries_agree_on_a_spark_pod_in_either_order() {
    let spec = "{nodeSelector: {scope: AllPods, default: {pool: a}, allowed: {pool: [a], disk: [ssd]}, allowedTolerations: []}, \
        variants: {v: {template: {spec: {tolerations: [{key: v, operator: Exists}]}}}}, \
        common: {template: {spec: {nodeSelector: {disk: ssd}, tolerations: [{key: gpu, operator: Exists}], \
        affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [ \
        {matchExpressions: [{key: disk, operator: NotIn, values: [hdd]}]}]}}}}}}, \
        files: [{mountPath: /conf, inline: {a: b}}]}";
    let catalog = World::default().namespace(TEAM, &[INJECT, ISOLATE], &[]).spec(spec).catalog();
    let pod = with(driver(), "/metadata/labels/spark-injector.io~1variant", "v");
    let injected = inject(&catalog, &pod);
    let then = isolate(&catalog, TEAM, &injected);
    assert!(then.allowed && then.patch.is_null(), "{:#} {}", then.patch, then.message);

    let first = isolate(&catalog, TEAM, &pod);
    assert_eq!(first.pod["spec"]["nodeSelector"], json!({ "pool": "a" }), "{}", first.message);
    assert!(first.pod.pointer(STATUS).is_none(), "the status is the other entry's to write");
    let both = inject(&catalog, &first.pod);
    assert!(isolate(&catalog, TEAM, &both).patch.is_null());
    assert_eq!(both.pointer(STATUS), injected.pointer(STATUS));
    for field in ["nodeSelector", "tolerations", "affinity", "initContainers"] {
        assert_eq!(both["spec"][field], injected["spec"][field], "{field}");
    }
    // The same refusal, whoever is asked first.
    let foreign = with(driver(), "/spec/nodeSelector", json!({ "pool": "b" }));
    let one = admit(&catalog, TEAM, &foreign).message;
    assert_eq!(one, isolate(&catalog, TEAM, &foreign).message);
}

#[test]
fn label_and_scope_are_both_needed_and_one_alone_is_told() {
    let label_alone =
        World::default().namespace(TEAM, &[ISOLATE], &[]).spec("nodeSelector: {default: {pool: a}}");
    let scope_alone = World::default().namespace(TEAM, &[INJECT], &[]).spec(&format!("nodeSelector: {POOL}"));
    let empty = World::default().namespace(TEAM, &[ISOLATE], &[]).spec("nodeSelector: {scope: AllPods}");
    for (world, reason, said) in [
        (
            label_alone,
            "profile_not_isolating",
            "Namespace team-a: metadata.labels[spark-injector.io/isolate]: isolates nothing",
        ),
        (
            scope_alone,
            "namespace_not_isolated",
            "SparkProfile team-a: spec.nodeSelector.scope: AllPods has no effect in team-a, without",
        ),
        (
            empty,
            "isolated",
            "Namespace team-a: metadata.labels[spark-injector.io/isolate]: isolates from nothing",
        ),
    ] {
        let catalog = world.catalog();
        assert_eq!(isolate(&catalog, TEAM, &plain()).answer.record.reason, reason);
        let warnings: Vec<String> = catalog.warnings().iter().map(ToString::to_string).collect();
        assert!(warnings.iter().any(|warning| warning.starts_with(said)), "{said} in {warnings:#?}");
    }
    let warnings = isolated(POOL).catalog().warnings();
    assert!(
        !warnings.iter().any(|warning| warning.path.contains("scope") || warning.path.contains("labels"))
    );
}

#[test]
fn scope_is_inherited_and_tolerations_only_narrowed() {
    let base = "nodeSelector: {scope: AllPods, default: {pool: a}, allowedTolerations: [{key: kx, operator: Exists}, {key: ky, operator: Exists}]}";
    let own = "{extends: [base], nodeSelector: {allowedTolerations: [{key: kx, value: '1'}, {key: kz, operator: Exists}]}}";
    let world = World::default().namespace(TEAM, &[ISOLATE], &[]).profile("base", base).spec(own);
    let catalog = world.catalog();
    let tolerating = |toleration: &str| with(plain(), "/spec/tolerations", json!([yaml(toleration)]));
    held(&catalog, &tolerating("{key: kx, value: '1', effect: NoSchedule}"));
    for wider in ["{key: kx, value: '2'}", "{key: ky, operator: Exists}", "{key: kz, operator: Exists}"] {
        refused(&catalog, &tolerating(wider), "toleration_not_allowed", &["allows kx=1"]);
    }
}

#[test]
fn tolerations_in_a_profile_are_checked_as_those_of_a_pod() {
    for (toleration, said) in [
        ("{key: a, operator: Maybe}", "allowedTolerations[0].operator: \"Maybe\" is not supported"),
        ("{value: x}", "allowedTolerations[0].key: missing"),
        ("{key: 'a b'}", "allowedTolerations[0].key: \"a b\" is not the key of a taint"),
        ("{key: a, operator: Exists, value: x}", "allowedTolerations[0].value: not with operator Exists"),
        ("{key: a, effect: Never}", "allowedTolerations[0].effect: \"Never\" is not an effect"),
        ("{key: a, efect: NoSchedule}", "efect: unknown field"),
    ] {
        let problem = isolated(&format!("{{scope: AllPods, allowedTolerations: [{toleration}]}}")).problem();
        assert!(problem.contains(said), "{said} in {problem}");
    }
}

#[test]
fn without_a_profile_that_can_say_where_pods_belong_none_is_let_in() {
    let unclaimed = World::default().namespace(TEAM, &[ISOLATE], &[]).catalog();
    refused(
        &unclaimed,
        &plain(),
        "no_profile",
        &["spark-injector.io/isolate: enabled", "no SparkProfile serves it"],
    );
    let broken = isolated("{scope: AllPods, nonsense: 1}").compile(None);
    refused(&broken, &plain(), "profile_broken", &["SparkProfile team-a", "nonsense"]);
    // One that was good keeps serving.
    let kept = isolated("{scope: AllPods, nonsense: 1}").compile(Some(&isolated(POOL).catalog()));
    assert_eq!(held(&kept, &plain()).pod["spec"]["nodeSelector"], json!({ "pool": "a" }));
}

#[test]
fn modes_hold_for_isolation_too() {
    let of = |mode: &str| {
        let spec = format!("{{mode: {mode}, nodeSelector: {POOL}}}");
        World::default().namespace(TEAM, &[ISOLATE], &[]).spec(&spec).catalog()
    };
    let foreign = with(plain(), "/spec/nodeName", "n1");
    let audited = isolate(&of("Audit"), TEAM, &foreign);
    assert!(audited.allowed && audited.patch.is_null());
    assert_eq!(
        (audited.answer.record.outcome, audited.answer.record.reason),
        (Outcome::Audited, "node_name_forbidden")
    );
    assert!(
        audited.warnings[0].starts_with("spark-injector would refuse this pod"),
        "{:?}",
        audited.warnings
    );
    let audited = isolate(&of("Audit"), TEAM, &plain());
    assert!(audited.patch.is_null() && audited.answer.record.reason == "would_isolate");
    assert_eq!(isolate(&of("'Off'"), TEAM, &foreign).answer.record.reason, "mode_off");
}

#[test]
fn what_a_profile_said_while_it_gave_nothing_counts_for_nobody_afterwards() {
    let of = |mode: &str, list: &str| {
        let policy = format!("{{scope: AllPods, default: {{pool: a}}, allowedTolerations: {list}}}");
        let spec = format!("{{mode: {mode}, nodeSelector: {policy}}}");
        World::default().namespace(TEAM, &[INJECT, ISOLATE], &[]).spec(&spec)
    };
    let toleration = json!([{ "key": "dedicated", "value": "b", "effect": "NoSchedule" }]);
    for sent in [plain(), driver()] {
        let sent = with(sent, "/spec/tolerations", toleration.clone());
        // Anybody can compute what it would have written.
        let lax = of("Enforce", "[{operator: Exists}]").catalog();
        let forged = held(&lax, &admit(&lax, TEAM, &sent).pod).pod;
        for mode in ["Audit", "'Off'"] {
            let tried = of(mode, "[{operator: Exists}]").catalog();
            let strict = of("Enforce", "[]").compile(Some(&tried));
            refused(&strict, &forged, "toleration_not_allowed", &["dedicated"]);
        }
    }
}

#[test]
fn what_cannot_be_changed_or_is_never_touched_is_left_alone() {
    let mut world = isolated(POOL);
    for name in ["kube-system", "spark-injector"] {
        world = world.namespace(name, &[ISOLATE], &[]);
    }
    let catalog = world.catalog();
    for name in ["kube-system", "spark-injector"] {
        assert_eq!(isolate(&catalog, name, &plain()).answer.record.reason, "excluded_namespace", "{name}");
    }
    let mirror = with(plain(), "/metadata/annotations/kubernetes.io~1config.mirror", "x");
    assert_eq!(
        isolate(&catalog, TEAM, &with(mirror, "/spec/nodeName", "n1")).answer.record.reason,
        "mirror_pod"
    );
    // Unlike injection, isolation is not about Linux.
    let windows = with(plain(), "/spec/os/name", "windows");
    assert_eq!(held(&catalog, &windows).pod["spec"]["nodeSelector"], json!({ "pool": "a" }));
    let unknown = spark_injector::admit::isolate(&catalog, &body("new", &plain()));
    assert_eq!((unknown.status, unknown.retry), (503, true));
}

#[test]
fn a_spark_pod_is_signed_by_the_entry_that_serves_it() {
    // Isolated, not opted in: a driver is a pod like any other.
    let catalog = isolated(POOL).namespace(TEAM, &[ISOLATE], &[]).catalog();
    let pod = held(&catalog, &driver()).pod;
    assert_eq!(pod.pointer(STATUS).unwrap(), SIGNATURE);
    // A status that somebody wrote himself does not stay.
    let forged = with(plain(), STATUS, r#"{"profile":"other"}"#);
    assert_eq!(held(&catalog, &forged).pod.pointer(STATUS).unwrap(), SIGNATURE);
}

#[test]
fn a_spark_pod_that_opted_out_is_held_as_any_other() {
    let with_policy = format!("{{allowOptOut: true, nodeSelector: {POOL}}}");
    let world = |spec: &str| World::default().namespace(TEAM, &[INJECT, ISOLATE], &[]).spec(spec);
    let fresh = world(&with_policy).catalog();
    // Also where a moment ago the profile isolated nothing.
    let switched = world(&with_policy).compile(Some(&world("allowOptOut: true").catalog()));
    let out = with(driver(), "/metadata/labels/spark-injector.io~1inject", "disabled");
    for catalog in [fresh, switched] {
        assert_eq!(held(&catalog, &admit(&catalog, TEAM, &out).pod).pod["spec"]["nodeSelector"]["pool"], "a");
        let elsewhere = admit(&catalog, TEAM, &with(out.clone(), "/spec/nodeSelector", json!({"pool": "b"})));
        assert!(elsewhere.allowed && elsewhere.pod.pointer(STATUS).is_some(), "{}", elsewhere.message);
        refused(&catalog, &elsewhere.pod, "node_selector_conflict", &["pool=b", "remove pool"]);
    }
}

/// Replicas one step apart: what one of them let in is not refused by the other one, and a fresh pod is judged by what
/// serves now.
#[test]
fn a_change_of_the_isolation_refuses_no_pod_between_two_calls() {
    let toleration = json!([{ "key": "dedicated", "value": "b", "effect": "NoSchedule" }]);
    let tolerant =
        |list: &str| format!("{{scope: AllPods, default: {{pool: a}}, allowedTolerations: {list}}}");
    let disk = |list: &str| {
        format!("{{scope: AllPods, default: {{pool: a}}, allowed: {{pool: [a], disk: {list}}}}}")
    };
    let pool = |pool: &str| format!("{{scope: AllPods, default: {{pool: {pool}}}}}");
    for (wide, narrow, pointer, value) in [
        (tolerant("[{operator: Exists}]"), tolerant("[]"), "/spec/tolerations", toleration),
        (disk("[ssd]"), disk("[nvme]"), "/spec/nodeSelector", json!({ "disk": "ssd" })),
        (pool("a"), pool("b"), "/spec/nodeSelector", json!({ "pool": "a" })),
    ] {
        for sent in [plain(), driver()] {
            let sent = with(sent, pointer, value.clone());
            let old = isolated(&wide).catalog();
            let new = isolated(&narrow).compile(Some(&old));
            let given = match admit(&old, TEAM, &sent) {
                skipped if skipped.patch.is_null() => held(&old, &sent).pod,
                injected => held(&old, &injected.pod).pod,
            };
            let again = isolate(&new, TEAM, &given);
            assert!(again.allowed && again.patch.is_null(), "{narrow}: {} {:#}", again.message, again.patch);
            assert!(!isolate(&new, TEAM, &sent).allowed, "{narrow}: what serves now counts for who is new");

            // And the one that is a step behind asks for patience.
            let behind = isolated(&narrow).catalog();
            let answer = spark_injector::admit::isolate(&behind, &body(TEAM, &given));
            let expected = (503, true, "revision_unknown");
            assert_eq!((answer.status, answer.retry, answer.record.reason), expected, "{narrow}");
        }
    }
}
