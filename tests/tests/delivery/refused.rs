//! A namespace that takes nothing is named, and holds nobody back.

use std::net::{Ipv4Addr, TcpListener};

use acceptance::client::secret;
use acceptance::process::wait_until;
use serde_json::{Value, json};

use crate::world::{WITHIN, World, delivered};

fn quota(namespace: &str, secrets: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight", "namespace": namespace},
           "spec": {"hard": {"count/secrets": secrets}}})
}

#[test]
fn a_full_quota_is_named_and_the_others_get_theirs() {
    let world = World::new("refused");
    let teams = world.teams("refused-team", 12);
    let tight = &teams[4];
    world.api.apply(&quota(tight, "0"));
    let counted = wait_until(WITHIN, || {
        let extra = secret(tight, "probe", &[]);
        (world.api.dry_run(&extra).status == 403).then_some(())
    });
    assert!(counted.is_some(), "the quota is not in effect");

    world.keytab("1");
    world.profile("refused", &teams, &json!({}));
    let _replica = world.replica();
    let status = world.until("refused", "DeliveryFailed");
    assert_eq!(delivered(&status)["status"], "False");
    // Pods are given the revision all the same.
    assert!(status["deliveredRevision"].is_string(), "{status:#}");
    assert_eq!(status["namespaces"]["delivered"], teams.len() - 1);
    assert_eq!(status["namespaces"]["failed"], 1);
    let failed = &status["failedNamespaces"][0];
    assert_eq!((&failed["name"], &failed["reason"]), (&json!(tight), &json!("QuotaExceeded")));
    let message = failed["message"].as_str().expect("a message");
    assert!(message.contains("limited: count/secrets=0") && message.contains("raise the quota"), "{message}");
    for team in teams.iter().filter(|team| *team != tight) {
        assert_eq!(world.secrets(team).len(), 1, "{team}");
    }
    let told = wait_until(WITHIN, || {
        let notes = world.events("refused", "DeliveryFailed");
        notes.iter().any(|note| note.contains(tight.as_str())).then_some(notes.len())
    });
    assert_eq!(told, Some(1), "one Event on the profile");

    // The quota is raised: it gets its Secret without anybody doing anything.
    world.api.apply(&quota(tight, "1"));
    world.until_secrets(tight, 1);
    let status = world.until("refused", "Delivered");
    assert_eq!(status["failedNamespaces"], Value::Null);

    // Now the quota is full *with* our Secret. Asking whether it is there must neither fail nor count.
    let used = || world.api.read(&quota(tight, "1")).expect(200)["status"]["used"]["count/secrets"].clone();
    let full = wait_until(WITHIN, || (used() == "1").then_some(()));
    assert!(full.is_some(), "used: {}", used());
    world.keytab("2");
    // A second revision does not fit, the first one stays.
    let status = world.until("refused", "DeliveryFailed");
    assert_eq!(status["failedNamespaces"][0]["name"], json!(tight));
    world.keytab("1");
    let status = world.until("refused", "Delivered");
    assert_eq!(status["namespaces"]["delivered"], teams.len());
}

#[test]
fn a_namespace_that_ends_is_no_failure() {
    let world = World::new("ending");
    let teams = world.teams("ending-team", 3);
    // Something keeps it from ending, as a finalizer of somebody does.
    let mut held = secret(&teams[1], "held", &[]);
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    world.api.create(&held).expect(201);
    world.api.delete(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": teams[1]}}));
    // One that nobody told the injector to be gone.
    world.label("ending-gone", true);

    world.keytab("1");
    let mut covered = teams.clone();
    covered.push("ending-gone".to_owned());
    world.profile("ending", &covered, &json!({}));
    let _replica = world.replica();
    let status = world.until("ending", "Delivered");
    assert_eq!(status["namespaces"]["delivered"], 2, "{status:#}");
    assert_eq!(status["namespaces"]["failed"], 0, "{status:#}");
    assert!(world.events("ending", "DeliveryFailed").is_empty());

    world.forget("ending-gone");
    let struck = wait_until(WITHIN, || {
        let ledger = world.ledger();
        (!ledger["ending"]["namespaces"].to_string().contains("ending-gone")).then_some(())
    });
    assert!(struck.is_some(), "{:?}", world.ledger());
    world.api.patch(
        &format!("/api/v1/namespaces/{}/secrets/held", teams[1]),
        "application/merge-patch+json",
        &json!({"metadata": {"finalizers": null}}),
    );
}

/// Where nobody takes it, as where a policy was replaced, pods are better off with what is there.
#[test]
fn a_revision_that_is_nowhere_is_given_to_nobody() {
    let world = World::new("nowhere");
    let teams = world.teams("nowhere-team", 2);
    world.keytab("1");
    world.profile("nowhere", &teams, &json!({}));
    let _replica = world.replica();
    let before = world.until("nowhere", "Delivered");
    for team in &teams {
        world.api.apply(&quota(team, "1"));
        let counted = wait_until(WITHIN, || {
            (world.api.dry_run(&secret(team, "probe", &[])).status == 403).then_some(())
        });
        assert!(counted.is_some(), "the quota is not in effect");
    }
    world.keytab("2");
    let status = world.until("nowhere", "DeliveryFailed");
    assert_eq!(status["namespaces"]["failed"], 2, "{status:#}");
    assert_eq!(status["deliveredRevision"], before["deliveredRevision"]);
    assert_eq!(world.served_revision("nowhere"), before["deliveredRevision"].as_str().expect("a revision"));

    // One of them has it: the others hold nobody back.
    world.api.apply(&quota(&teams[0], "9"));
    let status =
        world.until_status("nowhere", |status| status["deliveredRevision"] != before["deliveredRevision"]);
    assert_eq!(status["namespaces"]["delivered"], 1, "{status:#}");
}

/// As where somebody's webhook stands behind a firewall: it takes connections and never answers. Its time-out is the
/// default of Kubernetes.
#[test]
fn a_namespace_whose_webhook_hangs_is_named_and_the_others_switch() {
    let world = World::new("hanging");
    let teams = world.teams("hanging-team", 4);
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("https://{}/", silent.local_addr().expect("its address"));
    let configuration = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "hanging"},
        "webhooks": [{"name": "hanging.example.com", "clientConfig": {"url": url}, "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "timeoutSeconds": 10, "failurePolicy": "Fail",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": teams[1]}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}]}]});
    world.api.apply(&configuration);
    let probe = secret(&teams[1], "probe", &[]);
    let hangs = wait_until(WITHIN, || (world.api.dry_run(&probe).status == 500).then_some(()));
    assert!(hangs.is_some(), "the webhook is not in effect");

    world.keytab("1");
    world.profile("hanging", &teams, &json!({}));
    let _replica = world.replica();
    let status = world.until("hanging", "DeliveryFailed");
    assert!(status["deliveredRevision"].is_string(), "{status:#}");
    assert_eq!(status["namespaces"]["delivered"], teams.len() - 1, "{status:#}");
    let failed = &status["failedNamespaces"][0];
    assert_eq!((&failed["name"], &failed["reason"]), (&json!(teams[1]), &json!("ServerError")));
    assert!(failed["message"].as_str().expect("a message").contains("a webhook for Secrets"), "{failed}");
    world.api.delete(&configuration).expect(200);
}
