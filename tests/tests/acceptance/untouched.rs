//! Who is left alone: pods that are not Spark's, namespaces that did not ask, profiles that only watch or are off.
//! And a dry run, which shows everything and stores nothing.

use std::sync::OnceLock;

use acceptance::client::Namespace;
use acceptance::kubelet::INIT_CONTAINER;
use acceptance::registration::STATUS_ANNOTATION;
use serde_json::{Value, json};

use crate::world::{Plan, World, driver, executor, names, one_file, profile};

/// Never stopped: statics end with the process.
fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let with_mode = |mode: &str| json!({"mode": mode, "files": one_file(), "allowOptOut": true});
        World::start(Plan {
            name: "untouched",
            namespaces: vec![
                Namespace::new("untouched-without-label"),
                Namespace::new("untouched-enforce").opted_in(),
                Namespace::new("untouched-audit").opted_in().node_selector("pool=a"),
                Namespace::new("untouched-off").opted_in(),
            ],
            documents: vec![
                profile("untouched-without-label", &with_mode("Enforce")),
                profile("untouched-enforce", &with_mode("Enforce")),
                profile("untouched-audit", &with_mode("Audit")),
                profile("untouched-off", &with_mode("Off")),
            ],
            ..Plan::default()
        })
    })
}

#[track_caller]
fn assert_untouched(pod: &Value) {
    assert!(pod["metadata"]["annotations"][STATUS_ANNOTATION].is_null(), "{pod}");
    assert!(pod["spec"]["initContainers"].is_null(), "{pod}");
    assert!(pod["spec"]["nodeSelector"].is_null(), "{pod}");
}

#[test]
fn a_namespace_without_the_label_is_untouched() {
    let pod = driver("untouched-without-label", "one");
    assert_untouched(&world().api.create(&pod).expect(201));
    // Nor if the API server asked nevertheless.
    assert_untouched(&world().inject("untouched-without-label", &pod));
}

#[test]
fn a_pod_that_is_not_sparks_is_untouched() {
    let mut pod = driver("untouched-enforce", "not-spark");
    pod["metadata"]["labels"] = json!({"app": "web"});
    let reply = world().api.create(&pod);
    assert!(reply.warnings.is_empty(), "{:?}", reply.warnings);
    assert_untouched(&reply.expect(201));
    let line = world().logged("untouched-enforce", "not-spark");
    assert_eq!((&line["outcome"], &line["reason"]), (&json!("skipped"), &json!("not_spark")), "{line}");
}

#[test]
fn kube_system_is_untouched_whoever_asks() {
    let world = world();
    world.api.create_service_account("kube-system", "default");
    assert_untouched(&world.api.create(&driver("kube-system", "one")).expect(201));

    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "CREATE", "namespace": "kube-system",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "object": driver("kube-system", "one")}});
    let response = &world.webhook.review(&review).expect(200)["response"];
    assert_eq!(response["allowed"], true);
    assert!(response["patch"].is_null() && response["patchType"].is_null(), "{response}");
}

#[test]
fn a_dry_run_gives_the_same_pod_and_stores_nothing() {
    let world = world();
    let pod = executor("untouched-enforce", "dry");
    let dry = world.api.dry_run(&pod).expect(201);
    assert_eq!(world.api.read(&pod).status, 404);
    assert_eq!(world.logged("untouched-enforce", "dry")["dry_run"], true);
    let created = world.api.create(&pod).expect(201);
    assert_eq!(names(&created["spec"]["initContainers"]), [INIT_CONTAINER]);
    assert_eq!(without_chance(dry), without_chance(created));
}

/// Without what the API server draws or stamps.
fn without_chance(mut pod: Value) -> Value {
    let token = names(&pod["spec"]["volumes"]).into_iter().find(|name| name.starts_with("kube-api-access-"));
    let token = token.expect("a token volume").to_owned();
    for field in ["uid", "creationTimestamp", "managedFields", "resourceVersion"] {
        pod["metadata"].as_object_mut().expect("metadata").remove(field);
    }
    serde_json::from_str(&pod.to_string().replace(&token, "token")).expect("the same object")
}

#[test]
fn mode_audit_says_what_it_would_do_and_does_nothing() {
    let world = world();
    let reply = world.api.create(&driver("untouched-audit", "one"));
    assert_eq!(reply.warnings.len(), 1, "{:?}", reply.warnings);
    assert!(reply.warnings[0].contains("Audit"), "{:?}", reply.warnings);
    assert_untouched(&reply.expect(201));
    assert_eq!(world.logged("untouched-audit", "one")["outcome"], "audited");

    // Neither does it refuse.
    let mut pod = driver("untouched-audit", "refused-otherwise");
    pod["spec"]["nodeSelector"] = json!({"pool": "b"});
    let reply = world.api.create(&pod);
    assert_eq!(reply.status, 201, "{}", reply.text);
    assert!(reply.warnings.iter().any(|warning| warning.contains("conflicts")), "{:?}", reply.warnings);
    assert!(reply.warnings.iter().all(|warning| warning.chars().count() <= 120), "{:?}", reply.warnings);
}

#[test]
fn mode_off_is_as_if_the_namespace_had_not_opted_in() {
    let reply = world().api.create(&driver("untouched-off", "one"));
    assert!(reply.warnings.is_empty(), "{:?}", reply.warnings);
    assert_untouched(&reply.expect(201));
    assert_eq!(world().logged("untouched-off", "one")["reason"], "mode_off");
}

#[test]
fn an_allowed_opt_out_is_written_down() {
    let mut pod = driver("untouched-enforce", "opted-out");
    pod["metadata"]["labels"]["spark-injector.io/inject"] = "disabled".into();
    let stored = world().api.create(&pod).expect(201);
    assert_eq!(stored["metadata"]["annotations"][STATUS_ANNOTATION], r#"{"skipped":"opt_out"}"#);
    assert!(stored["spec"]["initContainers"].is_null(), "{stored}");
}

#[test]
fn a_value_that_the_user_keeps_gives_one_warning() {
    let world = world();
    let mut pod = driver("untouched-enforce", "kept");
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "own", "mountPath": "/conf/"}]);
    pod["spec"]["volumes"] = json!([{"name": "own", "emptyDir": {}}]);
    let reply = world.api.create(&pod);
    assert_eq!(reply.warnings.len(), 1, "{:?}", reply.warnings);
    assert!(reply.warnings[0].contains("/conf"), "{:?}", reply.warnings);
    let stored = reply.expect(201);
    let mounts = names(&stored["spec"]["containers"][0]["volumeMounts"]);
    assert!(!mounts.contains(&"spark-injector-files"), "{mounts:?}");
}
