//! Any text of a folder of profiles, namespaces and sources to a catalog, and Spark's pods through it: no panic, no
//! content of a Secret in what is said, the same catalog by increments as from nothing, and patches that apply once.

use std::sync::LazyLock;

use serde_json::{Value, json};
use spark_injector::admit;
use spark_injector::catalog::{Catalog, NamespaceInput, ObjectData, ObjectKey, Problem, Settings, Snapshot};
use spark_injector::sources::collected::collect;
use spark_injector::sources::document::{self, Format};

const OWN: &str = "spark-injector";
const NAMESPACE: &str = "team-a";
/// In every Secret and `ConfigMap` that the text may refer to, and in no message.
const CANARY: &str = "canary-5e1f";

static PODS: LazyLock<[Value; 2]> = LazyLock::new(|| [pod("driver"), pod("executor")]);

/// Holds for any bytes as the text of a YAML or JSON file of inputs.
///
/// # Panics
///
/// Where it does not.
pub fn profile(text: &[u8]) {
    let Ok(documents) = document::parse(text, Format::of_text(text)) else { return };
    let mut load = collect(&documents, OWN);
    let told = lines(load.problems.iter().chain(&load.warnings));
    surround(&mut load.snapshot);
    let settings = Settings::default();
    let catalog = Catalog::compile(&load.snapshot, &settings, None);
    let again = Catalog::compile(&load.snapshot, &settings, Some(&catalog));
    assert_eq!(messages(&catalog), messages(&again), "an unchanged input changes nothing");
    let told = told + &messages(&catalog);
    if !std::str::from_utf8(text).is_ok_and(|text| text.contains(CANARY)) {
        assert!(!told.contains(CANARY), "{told}");
    }
    for pod in &*PODS {
        let verdict = admit::judge(&catalog, NAMESPACE, pod);
        let other = admit::judge(&again, NAMESPACE, pod);
        assert_eq!(verdict.patch, other.patch, "the same catalog by increments as from nothing");
        assert!(!verdict.record.message.contains(CANARY), "{}", verdict.record.message);
        applies_once(&catalog, pod, &verdict.patch);
    }
}

/// What is around the text: a namespace that opted in, and the sources that the seeds refer to.
fn surround(snapshot: &mut Snapshot) {
    let namespace = NamespaceInput {
        origin: NAMESPACE.to_owned(),
        labels: [("spark-injector.io/inject".to_owned(), "enabled".to_owned())].into(),
        annotations: [].into(),
    };
    snapshot.namespaces.entry(NAMESPACE.to_owned()).or_insert_with(|| namespace.into());
    let key = || ObjectKey { namespace: OWN.to_owned(), name: "source".to_owned() };
    let data = || Ok(ObjectData::from([("file".to_owned(), CANARY.as_bytes().to_vec())]).into());
    snapshot.config_maps.entry(key()).or_insert_with(data);
    snapshot.secrets.entry(key()).or_insert_with(data);
}

fn messages(catalog: &Catalog) -> String {
    lines(catalog.problems().iter().chain(&catalog.warnings()))
}

fn lines<'p>(problems: impl Iterator<Item = &'p Problem>) -> String {
    problems.map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn applies_once(catalog: &Catalog, pod: &Value, patch: &Value) {
    let patch: json_patch::Patch = serde_json::from_value(patch.clone()).expect("operations");
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &patch).expect("the patch applies");
    let second = admit::judge(catalog, NAMESPACE, &patched);
    assert_eq!(second.patch, json!([]), "nothing left to do");
    if !patch.is_empty() {
        assert_ne!(second.record.outcome.as_str(), "denied", "{}", second.record.message);
    }
}

fn pod(role: &str) -> Value {
    let name = format!("spark-kubernetes-{role}");
    json!({
        "metadata": { "name": role, "labels": { "spark-role": role, "spark-app-selector": "spark-1" } },
        "spec": {
            "containers": [{
                "name": name, "image": "spark:4", "args": [role],
                "env": [{ "name": "SPARK_LOCAL_DIRS", "value": "/var/data/spark-0" }],
                "volumeMounts": [{ "name": "spark-local-dir-1", "mountPath": "/var/data/spark-0" }],
            }],
            "volumes": [{ "name": "spark-local-dir-1", "emptyDir": {} }],
        },
    })
}
