//! Any bytes to an answer: no panic, a status from the table, patch and patchType together or not at all, a patch
//! that applies, and nothing left to do after it.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use spark_injector::admit::{self, Answer, Verdict};
use spark_injector::catalog::{
    Catalog, NamespaceInput, ObjectData, ObjectKey, ProfileInput, Settings, Snapshot,
};

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let mut snapshot = Snapshot::default();
    for (name, object) in [("base", base()), ("team-a", team())] {
        snapshot.profiles.push(ProfileInput {
            origin: name.to_owned(),
            object: object.into(),
            delivered: None,
        });
    }
    for name in ["team-a", "etl", "default"] {
        let enabled = |label: &str| (label.to_owned(), "enabled".to_owned());
        let selector = ("scheduler.alpha.kubernetes.io/node-selector".to_owned(), "pool=a".to_owned());
        let namespace = NamespaceInput {
            origin: name.to_owned(),
            labels: ["spark-injector.io/inject", "spark-injector.io/isolate"].map(enabled).into(),
            annotations: [selector].into(),
        };
        snapshot.namespaces.insert(name.to_owned(), namespace.into());
    }
    let key = ObjectKey { namespace: "spark-injector".to_owned(), name: "keytab".to_owned() };
    let data = ObjectData::from([("etl.keytab".to_owned(), vec![5, 2, 0, 255])]);
    snapshot.secrets.insert(key, Ok(data.into()));
    let catalog = Catalog::compile(&snapshot, &Settings::default(), None);
    assert!(catalog.problems().is_empty(), "{:#?}", catalog.problems());
    catalog
});

fn profile(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile", "metadata": { "name": name }, "spec": spec })
}

fn base() -> Value {
    let spec = json!({
        "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
            { "matchExpressions": [{ "key": "disk", "operator": "Exists" }] }] } } },
        "dnsConfig": { "nameservers": ["10.9.9.9"], "searches": ["corp.example"], "options": [{ "name": "ndots", "value": "2" }] },
        "hostAliases": [{ "ip": "10.0.0.1", "hostnames": ["a", "b"] }],
        "tolerations": [{ "key": "dedicated", "operator": "Exists" }],
        "volumes": [{ "name": "shared", "emptyDir": {} }],
        "initContainers": [{ "name": "prepare", "image": "p:1" }],
        "priorityClassName": "p1", "schedulerName": "yunikorn", "securityContext": { "fsGroup": 2000 },
        "containers": [
            { "name": "spark", "env": [{ "name": "A", "value": "b" }], "envFrom": [{ "configMapRef": { "name": "c" } }],
              "resources": { "limits": { "cpu": "4" }, "requests": { "cpu": "500m" } },
              "lifecycle": { "preStop": { "sleep": { "seconds": 1 } } }, "securityContext": { "runAsNonRoot": true },
              "ports": [{ "containerPort": 9999 }], "volumeMounts": [{ "name": "shared", "mountPath": "/shared" }] },
            { "name": "logs", "image": "l:1" },
        ],
    });
    let metadata = json!({ "labels": { "team": "a" }, "annotations": { "a.example/b": "c" } });
    profile(
        "base",
        &json!({ "common": { "template": { "metadata": metadata, "spec": spec } }, "enforce": ["affinity"] }),
    )
}

fn team() -> Value {
    profile(
        "team-a",
        &json!({
            "extends": ["base"],
            "namespaces": { "selector": {} },
            "nodeSelector": { "scope": "AllPods", "allowed": { "pool": ["a", "b"] } },
            "allowOptOut": true,
            "executorRole": { "name": "ROLE", "value": "executor" },
            "localDirs": [{ "hostPath": { "path": "/nvme0" } }, { "hostPath": { "path": "/nvme1" } }],
            "variants": { "p2": { "template": { "spec": { "priorityClassName": "p2" } } } },
            "files": [
                { "mountPath": "/res", "inline": { "krb5.conf": "[libdefaults]\n" } },
                { "mountPath": "/res/keytab", "roles": ["driver", "executor"], "secret": { "name": "keytab" } },
            ],
        }),
    )
}

/// Serde reads a list as the fields of a struct in their order; the API server sends none.
fn is_shaped_like_a_pod(pod: &Value) -> bool {
    let objects = |list: &Value| list.as_array().into_iter().flatten().all(Value::is_object);
    let spec = &pod["spec"];
    let lists = ["containers", "initContainers", "volumes"].iter().all(|field| objects(&spec[field]));
    let inner = spec["containers"].as_array().into_iter().flatten();
    pod["metadata"].is_object()
        && spec.is_object()
        && lists
        && inner
            .into_iter()
            .all(|container| objects(&container["env"]) && objects(&container["volumeMounts"]))
}

/// Holds for any body of a `POST /mutate` or `POST /isolate`.
///
/// # Panics
///
/// Where it does not.
pub fn review(body: &[u8]) {
    answered(body, admit::review, admit::judge);
    answered(body, admit::isolate, admit::judge_isolation);
}

fn answered(body: &[u8], ask: fn(&Catalog, &[u8]) -> Answer, judge: fn(&Catalog, &str, &Value) -> Verdict) {
    let answer = ask(&CATALOG, body);
    assert_eq!(answer.body, ask(&CATALOG, body).body, "same input, same bytes");
    if answer.status != 200 {
        assert!(matches!(answer.status, 400 | 503), "{}", answer.status);
        return;
    }
    let sent: Value = match serde_json::from_slice(body) {
        Ok(sent) => sent,
        // Numbers and depths that a full parse refuses can stand in what is skipped.
        Err(_) => return,
    };
    let answered: Value = serde_json::from_slice(&answer.body.to_vec()).expect("an answer is JSON");
    let response = &answered["response"];
    assert_eq!(response["uid"], answer.record.uid.as_str());
    assert_eq!(response.get("patch").is_some(), response.get("patchType").is_some());
    let pod = &sent["request"]["object"];
    let (Some(patch), true) = (response["patch"].as_str(), is_shaped_like_a_pod(pod)) else { return };
    let patch: json_patch::Patch =
        serde_json::from_slice(&STANDARD.decode(patch).expect("base64")).expect("operations");
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &patch).expect("the patch applies");
    let namespace = sent["request"]["namespace"].as_str().unwrap_or_default();
    let second = judge(&CATALOG, namespace, &patched);
    assert_eq!(second.patch, json!([]), "nothing left to do");
    assert_ne!(second.record.outcome.as_str(), "denied", "{}", second.record.message);
}
