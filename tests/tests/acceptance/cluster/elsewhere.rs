//! Sources in another namespace than the injector's own, which the owner names at the start and gives a Role.

use acceptance::client::{Namespace, config_map, secret};
use acceptance::manifests::{self, OWN};
use acceptance::process::wait_until;
use acceptance::webhook::Webhook;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::site::{PATIENCE, Site, file};
use crate::world::profile;

const ELSEWHERE: &str = "platform";

fn from(name: &str, kind: &str, namespace: &str) -> Value {
    let source = json!({"name": "shared", "namespace": namespace});
    profile(name, &json!({"files": [{"mountPath": "/conf", kind: source}]}))
}

/// The Role and the binding that `manifests/base` has for the own namespace, in another one: its first rule.
fn rights(namespace: &str) -> [Value; 2] {
    let [mut role, mut binding] =
        ["Role", "RoleBinding"].map(|kind| manifests::object(manifests::base(), kind, OWN).clone());
    role["rules"] = json!([role["rules"][0]]);
    for object in [&mut role, &mut binding] {
        object["metadata"]["namespace"] = namespace.into();
    }
    [role, binding]
}

#[test]
fn sources_may_lie_in_namespaces_that_the_owner_names_and_in_no_others() {
    let site = Site::prepare();
    for namespace in ["a", "keys", "wild", "tenant"] {
        site.api.create_namespace(&Namespace::new(namespace).opted_in());
    }
    site.api.create_namespace(&Namespace::new(ELSEWHERE));
    let source = |namespace: &str, text: &str| config_map(namespace, "shared", &[("app.conf", text)]);
    site.kubectl_apply(&[
        source(ELSEWHERE, "one"),
        // The same name where it does not count: by default, and where a team has it.
        source(OWN, "own"),
        source("a", "team"),
        source("tenant", "team"),
        from("a", "configMap", ELSEWHERE),
        from("wild", "configMap", "tenant"),
    ]);

    // Without the Role the injector is not ready, and says for want of what.
    let webhook =
        Webhook::start_on_cluster(&site.kubeconfig(), &["--poll", "100ms", "--source-namespace", ELSEWHERE]);
    let forbidden = webhook.wait_for_log("in the namespace \\\"platform\\\"");
    assert!(forbidden.contains("--source-namespace needs a Role and a RoleBinding"), "{forbidden}");
    assert_eq!(webhook.admin("/readyz").0, 503);
    site.kubectl_apply(&rights(ELSEWHERE));
    webhook.wait_until_ready();
    let _registered = site.lead_to(&webhook);

    let is = |text: &str| BASE64.encode(text);
    site.wait_for_driver("a", |reply| file(&reply.body, "app.conf") == is("one"));
    site.kubectl_apply(&[source(ELSEWHERE, "two"), source(OWN, "own 2"), source("a", "team 2")]);
    site.wait_for_driver("a", |reply| file(&reply.body, "app.conf") == is("two"));
    // A namespace that the owner did not name is none, whoever wrote the profile.
    site.wait_for_denial("wild", "\"tenant\" is not a namespace of sources");

    // Secrets as well: they are delivered, and never lie in the pod.
    site.api.apply(&secret(ELSEWHERE, "shared", &[("etl.keytab", b"key")]));
    site.kubectl_apply(&[from("keys", "secret", ELSEWHERE)]);
    site.wait_for_driver("keys", |reply| reply.text.contains("secretKeyRef"));
    let delivered = wait_until(PATIENCE, || {
        let secrets = site.api.list("v1", "Secret", Some("keys"));
        let name = |secret: &&Value| {
            secret["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("spark-injector-keys-"))
        };
        secrets.iter().find(name).map(|secret| secret["data"]["etl.keytab"].clone())
    });
    assert_eq!(delivered, Some(json!(BASE64.encode(is("key")))));

    // One that is gone is named with its place; what was good serves on.
    site.api.delete(&source(ELSEWHERE, "")).expect(200);
    webhook.wait_for_log("there is no ConfigMap \\\"shared\\\" in namespace platform");
    site.wait_for_driver("a", |reply| file(&reply.body, "app.conf") == is("two"));

    // Nothing was read elsewhere.
    let account = format!("system:serviceaccount:{OWN}:{OWN}");
    for event in site.cluster.audit_log() {
        let reference = &event["objectRef"];
        let is_source = reference["resource"] == "configmaps" || reference["resource"] == "secrets";
        let reads = ["get", "list", "watch"].iter().any(|verb| event["verb"] == *verb);
        if event["user"]["username"] == account.as_str() && is_source && reads {
            assert!(reference["namespace"] == OWN || reference["namespace"] == ELSEWHERE, "{event}");
        }
    }
}
