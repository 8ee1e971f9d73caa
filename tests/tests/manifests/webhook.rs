//! Which pods the API server asks about, and how.

use std::collections::BTreeMap;
use std::time::Duration;

use acceptance::client::Namespace;
use acceptance::cluster::Cluster;
use acceptance::manifests::{OWN, base, object};
use acceptance::process::wait_until;
use acceptance::recorder::Recorder;
use base64::Engine as _;
use serde_json::{Value, json};

const MIRROR: &str = "kubernetes.io/config.mirror";

fn entries() -> &'static [Value] {
    let configuration = object(base(), "MutatingWebhookConfiguration", OWN);
    configuration["webhooks"].as_array().expect("webhooks")
}

/// Whether a label selector selects; operators that are not used here are unknown.
fn selects(selector: &Value, labels: &BTreeMap<&str, &str>) -> bool {
    let exact = selector["matchLabels"].as_object().into_iter().flatten();
    let equal = |(key, value): (&String, &Value)| labels.get(key.as_str()).copied() == value.as_str();
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    let holds = |expression: &Value| {
        assert_eq!(expression["operator"], "NotIn", "{expression}");
        let label = labels.get(expression["key"].as_str().expect("a key"));
        let values = expression["values"].as_array().expect("values");
        !values.iter().any(|value| label.copied() == value.as_str())
    };
    exact.into_iter().all(equal) && expressions.into_iter().all(holds)
}

fn labels<'l>(name: &'l str, more: &[(&'l str, &'l str)]) -> BTreeMap<&'l str, &'l str> {
    [("kubernetes.io/metadata.name", name)].iter().chain(more).copied().collect()
}

#[test]
fn it_is_about_the_creation_of_pods_and_nothing_else() {
    let pods = json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                       "resources": ["pods"], "scope": "Namespaced"}]);
    for entry in entries() {
        assert_eq!(entry["rules"], pods);
    }
}

#[test]
fn nothing_is_left_to_a_default() {
    let mut names = Vec::new();
    for entry in entries() {
        names.push(entry["name"].as_str().expect("a name"));
        let expected = [
            ("failurePolicy", json!("Fail")),
            ("matchPolicy", json!("Equivalent")),
            ("reinvocationPolicy", json!("IfNeeded")),
            ("sideEffects", json!("None")),
            ("timeoutSeconds", json!(5)),
            ("admissionReviewVersions", json!(["v1"])),
        ];
        for (field, value) in expected {
            assert_eq!(entry[field], value, "{field}");
        }
        let service = &entry["clientConfig"]["service"];
        let target = object(base(), "Service", service["name"].as_str().expect("a service"));
        assert_eq!(target["metadata"]["namespace"], service["namespace"]);
        assert_eq!(target["spec"]["ports"][0]["port"], service["port"]);
        assert!(service["path"].is_string() && entry["clientConfig"]["url"].is_null());
        assert!(entry["clientConfig"]["caBundle"].is_null(), "the injector keeps it");
        assert!(entry["objectSelector"].is_null(), "users could dodge it");
    }
    assert_eq!(names, ["pods.spark-injector.io", "isolation.spark-injector.io"]);
    let configuration = object(base(), "MutatingWebhookConfiguration", OWN);
    assert_eq!(configuration["metadata"]["annotations"]["admissions.enforcer/disabled"], "true");
}

#[test]
fn namespaces_are_asked_about_when_they_opted_in_and_never_when_all_depends_on_them() {
    let (inject, isolate) =
        (("spark-injector.io/inject", "enabled"), ("spark-injector.io/isolate", "enabled"));
    let [injection, isolation] = entries() else { panic!("two entries") };
    for (entry, label, other) in [(injection, inject, isolate), (isolation, isolate, inject)] {
        let selector = &entry["namespaceSelector"];
        assert!(selects(selector, &labels("team-a", &[label])));
        assert!(!selects(selector, &labels("team-a", &[])));
        assert!(!selects(selector, &labels("team-a", &[other])));
        assert!(!selects(selector, &labels("team-a", &[(label.0, "disabled")])));
        for name in ["kube-system", "kube-public", "kube-node-lease", OWN] {
            assert!(!selects(selector, &labels(name, &[inject, isolate])), "{name}");
        }
    }
}

