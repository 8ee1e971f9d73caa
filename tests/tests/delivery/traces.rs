//! What is left of all this in logs, and what is not.

use acceptance::client::secret;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::PoisonError;

use crate::world::{CANARY, LOG, World, cluster};

#[test]
fn nothing_but_post_and_delete_and_the_contents_are_nowhere() {
    let world = World::new("traces");
    let teams = world.teams("traces-team", 5);
    // One that refuses with a message which quotes what it was given.
    let policy = json!({"failurePolicy": "Fail",
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": teams[2]}},
            "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}]},
        "validations": [{"expression": "false",
            "messageExpression": "'quotes ' + (has(object.data) ? string(object.data['etl.keytab']) : 'nothing')"}]});
    world.api.apply_policy("traces-quoting", &policy);
    let quotes = acceptance::process::wait_until(crate::world::WITHIN, || {
        let reply = world.api.dry_run(&secret(&teams[2], "x", &[("etl.keytab", CANARY.as_bytes())]));
        (reply.status == 422).then_some(reply)
    });
    let quotes = quotes.expect("the policy is in effect");
    assert!(quotes.message().contains("quotes Y2FuYXJ5"), "{}", quotes.text);

    world.keytab("1");
    world.profile("traces", &teams, &json!({}));
    let _replica = world.replica();
    let status = world.until("traces", "DeliveryFailed");
    let failed = &status["failedNamespaces"][0];
    assert_eq!(failed["reason"], "Denied", "{status:#}");
    let message = failed["message"].as_str().expect("a message");
    assert!(message.starts_with("the ValidatingAdmissionPolicy traces-quoting refuses"), "{message}");
    world.label(&teams[0], false);
    world.until_secrets(&teams[0], 0);

    let keys = [CANARY, "Y2FuYXJ5LWtleXRhYi0wNDUx", "Y2FuYXJ5LWtleXRhYi0w"];
    let is_clean = |text: &str| keys.iter().all(|key| !text.contains(key));
    let log = String::from_utf8_lossy(&LOG.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    assert!(log.contains("leadership of the writers"), "the log is not the log");
    assert!(is_clean(&log), "the log quotes a keytab");
    assert!(is_clean(&world.status("traces").to_string()));
    assert!(is_clean(&format!("{:?}", world.ledger())));
    let events = world.api.list("events.k8s.io/v1", "Event", None);
    assert!(is_clean(&json!(events).to_string()));

    let mut audit = cluster().audit_log();
    // But for what the policy itself makes the API server write.
    audit.retain(|event| !event["responseStatus"]["message"].to_string().contains("'traces-quoting'"));
    assert!(is_clean(&json!(audit).to_string()), "the audit log quotes a keytab");
    let ours = "system:serviceaccount:spark-injector:spark-injector";
    // Its own Secrets, the sources, it reads.
    let about_secrets = |event: &&Value| {
        let reference = &event["objectRef"];
        event["user"]["username"] == ours
            && reference["resource"] == "secrets"
            && reference["namespace"] != crate::processes::OWNER
    };
    let verb = |event: &Value| event["verb"].as_str().unwrap_or_default().to_owned();
    let others =
        audit.iter().filter(about_secrets).filter(|event| !["create", "delete"].contains(&&*verb(event)));
    let others: BTreeSet<String> = others
        .map(|event| format!("{} {}", verb(event), event["requestURI"].as_str().unwrap_or_default()))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
    assert!(audit.iter().filter(about_secrets).count() > teams.len());
    // Nor is a pod ever listed or watched.
    let pods = |event: &&Value| event["user"]["username"] == ours && event["objectRef"]["resource"] == "pods";
    assert_eq!(audit.iter().filter(pods).count(), 0);
}
