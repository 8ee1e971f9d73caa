//! Nothing outside the plan changes: every field of the pod as it was sent is still there, but for a closed list.

use serde_json::Value;

/// Fields that the API server fills in before us, with what it writes there: they count as unset.
const DEFAULTS: [(&str, &[&str]); 5] = [
    ("/spec/dnsPolicy", &["\"ClusterFirst\"", "\"\""]),
    ("/spec/schedulerName", &["\"default-scheduler\"", "\"\""]),
    ("/spec/serviceAccountName", &["\"default\"", "\"\""]),
    ("/spec/serviceAccount", &["\"default\"", "\"\""]),
    ("/spec/terminationGracePeriodSeconds", &["30"]),
];

/// What changed although nobody said so; empty where everything is as documented.
pub(super) fn lost(sent: &Value, stored: &Value) -> Vec<String> {
    let spark = spark_index(sent);
    let mut lost = Lost { sent, stored, spark: format!("/spec/containers/{spark}"), paths: Vec::new() };
    lost.compare(sent, stored, "");
    for (index, container) in sent["spec"]["containers"].as_array().unwrap().iter().enumerate() {
        if index != spark && stored["spec"]["containers"][index] != *container {
            lost.paths.push(format!("sidecar {index} is not what it was"));
        }
    }
    lost.paths
}

fn spark_index(pod: &Value) -> usize {
    let spark: *const Value = crate::support::spark_of(pod);
    let named = |container: &Value| {
        let name = container["name"].as_str().unwrap_or_default();
        name.starts_with("spark-kubernetes-") || name == "executor"
    };
    let containers = pod["spec"]["containers"].as_array().unwrap();
    let by_argument = containers.iter().position(|container| std::ptr::eq(container, spark));
    let says = containers.iter().position(|container| {
        matches!(
            container.pointer("/args/0").and_then(Value::as_str),
            Some("driver" | "driver-py" | "driver-r" | "executor")
        )
    });
    says.or_else(|| containers.iter().position(named)).or(by_argument).unwrap()
}

struct Lost<'p> {
    sent: &'p Value,
    stored: &'p Value,
    spark: String,
    paths: Vec<String>,
}

impl Lost<'_> {
    fn compare(&mut self, sent: &Value, stored: &Value, path: &str) {
        if sent.is_null() || self.may_change(sent, stored, path) {
            return;
        }
        match (sent, stored) {
            (Value::Object(sent), Value::Object(stored)) => {
                for (key, value) in sent {
                    let at = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
                    match stored.get(key) {
                        Some(stored) => self.compare(value, stored, &at),
                        None if value.is_null() || self.may_vanish(&at) => {}
                        None => self.paths.push(format!("{at} is gone")),
                    }
                }
            }
            (Value::Array(sent), Value::Array(stored)) => self.compare_lists(sent, stored, path),
            _ if sent == stored => {}
            _ => self.paths.push(format!("{path}: {sent} became {stored}")),
        }
    }

    fn compare_lists(&mut self, sent: &[Value], stored: &[Value], path: &str) {
        let is_role = |value: &&Value| path == format!("{}/env", self.spark) && value["name"] == "R";
        let (sent, stored): (Vec<&Value>, Vec<&Value>) = match path {
            "/spec/initContainers" => {
                // Ours and the profile's own stand among them; the pod's keep their order.
                let is_own = |value: &&Value| sent.iter().any(|own| own["name"] == value["name"]);
                (sent.iter().collect(), stored.iter().filter(is_own).collect())
            }
            _ => (
                sent.iter().filter(|value| !is_role(value)).collect(),
                stored.iter().filter(|value| !is_role(value)).collect(),
            ),
        };
        if stored.len() < sent.len() {
            self.paths.push(format!("{path} became shorter"));
        }
        for (index, (sent, stored)) in sent.into_iter().zip(stored).enumerate() {
            self.compare(sent, stored, &format!("{path}/{index}"));
        }
    }

    fn may_change(&self, sent: &Value, stored: &Value, path: &str) -> bool {
        let text = sent.to_string();
        let counts_as_unset =
            DEFAULTS.iter().any(|(field, defaults)| *field == path && defaults.contains(&text.as_str()));
        let class = path == "/spec/priorityClassName" && matches!(sent.as_str(), Some("" | "standard"));
        let network = path == "/spec/hostNetwork" && *sent == false;
        let status = path == "/metadata/annotations/spark-injector.io~1status";
        let affinity = path
            == "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
        let source =
            path.starts_with("/spec/volumes/") && path.ends_with("/emptyDir") && self.is_local_dir(path);
        counts_as_unset
            || class
            || network
            || status
            || affinity
            || source
            || self.is_longer_list(sent, stored, path)
    }

    /// `SPARK_LOCAL_DIRS` may have become longer.
    fn is_longer_list(&self, sent: &Value, stored: &Value, path: &str) -> bool {
        let variable =
            path.strip_suffix("/value").is_some_and(|path| path.starts_with(&format!("{}/env/", self.spark)));
        let (Some(sent), Some(stored)) = (sent.as_str(), stored.as_str()) else { return false };
        variable
            && stored.starts_with(sent)
            && stored.contains("spark-injector") | stored.contains("/scratch")
    }

    fn may_vanish(&self, path: &str) -> bool {
        let changed = |field: &str| self.sent.pointer(field) != self.stored.pointer(field);
        match path {
            "/spec/priority" | "/spec/preemptionPolicy" => changed("/spec/priorityClassName"),
            _ => path.starts_with("/spec/volumes/") && path.ends_with("/emptyDir") && self.is_local_dir(path),
        }
    }

    fn is_local_dir(&self, path: &str) -> bool {
        let name = path.replace("/emptyDir", "/name");
        self.sent
            .pointer(&name)
            .and_then(Value::as_str)
            .is_some_and(|name| name.starts_with("spark-local-dir-"))
    }
}
