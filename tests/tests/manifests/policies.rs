//! Who is refused by the policies about Secrets, the webhook configuration and namespaces, with which sentence.

use acceptance::client::{Namespace, object_path, secret};
use acceptance::manifests::OWN;
use serde_json::{Value, json};

use crate::world::{CONFIGURATION, cluster, eventually, grant, injector, refused};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";

#[test]
fn secrets_of_our_name_are_ours_in_namespaces_that_opted_in() {
    let (admin, us) = (cluster().admin(), injector());
    admin.create_namespace(&Namespace::new("fence-in").opted_in());
    admin.create_namespace(&Namespace::new("fence-out"));
    grant(admin, "team-member", &json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}]));
    let member = cluster().as_user("team-member", None);
    let named = |namespace: &str, name: &str| secret(namespace, name, &[("k", b"v")]);

    for api in [&member, admin] {
        let sentence = refused(&eventually(|| api.create(&named("fence-in", "spark-injector-a-0")), 403));
        assert!(sentence.contains("fence-in belong to spark-injector"), "{sentence}");
        assert!(sentence.contains("choose another name"), "{sentence}");
    }
    // The API server makes up the rest of the name after it has looked at the request's.
    let mut generated = named("fence-in", "x");
    generated["metadata"] = json!({"namespace": "fence-in", "generateName": "spark-injector-"});
    refused(&member.create(&generated));
    member.create(&named("fence-in", "injector")).expect(201);
    member.create(&named("fence-out", "spark-injector-a-0")).expect(201);

    let ours = named("fence-in", "spark-injector-a-1");
    us.create(&ours).expect(201);
    refused(&member.delete(&ours));
    let all = "/api/v1/namespaces/fence-in/secrets";
    let reply = member.send("DELETE", all, "application/json", b"{}".to_vec()).expect("an answer");
    refused(&reply);
    let path = object_path(&ours);
    for change in [
        json!({"data": {"k": "eA=="}}),
        json!({"data": {"more": "eA=="}}),
        json!({"metadata": {"labels": {"a": "b"}}}),
        json!({"metadata": {"ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "0"}]}}),
        // It would stay after its time, and its namespace could not end.
        json!({"metadata": {"finalizers": ["a.b/c"]}}),
    ] {
        refused(&member.patch(&path, MERGE_PATCH, &change));
    }
    // How stored Secrets are encrypted anew: read, and write back.
    let stored = admin.read(&ours).expect(200);
    let body = stored.to_string().into_bytes();
    let reply = admin.send("PUT", &path, "application/json", body).expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text);
    us.delete(&ours).expect(200);
}

#[test]
fn a_namespace_ends_with_the_secrets_in_it() {
    let (admin, us) = (cluster().admin(), injector());
    let namespace = Namespace::new("fence-ends").opted_in();
    admin.create_namespace(&namespace);
    us.create(&secret("fence-ends", "spark-injector-a-1", &[("k", b"v")])).expect(201);
    admin.delete(&namespace.object()).expect(200);
    eventually(|| admin.get("/api/v1/namespaces/fence-ends"), 404);
}

#[test]
fn what_our_account_makes_carries_files_and_no_rights() {
    let (admin, us) = (cluster().admin(), injector());
    admin.create_namespace(&Namespace::new("fence-types").opted_in());
    let mut token = secret("fence-types", "spark-injector-token", &[]);
    token["type"] = "kubernetes.io/service-account-token".into();
    token["metadata"]["annotations"] = json!({"kubernetes.io/service-account.name": "default"});
    let sentence = refused(&us.create(&token));
    assert!(sentence.contains("kubernetes.io/service-account-token"), "{sentence}");
    let mut pull = secret("fence-types", "spark-injector-pull", &[(".dockerconfigjson", b"{}")]);
    pull["type"] = "kubernetes.io/dockerconfigjson".into();
    us.create(&pull).expect(201);

    let sentence = refused(&us.create(&secret("fence-types", "other", &[])));
    assert!(sentence.contains("not fence-types/other"), "{sentence}");
    let source = secret(OWN, "spark-injector-source", &[]);
    refused(&us.create(&source));
    admin.create(&source).expect(201);
    refused(&us.delete(&source));
}

#[test]
fn our_account_changes_the_bundle_and_nothing_else() {
    let us = injector();
    let pem = base64(cluster().authority().certificate());
    let bundle = json!([{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": pem},
                        {"op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": pem}]);
    us.patch(CONFIGURATION, JSON_PATCH, &bundle).expect(200);

    let replace = |path: &str, value: Value| json!([{"op": "add", "path": path, "value": value}]);
    let changes = [
        replace("/webhooks/0/clientConfig/service/name", json!("other")),
        replace("/webhooks/0/clientConfig/service/path", json!("/other")),
        replace("/webhooks/0/clientConfig/service/port", json!(8443)),
        replace("/webhooks/1/failurePolicy", json!("Fail")),
        replace("/webhooks/0/timeoutSeconds", json!(30)),
        replace("/webhooks/0/rules/0/resources", json!(["secrets"])),
        replace("/webhooks/0/rules/0/operations", json!(["*"])),
        replace("/webhooks/0/rules/0/scope", json!("*")),
        replace("/webhooks/0/namespaceSelector", json!({})),
        replace("/webhooks/1/namespaceSelector/matchLabels", json!({})),
        replace("/webhooks/0/objectSelector", json!({"matchLabels": {"a": "b"}})),
        replace("/webhooks/0/matchConditions", json!([])),
        replace("/webhooks/1/matchConditions/0/expression", json!("true")),
        replace("/webhooks/0/matchPolicy", json!("Exact")),
        replace("/webhooks/0/reinvocationPolicy", json!("Never")),
        replace("/webhooks/0/sideEffects", json!("NoneOnDryRun")),
        replace("/webhooks/0/name", json!("other.spark-injector.io")),
        replace("/metadata/labels/a", json!("b")),
        replace("/metadata/annotations/a", json!("b")),
        replace("/metadata/finalizers", json!(["a.b/c"])),
        json!([{"op": "remove", "path": "/webhooks/1"}]),
        json!([{"op": "copy", "from": "/webhooks/0", "path": "/webhooks/-"},
               {"op": "add", "path": "/webhooks/2/name", "value": "third.spark-injector.io"}]),
    ];
    for change in changes {
        let reply = us.patch(CONFIGURATION, JSON_PATCH, &change);
        assert_eq!(reply.status, 403, "{change}: {}", reply.text);
        assert!(refused(&reply).contains("nothing but clientConfig.caBundle"), "{change}");
    }
    assert_eq!(us.send("DELETE", CONFIGURATION, "", Vec::new()).expect("an answer").status, 403);
    // Whoever runs the cluster goes on as before.
    cluster()
        .admin()
        .patch(CONFIGURATION, JSON_PATCH, &replace("/metadata/annotations/a", json!("b")))
        .expect(200);
    cluster()
        .admin()
        .patch(CONFIGURATION, JSON_PATCH, &json!([{"op": "remove", "path": "/metadata/annotations/a"}]))
        .expect(200);
}

#[test]
fn the_switches_of_a_namespace_are_for_the_owners_of_profiles() {
    let admin = cluster().admin();
    let namespaces = json!({"apiGroups": [""], "resources": ["namespaces", "namespaces/status", "namespaces/finalize"],
                            "verbs": ["create", "get", "update", "patch"]});
    grant(admin, "tenant", &json!([namespaces]));
    let profiles =
        json!({"apiGroups": ["spark-injector.io"], "resources": ["sparkprofiles"], "verbs": ["update"]});
    grant(admin, "owner", &json!([namespaces, profiles]));
    let (tenant, owner) = (cluster().as_user("tenant", None), cluster().as_user("owner", None));
    eventually(|| tenant.get("/api/v1/namespaces/default"), 200);
    eventually(|| owner.get("/api/v1/namespaces/default"), 200);

    let switches = [
        json!({"labels": {"spark-injector.io/inject": "enabled"}}),
        json!({"labels": {"spark-injector.io/isolate": "enabled"}}),
        json!({"labels": {"spark-injector.io/backstop": "disabled"}}),
        // What the selector of a profile may ask for.
        json!({"labels": {"spark-injector.io/team": "enabled"}}),
        json!({"annotations": {"scheduler.alpha.kubernetes.io/node-selector": "pool=b"}}),
    ];
    for (index, metadata) in switches.iter().enumerate() {
        let mut object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        object["metadata"]["name"] = format!("switches-{index}").into();
        refused(&tenant.create(&object));
        owner.create(&object).expect(201);
        let path = object_path(&object);
        let other: Value =
            serde_json::from_str(&metadata.to_string().replace("abled", "other")).expect("JSON");
        let none: Value = serde_json::from_str(
            &metadata
                .to_string()
                .replace("\"enabled\"", "null")
                .replace("\"disabled\"", "null")
                .replace("\"pool=b\"", "null"),
        )
        .expect("JSON");
        for sub in ["", "/status"] {
            for change in [&other, &none] {
                if change == metadata {
                    continue;
                }
                let reply = tenant.patch(&format!("{path}{sub}"), MERGE_PATCH, &json!({"metadata": change}));
                let sentence = refused(&reply);
                let key =
                    metadata.as_object().and_then(|kinds| kinds.values().next()?.as_object()?.keys().next());
                assert!(sentence.starts_with(key.expect("a key").as_str()), "{sentence}");
                assert!(sentence.contains("ask the owner of the platform"), "{sentence}");
            }
        }
        // Every other change is the tenant's own affair, and the value itself may be repeated.
        let same = json!({"metadata": metadata});
        tenant.patch(&path, MERGE_PATCH, &json!({"metadata": {"labels": {"a": "b"}}})).expect(200);
        tenant.patch(&path, MERGE_PATCH, &same).expect(200);
        owner.patch(&path, MERGE_PATCH, &json!({"metadata": none})).expect(200);
    }
    let plain = Namespace::new("switches-none").object();
    tenant.create(&plain).expect(201);
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
