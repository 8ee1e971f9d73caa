//! Inputs: reviews as a real API server sent them, profiles with a payload of a chosen size.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use spark_injector::catalog::{Catalog, NamespaceInput, ProfileInput, Settings, Snapshot};

/// An executor of Spark 3.5, byte for byte as kube-apiserver 1.36 sent it.
const EXECUTOR: &[u8] = include_bytes!("../../reviews/executor.json");

/// Encoded bytes of the small and of the large payload: an answer of 6 KB and one of 200 KB.
pub(crate) const SMALL: usize = 4 * 1024;
pub(crate) const LARGE: usize = 150 * 1000;

/// A namespace that has not opted in.
pub(crate) const QUIET: &str = "quiet";

/// Files beyond this are split over several variables.
const FILE_BYTES: usize = 60_000;

/// The review of an executor in this namespace.
pub(crate) fn review(namespace: &str) -> Vec<u8> {
    review_with(namespace, |_| {})
}

/// The review of an executor with so many more environment variables.
pub(crate) fn review_with_env(namespace: &str, variables: usize) -> Vec<u8> {
    review_with(namespace, |env| {
        for index in 0..variables {
            let value = "-Dspark.driver.extraJavaOptions=--add-opens=java.base/java.net=ALL-UNNAMED";
            env.push(json!({ "name": format!("SPARK_JAVA_OPT_{}", 1000 + index), "value": value }));
        }
    })
}

/// The review of an executor that has about so many bytes.
pub(crate) fn review_of_size(namespace: &str, bytes: usize) -> Vec<u8> {
    let (none, some) = (review(namespace).len(), review_with_env(namespace, 100).len());
    let variables = bytes.saturating_sub(none) * 100 / (some - none);
    review_with_env(namespace, variables)
}

/// The largest number of entries that an API server takes in one pod: a million tolerations in 3 MB.
pub(crate) fn review_of_many_entries(namespace: &str) -> Vec<u8> {
    changed(namespace, |spec| spec["tolerations"] = vec![json!({}); 1_000_000].into())
}

fn review_with(namespace: &str, change: impl FnOnce(&mut Vec<Value>)) -> Vec<u8> {
    changed(namespace, |spec| change(spec["containers"][0]["env"].as_array_mut().expect("an environment")))
}

fn changed(namespace: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut review: Value = serde_json::from_slice(EXECUTOR).expect("a review");
    review["request"]["namespace"] = namespace.into();
    review["request"]["object"]["metadata"]["namespace"] = namespace.into();
    change(&mut review["request"]["object"]["spec"]);
    serde_json::to_vec(&review).expect("JSON")
}

/// A profile for one namespace: files of so many encoded bytes in the pod, and what a platform usually adds.
pub(crate) fn profile(name: &str, claim: &Value, payload: usize) -> Value {
    let mut files = serde_json::Map::new();
    let mut left = payload / 4 * 3;
    // A handful of files, as in a configuration directory.
    let one = (left / 4).clamp(1, FILE_BYTES);
    while left > 0 {
        let bytes = left.min(one);
        files.insert(format!("file-{}.properties", files.len()), noise(bytes, files.len()).into());
        left -= bytes;
    }
    json!({
        "apiVersion": "spark-injector.io/v1alpha1",
        "kind": "SparkProfile",
        "metadata": { "name": name },
        "spec": {
            "namespaces": claim,
            "delivery": "Env",
            "nodeSelector": { "default": { "pool": "spark" } },
            "files": [{ "mountPath": "/opt/hadoop-conf", "inline": files }],
            "executorRole": { "name": "MY_PROJECT_EXECUTOR", "value": "true" },
            "common": { "template": {
                "metadata": { "labels": { "platform": "spark" } },
                "spec": {
                    "dnsConfig": { "options": [{ "name": "ndots", "value": "2" }] },
                    "hostAliases": [{ "ip": "10.1.2.3", "hostnames": ["nn1.example.com", "nn1"] }],
                    "tolerations": [
                        { "key": "dedicated", "operator": "Equal", "value": "spark", "effect": "NoSchedule" },
                    ],
                    "containers": [
                        { "name": "spark", "env": [{ "name": "HADOOP_USER_NAME", "value": "etl" }] },
                    ],
                },
            } },
        },
    })
}

/// Text that no compression halves: 64 letters, seemingly at random, always the same.
pub(crate) fn noise(bytes: usize, seed: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ (u64::try_from(seed).unwrap_or_default() + 1);
    let mut text = String::with_capacity(bytes);
    for _ in 0..bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push(char::from(LETTERS[usize::try_from(state >> 58).unwrap_or_default()]));
    }
    text
}

/// The claim of one namespace by name.
pub(crate) fn only(namespace: &str) -> Value {
    json!({ "names": [namespace] })
}

/// A snapshot of these profiles and of namespaces that have opted in, beside one that has not.
pub(crate) fn snapshot(
    profiles: Vec<Value>,
    namespaces: impl IntoIterator<Item = (String, String)>,
) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (index, object) in profiles.into_iter().enumerate() {
        snapshot.profiles.push(ProfileInput {
            origin: format!("profile {index}"),
            object: object.into(),
            delivered: None,
        });
    }
    for (name, group) in namespaces {
        let labels = labels(&group).into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        let input =
            NamespaceInput { origin: String::new(), labels: labels.collect(), annotations: BTreeMap::new() };
        snapshot.namespaces.insert(name, input.into());
    }
    snapshot.namespaces.insert(QUIET.to_owned(), NamespaceInput::default().into());
    snapshot
}

fn labels(group: &str) -> [(&str, &str); 2] {
    [("spark-injector.io/inject", "enabled"), ("group", group)]
}

/// A catalog in which namespace `team-a` gets a payload of so many encoded bytes.
pub(crate) fn catalog(payload: usize) -> Catalog {
    let profiles = vec![profile("team-a", &only("team-a"), payload)];
    let snapshot = snapshot(profiles, [("team-a".to_owned(), "a".to_owned())]);
    let catalog = Catalog::compile(&snapshot, &Settings::default(), None);
    let problems: Vec<String> = catalog.problems().iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "the profile has mistakes: {problems:?}");
    catalog
}

/// Profiles that claim groups of namespaces, and so many namespaces spread over them.
pub(crate) fn groups(namespaces: usize, profiles: usize) -> impl Iterator<Item = (String, String)> {
    (0..namespaces).map(move |index| (format!("team-{index}"), format!("g{}", index % profiles)))
}

/// The claim of a group.
pub(crate) fn group(index: usize) -> Value {
    json!({ "selector": { "matchLabels": { "group": format!("g{index}") } } })
}

/// Writes inputs as `serve --from` reads them. JSON is YAML.
pub(crate) fn write_inputs(
    directory: &Path,
    profiles: &[Value],
    namespaces: impl Iterator<Item = (String, String)>,
) {
    write_profiles(directory, profiles);
    let mut text = String::new();
    for (name, group) in namespaces {
        let labels: serde_json::Map<String, Value> =
            labels(&group).into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } });
        let _ = write!(text, "---\n{object}\n");
    }
    std::fs::write(directory.join("namespaces.yaml"), text).expect("namespaces");
}

/// Writes profiles, each into its file, whole at any moment.
pub(crate) fn write_profiles(directory: &Path, profiles: &[Value]) {
    for (index, profile) in profiles.iter().enumerate() {
        let (new, file) = (directory.join(".new"), directory.join(format!("profile-{index}.yaml")));
        std::fs::write(&new, profile.to_string()).expect("a profile");
        std::fs::rename(new, file).expect("a profile");
    }
}
