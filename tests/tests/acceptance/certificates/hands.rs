//! What people and their tools do to the two objects.

use acceptance::client::secret;
use acceptance::cluster::Cluster;
use acceptance::process::wait_until;
use acceptance::webhook::Webhook;
use rustls::pki_types::CertificateDer;
use serde_json::json;

use super::replicas::{PATIENCE, Replicas};
use acceptance::witness::{bundles, served};

const JSON_PATCH: &str = "application/json-patch+json";

#[test]
fn what_is_done_to_secret_and_configuration_by_hand_is_repaired() {
    let replicas = Replicas::start("hands", ["90d", "30d"]);
    let api = &replicas.api;
    let configuration = || api.get(&replicas.configuration_path()).expect(200);
    let before = configuration();
    let bundle = bundles(&before);

    // The manifests again, in every way in which people apply them: the caBundle stays.
    replicas.apply();
    let file = tempfile::NamedTempFile::with_suffix(".json").expect("a file");
    std::fs::write(file.path(), replicas.configuration.to_string()).expect("a file");
    let path = super::replicas::text(file.path());
    let applied = Cluster::shared().kubectl(&["apply", "--server-side", "--force-conflicts", "-f", path]);
    assert!(applied.status.success(), "{applied:?}");
    assert_eq!(bundles(&configuration()), bundle);

    // Wiped out of one entry, by a tool that owns it from then on: it comes back, and nothing else is touched.
    let wipe = json!([{"op": "remove", "path": "/webhooks/1/clientConfig/caBundle"},
                      {"op": "replace", "path": "/webhooks/1/timeoutSeconds", "value": 7}]);
    api.patch(&replicas.configuration_path(), JSON_PATCH, &wipe).expect(200);
    let restored = wait_until(PATIENCE, || {
        let now = configuration();
        (bundles(&now) == bundle).then_some(now)
    });
    let mut restored = restored.expect("the caBundle is restored");
    assert_eq!(restored["webhooks"][1]["timeoutSeconds"].take(), 7);
    let mut expected = before.clone();
    expected["webhooks"][1]["timeoutSeconds"].take();
    assert_eq!(restored["webhooks"], expected["webhooks"]);
    replicas.assert_ready();
    replicas.assert_injecting();

    // The Secret goes, and its parts: pods are created all the time, and every certificate is trusted.
    let witness = replicas.witness();
    // On a busy machine it looks seldom: no certificate goes before it was seen.
    let has_met = |leaves: usize| {
        let met = wait_until(PATIENCE, || (witness.counts().0 == leaves).then_some(()));
        assert!(met.is_some(), "the witness has met {} certificates, not {leaves}", witness.counts().0);
    };
    has_met(1);
    let first = served(replicas.addresses()[0]).expect("a certificate");
    let secret = api.get(&replicas.secret_path()).expect(200);
    assert_eq!(api.delete(&secret).status, 200);
    let second = changed(&replicas, &first);
    has_met(2);
    assert_eq!(replicas.create("after-deletion").status, 201);

    let damage = json!([{"op": "replace", "path": "/data/ca.key", "value": "aGFsZg=="},
                        {"op": "remove", "path": "/data/tls.key"}]);
    api.patch(&replicas.secret_path(), JSON_PATCH, &damage).expect(200);
    let third = changed(&replicas, &second);
    has_met(3);
    assert_eq!(replicas.create("after-damage").status, 201);
    let empty = json!([{"op": "replace", "path": "/data", "value": {}}]);
    api.patch(&replicas.secret_path(), JSON_PATCH, &empty).expect(200);
    changed(&replicas, &third);
    has_met(4);
    assert_eq!(replicas.create("after-emptying").status, 201);
    assert_eq!(witness.tell().troubles, Vec::<String>::new());

    // All of it was told, without a key.
    let logs: Vec<String> = replicas.members.iter().flat_map(Webhook::log).collect();
    for words in ["caBundle of hands was changed", "is gone and is made anew", "is damaged (ca.crt, tls.crt)"]
    {
        assert!(logs.iter().any(|line| line.contains(words)), "{words}: {logs:#?}");
    }
    assert!(!logs.iter().any(|line| line.contains("PRIVATE")));
    replicas.assert_ready();
}