/// The API server evaluates the conditions itself. With `Fail`, an expression that fails refuses the pod.
#[test]
fn conditions_hold_for_pods_of_every_shape() {
    let cluster = Cluster::shared();
    let api = cluster.admin();
    let recorder = Recorder::start();
    let mut registration = recorder.registration("conditions").object();
    let endpoint = registration["webhooks"][0]["clientConfig"].clone();
    let mut entries = entries().to_vec();
    for (entry, path) in entries.iter_mut().zip(["mutate", "isolate"]) {
        entry["clientConfig"] = endpoint.clone();
        entry["namespaceSelector"]["matchLabels"] = json!({"acceptance/conditions": path});
    }
    registration["webhooks"] = entries.into();
    api.apply(&registration);

    let pod = |namespace: &str, name: &str, metadata: &Value| {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                             "spec": {"containers": [{"name": "c", "image": "i"}]}});
        pod["metadata"]["namespace"] = namespace.into();
        pod["metadata"]["name"] = name.into();
        if metadata["annotations"][MIRROR].is_string() {
            // Or the pod is invalid.
            pod["spec"]["nodeName"] = "n".into();
        }
        pod
    };
    let spark = json!({"labels": {"spark-role": "executor"}});
    for path in ["mutate", "isolate"] {
        let namespace = format!("conditions-{path}");
        api.create_namespace(&Namespace::new(&namespace).label("acceptance/conditions", path));
        let called = wait_until(Duration::from_secs(10), || {
            api.dry_run(&pod(&namespace, "first", &spark));
            recorder.reviews().iter().any(|review| review["request"]["namespace"] == *namespace).then_some(())
        });
        assert!(called.is_some(), "{path} is not in effect");
    }
    // Metadata, and whether each entry is asked: injection, isolation.
    let cases = [
        (json!({}), false, true),
        (json!({"labels": null, "annotations": null}), false, true),
        (json!({"labels": {}, "annotations": {}}), false, true),
        (json!({"labels": {"a": "b"}, "annotations": {"a": "b"}}), false, true),
        (json!({"labels": {"spark-role": "driver"}}), true, true),
        (json!({"labels": {"spark-role": "executor"}, "annotations": {"a": "b"}}), true, true),
        (json!({"labels": {"spark-role": "driver", "spark-injector.io/inject": "disabled"}}), true, true),
        (json!({"labels": {"spark-role": "other"}}), false, true),
        (json!({"labels": {"spark-role": ""}}), false, true),
        (json!({"annotations": {MIRROR: "x"}}), false, false),
        (json!({"labels": {"spark-role": "driver"}, "annotations": {MIRROR: "y"}}), false, false),
    ];
    for (index, (metadata, injection, isolation)) in cases.into_iter().enumerate() {
        for (path, asked) in [("mutate", injection), ("isolate", isolation)] {
            recorder.clear();
            let reply = api.dry_run(&pod(&format!("conditions-{path}"), &format!("p{index}"), &metadata));
            assert_eq!(reply.status, 201, "{metadata}: {}", reply.text);
            assert_eq!(!recorder.reviews().is_empty(), asked, "{path}: {metadata}");
        }
    }
    api.delete(&registration);
}

/// The bundle is written by the injector; whoever applies the manifests again must not take it away.
#[test]
fn applying_again_keeps_the_bundle() {
    let cluster = Cluster::start();
    let api = cluster.admin();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("webhook.json");
    let configuration = object(base(), "MutatingWebhookConfiguration", OWN);
    std::fs::write(&file, configuration.to_string()).expect("a file");
    let file = file.to_str().expect("a path in UTF-8");
    let bundle = base64::engine::general_purpose::STANDARD.encode(cluster.authority().certificate());
    let patch: Vec<Value> = (0..2)
        .map(|index| {
            json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": bundle})
        })
        .collect();

    for flags in [["apply", "--server-side=false"], ["apply", "--server-side=true"]] {
        let apply = || {
            let output = cluster.kubectl(&[&flags[..], &["-f", file]].concat());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        apply();
        let address = acceptance::client::object_path(configuration);
        api.patch(&address, "application/json-patch+json", &json!(patch)).expect(200);
        apply();
        let body = api.read(configuration).expect(200);
        for entry in body["webhooks"].as_array().expect("webhooks") {
            assert_eq!(entry["clientConfig"]["caBundle"], *bundle, "{flags:?}");
        }
        api.delete(configuration);
    }
}
