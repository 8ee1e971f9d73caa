//! What of an answer reaches the user, and what the audit log.

use acceptance::client::{Api, Namespace, Reply};
use acceptance::cluster::{Audit, Cluster, ClusterOptions};
use acceptance::process::wait_until;
use acceptance::recorder::RawAnswer;
use acceptance::registration::STATUS_ANNOTATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::{assert_call_failed, fine, namespace, recorder, status};
use crate::world::{Plan, World, driver, one_file, profile};

fn talkative(name: &str, review: &Value) -> RawAnswer {
    let warnings: Vec<String> = match name {
        "few" => vec!["one".to_owned(), "one".to_owned(), "two".to_owned()],
        "long" => (0..5).map(|index| format!("{index}{}", "x".repeat(1000))).collect(),
        _ => Vec::new(),
    };
    RawAnswer::reviewed(review, &json!({"allowed": true, "warnings": warnings}))
}

#[test]
fn warnings_reach_the_user_once_and_within_a_budget() {
    let api = Cluster::shared().admin();
    let (_recorder, _registered) = recorder(api, "warnings", talkative);
    let ask = |name: &str| -> Reply { api.dry_run(&driver(&namespace("warnings", "Fail"), name)) };
    assert_eq!(ask("few").warnings, ["one", "two"]);
    let lengths: Vec<usize> = ask("long").warnings.iter().map(|text| text.chars().count()).collect();
    assert_eq!(lengths.len(), 5);
    assert!(lengths.iter().all(|length| *length <= 256), "{lengths:?}");
}

/// `error-CODE-TYPE`: an error with a long text of this type.
fn error(name: &str, review: &Value) -> RawAnswer {
    let mut parts = name.splitn(3, '-').skip(1);
    let code = parts.next().and_then(|code| code.parse().ok());
    let Some(code) = code else { return fine(review) };
    let content_type =
        if parts.next() == Some("text") { "text/plain; charset=utf-8" } else { "application/json" };
    status(code, content_type, &format!("a sentence{}", "e".repeat(3000)))
}

/// What the user reads of our own errors, therefore: of a caller that is not known (403), of another content type and of
/// a defect. The rest is for whoever reads our log.
#[test]
fn the_text_of_an_error_is_quoted_where_the_api_server_has_no_words_of_its_own_for_the_code() {
    let api = Cluster::shared().admin();
    let (_recorder, _registered) = recorder(api, "quoted", error);
    let ask = |code: u16, kind: &str| {
        let reply = api.dry_run(&driver(&namespace("quoted", "Fail"), &format!("error-{code}-{kind}")));
        assert_call_failed("Fail", &reply, kind)
    };
    for code in [403, 415, 500] {
        let told = ask(code, "text");
        assert!(
            told.contains("a sentence") && told.len() < 2048 + 100,
            "{code}: {} bytes: {told}",
            told.len()
        );
        let told = ask(code, "json");
        assert!(told.contains("unknown") && !told.contains("sentence"), "{code}: {told}");
    }
    for code in [400, 401, 404, 405, 408, 409, 413, 422, 429, 431, 503] {
        let told = ask(code, "text");
        assert!(!told.contains("sentence"), "{code}: {told}");
    }
}

fn annotated(_: &str, review: &Value) -> RawAnswer {
    let patch = BASE64.encode(r#"[{"op": "add", "path": "/metadata/labels/patched", "value": "yes"}]"#);
    let annotations = json!({"good": "a value", "a b/": "lost"});
    let response =
        json!({"allowed": true, "patchType": "JSONPatch", "patch": patch, "auditAnnotations": annotations});
    RawAnswer::reviewed(review, &response)
}

/// The annotations of the last audit event on this pod.
#[track_caller]
fn annotations(cluster: &Cluster, namespace: &str, name: &str) -> Value {
    let found = wait_until(std::time::Duration::from_secs(10), || {
        let events = cluster.audit_log().into_iter().rev();
        let mut of_pod = events.filter(|event| {
            event["objectRef"]["namespace"] == *namespace && event["objectRef"]["name"] == *name
        });
        of_pod.next().map(|event| event["annotations"].clone())
    });
    found.unwrap_or_else(|| panic!("no audit event on {namespace}/{name}"))
}

fn key_of<'a>(annotations: &'a Value, prefix: &str) -> Option<&'a str> {
    annotations.as_object()?.iter().find(|(key, _)| key.starts_with(prefix))?.1.as_str()
}

/// The patch itself is written to the audit log, which is why none of ours holds a secret.
#[test]
fn the_audit_log_has_the_patch_and_the_annotations_whose_keys_are_good() {
    let cluster = Cluster::start_with(&ClusterOptions { audit: Audit::Whole, ..ClusterOptions::default() });
    let api: &Api = cluster.admin();
    let (_recorder, _registered) = recorder(api, "audited", annotated);
    let name = namespace("audited", "Fail");
    api.dry_run(&driver(&name, "one")).expect(201);
    let found = annotations(&cluster, &name, "one");
    assert_eq!(found["pods.spark-injector.io/good"], "a value", "{found}");
    assert!(!found.to_string().contains("lost"), "{found}");
    let patch = key_of(&found, "patch.webhook.admission.k8s.io/").expect("the patch");
    assert!(patch.contains("/metadata/labels/patched"), "{patch}");

    // Ours.
    let world = World::start_on(
        &cluster,
        Plan {
            name: "audited-ours",
            namespaces: vec![Namespace::new("audited-ours").opted_in()],
            documents: vec![profile("audited-ours", &json!({"files": one_file(), "allowOptOut": false}))],
            ..Plan::default()
        },
    );
    let stored = world.api.create(&driver("audited-ours", "one")).expect(201);
    let status = stored["metadata"]["annotations"][STATUS_ANNOTATION].as_str().expect("the annotation");
    let status: Value = serde_json::from_str(status).expect("JSON");
    let found = annotations(&cluster, "audited-ours", "one");
    let ours = |key: &str| found[format!("pods.spark-injector.io/{key}")].clone();
    assert_eq!(ours("decision"), "injected: injected", "{found}");
    assert_eq!((ours("profile"), ours("revision")), ("audited-ours".into(), status["revision"].clone()));
    let mut refused = driver("audited-ours", "two");
    refused["metadata"]["labels"]["spark-injector.io/inject"] = "disabled".into();
    assert_eq!(world.api.create(&refused).status, 403);
    let found = annotations(&cluster, "audited-ours", "two");
    let decision = found["pods.spark-injector.io/decision"].as_str().unwrap_or_default();
    assert!(decision.starts_with("denied: "), "{found}");
}