/// A policy of somebody whose message quotes what it refuses.
#[test]
fn a_key_is_not_quoted_by_whoever_refuses_it() {
    let replicas = Replicas::start("quoted", ["90d", "30d"]);
    let api = &replicas.api;
    let policy = json!({"failurePolicy": "Fail",
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "quoted-own"}},
            "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                               "resources": ["secrets"]}]},
        "validations": [{"expression": "false", "reason": "Forbidden",
            "messageExpression": "'quotes ' + string(object.data[?'next-ca.key'].orValue('nothing'))"}]});
    api.apply_policy("quoted", &policy);
    let probe = secret("quoted-own", "probe", &[("next-ca.key", b"-----BEGIN")]);
    let quotes = wait_until(PATIENCE, || {
        let reply = api.dry_run(&probe);
        (reply.status == 403).then_some(reply)
    });
    assert!(quotes.expect("the policy is in effect").message().contains("quotes LS0tLS1CRUdJTg"));

    let stored = api.get(&replicas.secret_path()).expect(200);
    assert_eq!(api.delete(&stored).status, 200);
    for replica in &replicas.members {
        let told = replica.wait_for_log("create secrets");
        assert!(told.contains("the ValidatingAdmissionPolicy quoted refuses it"), "{told}");
        assert!(!replica.log().iter().any(|line| line.contains("LS0tLS1CRUdJTi")), "the log quotes a key");
        assert!(!replica.admin("/readyz").1.contains("LS0tLS1CRUdJTi"));
    }
    let events = json!(api.list("events.k8s.io/v1", "Event", Some("default"))).to_string();
    assert!(events.contains("the ValidatingAdmissionPolicy quoted refuses it"), "{events}");
    assert!(!events.contains("LS0tLS1CRUdJTi"), "an Event quotes a key");
}

/// The code of a policy that gives no reason is the one of a `test` in a patch that fails.
#[test]
fn whoever_refuses_the_bundle_is_named() {
    let replicas = Replicas::start("unbundled", ["90d", "30d"]);
    let api = &replicas.api;
    let policy = json!({"failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [{"apiGroups": ["admissionregistration.k8s.io"],
            "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["mutatingwebhookconfigurations"],
            "resourceNames": ["unbundled"]}]},
        "validations": [{"expression": "object.webhooks.all(one, !has(one.clientConfig.caBundle))",
                         "message": "no bundles here"}]});
    api.apply_policy("unbundled", &policy);
    let path = replicas.configuration_path();
    let in_effect = wait_until(PATIENCE, || {
        let touched = json!([{"op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": 4}]);
        let reply = api.patch(&format!("{path}?dryRun=All"), JSON_PATCH, &touched);
        (reply.status == 422).then_some(())
    });
    assert!(in_effect.is_some(), "the policy is not in effect");
    let wipe = json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"},
                      {"op": "remove", "path": "/webhooks/1/clientConfig/caBundle"}]);
    api.patch(&path, JSON_PATCH, &wipe).expect(200);
    for replica in &replicas.members {
        let told = replica.wait_for_log("patch mutatingwebhookconfigurations");
        assert!(told.contains("'unbundled'") && told.contains("no bundles here"), "{told}");
    }
}

#[test]
fn a_secret_that_cannot_be_changed_is_named_and_made_anew_once_it_is_gone() {
    let replicas = Replicas::start("immutable", ["90d", "30d"]);
    let first = served(replicas.addresses()[0]).expect("a certificate");
    let freeze = json!([{"op": "remove", "path": "/data/tls.key"}, {"op": "add", "path": "/immutable", "value": true}]);
    let frozen = replicas.api.patch(&replicas.secret_path(), JSON_PATCH, &freeze).expect(200);
    for replica in &replicas.members {
        replica.wait_for_log("spark-injector-immutable immutable: delete it");
    }
    // What is served counts as before.
    replicas.assert_ready();
    assert_eq!(replicas.api.delete(&frozen).status, 200);
    changed(&replicas, &first);
    replicas.assert_ready();
}

type Chain = Vec<CertificateDer<'static>>;

/// Waits until all replicas serve one certificate, another one than `before`.
#[track_caller]
fn changed(replicas: &Replicas, before: &Chain) -> Chain {
    let found = wait_until(PATIENCE, || {
        let all: Vec<Chain> = replicas.addresses().into_iter().filter_map(|one| served(one).ok()).collect();
        let first = all.first()?.clone();
        (all.len() == 3 && first != *before && all.iter().all(|one| *one == first)).then_some(first)
    });
    found.unwrap_or_else(|| {
        let logs: Vec<String> = replicas.members.iter().flat_map(Webhook::log).collect();
        panic!("no other certificate in all replicas:\n{}", logs.join("\n"))
    })
}
