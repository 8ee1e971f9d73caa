//! What the injector's account may do, and what it cannot even see by an error message.

use acceptance::client::{Api, Namespace, Reply, config_map, secret};
use acceptance::manifests::{OWN, base, object};
use serde_json::{Value, json};

use crate::world::{CONFIGURATION, cluster, injector};

const CANARY: &str = "Y2FuYXJ5LWtleXRhYg==";
const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// All rules of a role, each as one line of text.
pub(crate) fn rules(role: &Value) -> Vec<String> {
    let rules = role["rules"].as_array().expect("rules").iter();
    let list = |rule: &Value, field: &str| {
        let words = rule[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        words.collect::<Vec<_>>().join(",")
    };
    let line = |rule: &Value| {
        let [groups, resources, names, verbs] =
            ["apiGroups", "resources", "resourceNames", "verbs"].map(|field| list(rule, field));
        let names = if names.is_empty() { names } else { format!(" {names}") };
        format!("{groups}/{resources}{names}: {verbs}")
    };
    rules.map(line).collect()
}

#[test]
fn the_roles_hold_no_more_than_is_needed() {
    let rules = |kind: &str, name: &str| rules(object(base(), kind, name));
    let cluster_wide = [
        "/namespaces: list,watch",
        "spark-injector.io/sparkprofiles: get,list,watch",
        "spark-injector.io/sparkprofiles/status: patch",
        "/secrets: create,delete",
        "admissionregistration.k8s.io/mutatingwebhookconfigurations spark-injector: get,list,watch,patch",
    ];
    assert_eq!(rules("ClusterRole", OWN), cluster_wide);
    let own = [
        "/configmaps,secrets: get,list,watch",
        "/secrets spark-injector-tls: update",
        "/configmaps: create",
        "/configmaps spark-injector-ledger: patch",
        "coordination.k8s.io/leases: create",
        "coordination.k8s.io/leases spark-injector: get,update",
    ];
    assert_eq!(rules("Role", OWN), own);
    assert_eq!(rules("Role", "spark-injector-events"), ["events.k8s.io/events: create,patch"]);

    let bindings = base().iter().filter(|object| object["roleRef"].is_object());
    let account = json!([{"kind": "ServiceAccount", "name": OWN, "namespace": OWN}]);
    assert_eq!(bindings.map(|binding| assert_eq!(binding["subjects"], account)).count(), 3);
    // What people get by aggregation is about profiles and nothing else.
    for name in ["spark-injector-view", "spark-injector-edit"] {
        assert!(
            rules("ClusterRole", name)
                .iter()
                .all(|rule| rule.starts_with("spark-injector.io/sparkprofiles:"))
        );
    }
}

/// What a role cannot say is said by policies that are installed with it, and not only where somebody wants more of them.
#[test]
fn the_account_is_fenced_wherever_it_is_installed() {
    for name in ["spark-injector-other-secrets", "spark-injector-webhook-configuration"] {
        let policy = object(base(), "ValidatingAdmissionPolicy", name);
        assert_eq!(policy["spec"]["failurePolicy"], "Fail");
        let conditions = policy["spec"]["matchConditions"].as_array().expect("conditions");
        let account = format!("request.userInfo.username == 'system:serviceaccount:{OWN}:{OWN}'");
        // Nobody else ever notices it.
        assert_eq!(
            conditions.iter().map(|condition| &condition["expression"]).collect::<Vec<_>>(),
            [&account]
        );
        let binding = object(base(), "ValidatingAdmissionPolicyBinding", name);
        assert_eq!(binding["spec"], json!({"policyName": name, "validationActions": ["Deny"]}));
    }
}

/// Asserts that no part of an answer holds what is in the Secret.
#[track_caller]
fn tells_nothing(what: &str, reply: &Reply) {
    let all = format!("{}{:?}{:?}", reply.text, reply.headers, reply.warnings);
    assert!(!all.contains("Y2FuYXJ5") && !all.contains("canary-keytab"), "{what} tells: {all}");
}

#[test]
fn a_foreign_secret_stays_foreign_by_every_verb_and_in_every_error() {
    let (api, us) = (cluster().admin(), injector());
    for (namespace, opted_in) in [("foreign-plain", false), ("foreign-opted-in", true)] {
        let namespace_object = Namespace::new(namespace);
        api.create_namespace(&if opted_in { namespace_object.opted_in() } else { namespace_object });
        let keytab = secret(namespace, "keytab", &[("password", b"canary-keytab")]);
        let stored = api.create(&keytab).expect(201);
        assert_eq!(stored["data"]["password"], CANARY);

        let collection = format!("/api/v1/namespaces/{namespace}/secrets");
        let path = format!("{collection}/keytab");
        let copy = json!([{"op": "copy", "from": "/data/password", "path": "/metadata/labels"}]);
        let test = json!([{"op": "test", "path": "/data/password", "value": "x"}]);
        let strategic = "application/strategic-merge-patch+json";
        let mut renamed = keytab.clone();
        renamed["metadata"]["name"] = "spark-injector-keytab".into();
        let answers: Vec<(&str, u16, Reply)> = vec![
            ("get", 403, us.get(&path)),
            ("list", 403, us.get(&collection)),
            ("list in all namespaces", 403, us.get("/api/v1/secrets")),
            ("watch", 403, us.get(&format!("{collection}?watch=true&timeoutSeconds=1"))),
            ("update", 403, send(&us, "PUT", &path, &renamed)),
            ("patch that copies", 403, us.patch(&path, JSON_PATCH, &copy)),
            ("patch that tests", 403, us.patch(&path, JSON_PATCH, &test)),
            ("dry run of a patch", 403, us.patch(&format!("{path}?dryRun=All"), JSON_PATCH, &copy)),
            ("merge patch", 403, us.patch(&path, MERGE_PATCH, &json!({"immutable": true}))),
            ("strategic patch", 403, us.patch(&path, strategic, &json!({"type": "x"}))),
            ("apply", 403, apply(&us, &path, &keytab)),
            // An apply to a name of ours is a patch as well.
            ("apply to a new name", 403, apply(&us, &format!("{collection}/spark-injector-x"), &renamed)),
            ("create over it", 403, us.create(&keytab)),
            ("delete", 403, us.delete(&keytab)),
            ("delete all", 403, send(&us, "DELETE", &collection, &json!({}))),
        ];
        for (what, status, reply) in answers {
            tells_nothing(what, &reply);
            assert_eq!(reply.status, status, "{what} in {namespace}: {}", reply.text);
        }
        assert_eq!(api.read(&keytab).expect(200)["data"]["password"], CANARY);
    }
}

/// What is there under a name of ours, whoever made it, is answered with 409 and nothing of its content.
#[test]
fn a_delivered_secret_is_made_and_removed_without_being_read() {
    let (api, us) = (cluster().admin(), injector());
    let namespace = "delivered";
    api.create_namespace(&Namespace::new(namespace).opted_in());
    let mut ours =
        secret(namespace, "spark-injector-team-0123456789abcdef", &[("password", b"canary-keytab")]);
    ours["immutable"] = true.into();

    us.create(&ours).expect(201);
    let again = us.create(&ours);
    assert_eq!(again.status, 409);
    tells_nothing("create", &again);
    assert_eq!(us.read(&ours).status, 403);
    let gone = us.delete(&ours);
    assert_eq!(gone.status, 200, "{}", gone.text);
    tells_nothing("delete", &gone);
    assert_eq!(us.delete(&ours).status, 404);
    assert_eq!(api.read(&ours).status, 404);
}

#[test]
fn it_reads_what_it_serves_and_writes_what_is_its_own() {
    let (api, us) = (cluster().admin(), injector());
    for path in [
        "/api/v1/namespaces",
        "/apis/spark-injector.io/v1alpha1/sparkprofiles",
        "/api/v1/namespaces/spark-injector/configmaps",
        "/api/v1/namespaces/spark-injector/secrets",
        CONFIGURATION,
        "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations?fieldSelector=metadata.name%3Dspark-injector",
    ] {
        assert_eq!(us.get(path).status, 200, "{path}");
    }
    for path in [
        "/api/v1/pods",
        "/api/v1/namespaces/default/pods",
        "/api/v1/namespaces/default/configmaps",
        "/api/v1/namespaces/kube-system/secrets",
        "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases",
        "/apis/coordination.k8s.io/v1/namespaces/spark-injector/leases",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    ] {
        assert_eq!(us.get(path).status, 403, "{path}");
    }

    let profile = json!({"apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile",
                         "metadata": {"name": "rights"}, "spec": {}});
    assert_eq!(us.create(&profile).status, 403);
    api.create(&profile).expect(201);
    let path = acceptance::client::object_path(&profile);
    assert_eq!(us.patch(&path, MERGE_PATCH, &json!({"spec": {"mode": "Off"}})).status, 403);
    us.patch(&format!("{path}/status"), MERGE_PATCH, &json!({"status": {"revision": "0123456789abcdef"}}))
        .expect(200);

    let tls = secret(OWN, "spark-injector-tls", &[("ca.crt", b"x")]);
    us.create(&tls).expect(201);
    let renewed = secret(OWN, "spark-injector-tls", &[("ca.crt", b"y")]);
    send(&us, "PUT", &acceptance::client::object_path(&tls), &renewed).expect(200);
    let source = config_map(OWN, "a-source", &[("k", "v")]);
    api.create(&source).expect(201);
    assert_eq!(us.delete(&source).status, 403);

    let lease = |name: &str| {
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
               "metadata": {"name": name, "namespace": OWN}, "spec": {"holderIdentity": "a"}})
    };
    let mut renewed = us.create(&lease(OWN)).expect(201);
    renewed["spec"]["holderIdentity"] = "b".into();
    send(&us, "PUT", &acceptance::client::object_path(&lease(OWN)), &renewed).expect(200);
    api.create(&lease("another")).expect(201);
    assert_eq!(us.read(&lease("another")).status, 403);

    let event = |namespace: &str| {
        json!({"apiVersion": "events.k8s.io/v1", "kind": "Event",
               "metadata": {"name": "spark-injector.1", "namespace": namespace},
               "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Normal", "reason": "Ready", "action": "Compile",
               "reportingController": "spark-injector", "reportingInstance": "a",
               "regarding": {"kind": "SparkProfile", "name": "rights", "apiVersion": "spark-injector.io/v1alpha1"}})
    };
    us.create(&event("default")).expect(201);
    assert_eq!(us.create(&event("kube-system")).status, 403);
}

fn send(api: &Api, method: &str, path: &str, body: &Value) -> Reply {
    api.send(method, path, "application/json", body.to_string().into_bytes()).expect("an answer")
}

fn apply(api: &Api, path: &str, body: &Value) -> Reply {
    api.patch(&format!("{path}?fieldManager=us&force=true"), "application/apply-patch+yaml", body)
}
