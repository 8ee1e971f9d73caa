//! Pods as real Spark sent them (`tests/pods/spark-VERSION-ROLE[-VARIANT].json`), and what the controllers of a
//! cluster make of the workloads among them.

use serde_json::{Value, json};

use crate::places;

/// One recorded object.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// The file name without extension.
    pub name: String,
    /// The Spark version, as in `4.3.0`.
    pub version: String,
    /// `driver` or `executor`.
    pub role: String,
    /// What is special about it, as in `kerberos` or `statefulset`; empty for the plain one.
    pub variant: String,
    /// The object as Spark sent it: a Pod, a `StatefulSet` or a Deployment.
    pub object: Value,
}

impl Fixture {
    /// The pod that reaches admission: the recorded one, or the first that the workload's controller would create,
    /// in this namespace.
    pub fn pod(&self, namespace: &str) -> Value {
        let mut pod = pod_of(&self.object);
        pod["metadata"]["namespace"] = namespace.into();
        pod
    }

    /// [`Fixture::pod`] running as the service account `default`, the only one that test namespaces have.
    pub fn pod_as_default(&self, namespace: &str) -> Value {
        let mut pod = self.pod(namespace);
        if let Some(spec) = pod["spec"].as_object_mut() {
            spec.remove("serviceAccount");
            spec.remove("serviceAccountName");
        }
        pod
    }
}

/// All fixtures, by name.
///
/// # Panics
/// When the folder is empty or a file does not follow the naming.
pub fn fixtures() -> Vec<Fixture> {
    let folder = places::repository().join("tests/pods");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found: Vec<Fixture> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let mut parts = name.splitn(4, '-');
            let (Some("spark"), Some(version), Some(role)) = (parts.next(), parts.next(), parts.next())
            else {
                panic!("{name} is not called spark-VERSION-ROLE[-VARIANT]")
            };
            let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
            Fixture {
                version: version.to_owned(),
                role: role.to_owned(),
                variant: parts.next().unwrap_or_default().to_owned(),
                object: serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{name}: {error}")),
                name,
            }
        })
        .collect();
    assert!(!found.is_empty(), "{} holds no pods", folder.display());
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// The fixture of this name, as in `spark-4.3.0-driver`.
///
/// # Panics
/// When there is none.
pub fn fixture(name: &str) -> Fixture {
    fixtures().into_iter().find(|fixture| fixture.name == name).unwrap_or_else(|| panic!("no fixture {name}"))
}

/// The pod itself, or the first pod that the controller of a `StatefulSet` or Deployment would create. Of the
/// template's metadata a controller takes labels, annotations and finalizers, nothing else: the name and owner that
/// Spark writes there never reach a pod.
///
/// # Panics
/// For any other kind.
pub fn pod_of(object: &Value) -> Value {
    let template = &object["spec"]["template"];
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": template["spec"]});
    for key in ["labels", "annotations", "finalizers"] {
        if !template["metadata"][key].is_null() {
            pod["metadata"][key] = template["metadata"][key].clone();
        }
    }
    pod["metadata"]["namespace"] = object["metadata"]["namespace"].clone();
    // Controllers make these from a hash of the template and from what the API server assigns; only their form
    // matters.
    let (hash, uid) = ("7c9d8b6f5", "0f5f3b9e-7c1c-4a43-9d43-5d1c1a0a8f01");
    match object["kind"].as_str() {
        Some("Pod") => return object.clone(),
        Some("StatefulSet") => {
            let first = format!("{name}-0");
            let metadata = &mut pod["metadata"];
            metadata["name"] = first.clone().into();
            metadata["generateName"] = format!("{name}-").into();
            metadata["labels"]["apps.kubernetes.io/pod-index"] = "0".into();
            metadata["labels"]["controller-revision-hash"] = format!("{name}-{hash}").into();
            metadata["labels"]["statefulset.kubernetes.io/pod-name"] = first.clone().into();
            metadata["ownerReferences"] = owner("StatefulSet", name, uid);
            pod["spec"]["hostname"] = first.into();
            if let Some(service) = object["spec"]["serviceName"].as_str() {
                pod["spec"]["subdomain"] = service.into();
            }
        }
        Some("Deployment") => {
            let set = format!("{name}-{hash}");
            let metadata = &mut pod["metadata"];
            metadata["generateName"] = format!("{set}-").into();
            metadata["labels"]["pod-template-hash"] = hash.into();
            metadata["ownerReferences"] = owner("ReplicaSet", &set, uid);
        }
        kind => panic!("no controller known for {kind:?}"),
    }
    pod
}

fn owner(kind: &str, name: &str, uid: &str) -> Value {
    json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid,
            "controller": true, "blockOwnerDeletion": true}])
}
