//! Whether a stored pod is what `inject` printed and nothing else but the API server's defaults. Every default is
//! listed with its value: what is not on the list is a difference.

use serde_json::{Value, json};

use crate::world::items;

/// Any value will do.
const ANY: Value = Value::Null;

/// What the API server may add, by path; `*` is any index, and any name of a list of containers or volumes.
fn defaults() -> Vec<(&'static str, Value)> {
    vec![
        ("metadata.creationTimestamp", ANY),
        ("metadata.generation", json!(1)),
        ("metadata.managedFields", ANY),
        ("metadata.name", ANY),
        ("metadata.namespace", ANY),
        ("metadata.resourceVersion", ANY),
        ("metadata.uid", ANY),
        ("status", ANY),
        ("spec.dnsPolicy", json!("ClusterFirst")),
        ("spec.enableServiceLinks", json!(true)),
        ("spec.preemptionPolicy", json!("PreemptLowerPriority")),
        ("spec.priority", ANY),
        ("spec.schedulerName", json!("default-scheduler")),
        ("spec.securityContext", json!({})),
        ("spec.serviceAccount", json!("default")),
        ("spec.serviceAccountName", json!("default")),
        ("spec.terminationGracePeriodSeconds", json!(30)),
        ("spec.*.*.imagePullPolicy", json!("IfNotPresent")),
        ("spec.*.*.ports.*.protocol", json!("TCP")),
        ("spec.*.*.resources", json!({})),
        ("spec.*.*.terminationMessagePath", json!("/dev/termination-log")),
        ("spec.*.*.terminationMessagePolicy", json!("File")),
        ("spec.volumes.*.configMap.defaultMode", json!(420)),
        ("spec.volumes.*.secret.defaultMode", json!(420)),
        ("spec.volumes.*.hostPath.type", json!("")),
    ]
}

/// The differences, one line each; none where `stored` is `expected` with defaults.
pub(crate) fn differences(expected: &Value, stored: &Value) -> Vec<String> {
    let mut comparison = Comparison { defaults: defaults(), found: Vec::new() };
    comparison.value("", expected, stored);
    comparison.found
}

struct Comparison {
    defaults: Vec<(&'static str, Value)>,
    found: Vec<String>,
}

impl Comparison {
    fn value(&mut self, path: &str, expected: &Value, stored: &Value) {
        match (expected, stored) {
            (Value::Object(wanted), Value::Object(known)) => {
                for (key, value) in wanted {
                    let at = join(path, key);
                    match known.get(key) {
                        Some(stored) => self.value(&at, value, stored),
                        // What is empty or false is not stored.
                        None if is_empty(value) => {}
                        None => self.found.push(format!("{at}: expected {value}, nothing is stored")),
                    }
                }
                for (key, value) in known.iter().filter(|(key, _)| !wanted.contains_key(*key)) {
                    let at = join(path, key);
                    if !self.is_default(&at, value) && !is_added_list(&at, value) {
                        self.found.push(format!("{at}: stored {value}, nothing is expected"));
                    }
                }
            }
            (Value::Array(wanted), Value::Array(known)) => {
                let known: Vec<&Value> = known.iter().filter(|item| !is_added(path, item)).collect();
                if wanted.len() != known.len() {
                    self.found.push(format!("{path}: expected {expected}, stored {known:?}"));
                    return;
                }
                for (index, (wanted, known)) in wanted.iter().zip(known).enumerate() {
                    self.value(&join(path, &index.to_string()), wanted, known);
                }
            }
            _ if expected == stored => {}
            _ => self.found.push(format!("{path}: expected {expected}, stored {stored}")),
        }
    }

    fn is_default(&self, path: &str, value: &Value) -> bool {
        let fits = |pattern: &str| {
            let (pattern, path) = (pattern.split('.'), path.split('.'));
            pattern.clone().count() == path.clone().count()
                && pattern.zip(path).all(|(part, name)| part == "*" || part == name)
        };
        self.defaults.iter().any(|(pattern, default)| (*default == ANY || default == value) && fits(pattern))
    }
}

/// A list that holds nothing but what the API server adds.
fn is_added_list(path: &str, value: &Value) -> bool {
    value.is_array() && items(value).iter().all(|item| is_added(path, item))
}

/// The token of the service account, and the tolerations that every pod is given.
fn is_added(path: &str, item: &Value) -> bool {
    let is_token = || item["name"].as_str().is_some_and(|name| name.starts_with("kube-api-access-"));
    match path.rsplit('.').next() {
        Some("volumes") => is_token() && item["projected"].is_object(),
        Some("volumeMounts") => {
            is_token() && item["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
        }
        Some("tolerations") => ["not-ready", "unreachable"].iter().any(|state| {
            *item
                == json!({"key": format!("node.kubernetes.io/{state}"), "operator": "Exists",
                            "effect": "NoExecute", "tolerationSeconds": 300})
        }),
        _ => false,
    }
}

fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(false))
        || value.as_str().is_some_and(str::is_empty)
        || value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty)
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[test]
fn the_comparison_takes_defaults_and_nothing_else() {
    let expected = json!({"spec": {"nodeSelector": {}, "containers": [{"name": "c", "image": "i:1"}]}});
    let stored = json!({
        "metadata": {"uid": "u"},
        "spec": {"dnsPolicy": "ClusterFirst", "containers": [{"name": "c", "image": "i:1", "resources": {},
            "volumeMounts": [{"name": "kube-api-access-abcde", "readOnly": true,
                              "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]}]},
    });
    let found = differences(&expected, &stored);
    assert_eq!(found, ["metadata: stored {\"uid\":\"u\"}, nothing is expected"]);

    let mut other = stored.clone();
    other["spec"]["dnsPolicy"] = "None".into();
    other["spec"]["containers"][0]["image"] = "i:2".into();
    other["spec"]["containers"][0]["env"] = json!([{"name": "X", "value": "1"}]);
    assert_eq!(differences(&expected, &other).len(), 4, "{:?}", differences(&expected, &other));
}
