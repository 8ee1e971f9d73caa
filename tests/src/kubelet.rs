//! What a kubelet would make of an admitted pod, without a node: the environment of a container, a run of the init
//! container, and which file a container sees at which path. A real node stays the judge of everything else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::client::Api;
use crate::expansion::expand;
use crate::places;
use crate::process::{self, Finished};

/// Our init container.
pub const INIT_CONTAINER: &str = "spark-injector-init";
/// The volume that our files are on.
pub const VOLUME: &str = "spark-injector-files";
/// Where that volume is in the init container, and where the manifest says it is.
pub const TARGET: &str = "/spark-injector";

/// Where Secrets and `ConfigMaps` are found.
pub trait Lookup {
    /// The object of this kind, or nothing.
    fn find(&self, kind: &str, namespace: &str, name: &str) -> Option<Value>;
}

impl Lookup for Api {
    fn find(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let metadata = json!({"namespace": namespace, "name": name});
        let reply = self.read(&json!({"apiVersion": "v1", "kind": kind, "metadata": metadata}));
        (reply.status == 200).then_some(reply.body)
    }
}

/// Objects as they would be applied, for tests without a cluster. One without a namespace is in every namespace.
impl Lookup for [Value] {
    fn find(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let fits = |object: &&Value| {
            let metadata = &object["metadata"];
            object["kind"] == kind
                && metadata["name"] == name
                && metadata["namespace"].as_str().is_none_or(|its| its == namespace)
        };
        self.iter().find(fits).cloned()
    }
}

/// A container or init container of a pod.
///
/// # Panics
/// When there is none of this name.
#[track_caller]
pub fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let spec = &pod["spec"];
    let all = items(&spec["initContainers"]).chain(items(&spec["containers"]));
    all.clone().find(|container| container["name"] == name).unwrap_or_else(|| {
        let names: Vec<_> = all.map(|container| container["name"].clone()).collect();
        panic!("no container {name} among {names:?}")
    })
}

/// The environment that the kubelet would give to a container (without that of Services): `envFrom` first, then
/// each variable in order, which may refer to those before it.
///
/// # Errors
/// What the kubelet would report as `CreateContainerConfigError`.
pub fn environment(
    pod: &Value,
    name: &str,
    lookup: &(impl Lookup + ?Sized),
) -> Result<BTreeMap<String, String>, String> {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or("default");
    let container = container(pod, name);
    let mut result = BTreeMap::new();
    for source in items(&container["envFrom"]) {
        let prefix = source["prefix"].as_str().unwrap_or_default();
        for (kind, reference) in [("ConfigMap", &source["configMapRef"]), ("Secret", &source["secretRef"])] {
            let Some(object) = referenced(reference, kind, namespace, lookup)? else {
                continue;
            };
            for key in object["data"].as_object().into_iter().flat_map(|data| data.keys()) {
                result.insert(format!("{prefix}{key}"), value_of(&object, kind, key)?.unwrap_or_default());
            }
        }
    }
    for variable in items(&container["env"]) {
        let literal = variable["value"].as_str().unwrap_or_default();
        let from = &variable["valueFrom"];
        let value = if !literal.is_empty() {
            Some(expand(literal, |name| result.get(name).cloned()))
        } else if from["configMapKeyRef"].is_object() {
            key_of(&from["configMapKeyRef"], "ConfigMap", namespace, lookup)?
        } else if from["secretKeyRef"].is_object() {
            key_of(&from["secretKeyRef"], "Secret", namespace, lookup)?
        } else if from["fieldRef"].is_object() {
            Some(field(pod, from["fieldRef"]["fieldPath"].as_str().unwrap_or_default())?)
        } else if from.is_object() {
            return Err(format!("{from} is not resolved by this harness"));
        } else {
            Some(String::new())
        };
        if let Some(value) = value {
            result.insert(variable["name"].as_str().unwrap_or_default().to_owned(), value);
        }
    }
    Ok(result)
}

/// Runs the built `init-sync` as the pod's init container says, with exactly this environment. `to` stands for the
/// volume: `--to` says so where the manifest says [`TARGET`].
pub fn run_init_sync(pod: &Value, environment: &BTreeMap<String, String>, to: &Path) -> Finished {
    let container = container(pod, INIT_CONTAINER);
    let mut command = Command::new(places::init_sync());
    command.current_dir(to).env_clear().envs(environment);
    command.args(items(&container["args"]).filter_map(Value::as_str)).arg("--to").arg(to);
    process::run(command, b"", Duration::from_secs(30))
}

/// Where a container sees [`VOLUME`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The path in the container.
    pub path: String,
    /// What is there, given the directory that stands for the volume.
    pub source: PathBuf,
    /// Whether the container may not write.
    pub read_only: bool,
}

/// The mounts of [`VOLUME`] in a container, by path.
pub fn mounts(pod: &Value, name: &str, volume_directory: &Path) -> Vec<Mount> {
    let ours = items(&container(pod, name)["volumeMounts"]).filter(|mount| mount["name"] == VOLUME);
    let mut mounts: Vec<Mount> = ours
        .map(|mount| Mount {
            path: mount["mountPath"].as_str().unwrap_or_default().to_owned(),
            source: volume_directory.join(mount["subPath"].as_str().unwrap_or_default()),
            read_only: mount["readOnly"] == true,
        })
        .collect();
    mounts.sort_by(|one, other| one.path.cmp(&other.path));
    mounts
}

/// The files that a container sees below its mounts of [`VOLUME`], by their path in the container.
pub fn files(pod: &Value, name: &str, volume_directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let sources = file_sources(pod, name, volume_directory).into_iter();
    sources.filter_map(|(path, source)| Some((path, std::fs::read(source).ok()?))).collect()
}

/// Where the files that a container sees lie, by their path in the container. The mount with the longest path wins,
/// as on a node.
pub fn file_sources(pod: &Value, name: &str, volume_directory: &Path) -> BTreeMap<String, PathBuf> {
    let mut seen = BTreeMap::new();
    for mount in mounts(pod, name, volume_directory) {
        // Sorted by path, so an inner mount comes after the one that it lies in, and hides what was there.
        let below = format!("{}/", mount.path.trim_end_matches('/'));
        seen.retain(|path: &String, _| *path != mount.path && !path.starts_with(&below));
        collect(&mount.source, mount.path.trim_end_matches('/'), &mut seen);
    }
    seen
}

fn collect(source: &Path, path: &str, seen: &mut BTreeMap<String, PathBuf>) {
    if source.is_dir() {
        for entry in std::fs::read_dir(source).expect("a readable directory") {
            let entry = entry.expect("an entry");
            collect(&entry.path(), &format!("{path}/{}", entry.file_name().to_string_lossy()), seen);
        }
    } else if source.exists() {
        seen.insert(path.to_owned(), source.to_owned());
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> + Clone {
    list.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn referenced(
    reference: &Value,
    kind: &str,
    namespace: &str,
    lookup: &(impl Lookup + ?Sized),
) -> Result<Option<Value>, String> {
    let Some(name) = reference["name"].as_str() else {
        return Ok(None);
    };
    match lookup.find(kind, namespace, name) {
        None if reference["optional"] != true => Err(format!("{} \"{name}\" not found", kind.to_lowercase())),
        found => Ok(found),
    }
}

fn key_of(
    reference: &Value,
    kind: &str,
    namespace: &str,
    lookup: &(impl Lookup + ?Sized),
) -> Result<Option<String>, String> {
    let Some(object) = referenced(reference, kind, namespace, lookup)? else {
        return Ok(None);
    };
    let key = reference["key"].as_str().unwrap_or_default();
    match value_of(&object, kind, key)? {
        None if reference["optional"] != true => Err(format!(
            "couldn't find key {key} in {kind} {namespace}/{}",
            reference["name"].as_str().unwrap_or("")
        )),
        value => Ok(value),
    }
}

fn value_of(object: &Value, kind: &str, key: &str) -> Result<Option<String>, String> {
    // `stringData` is only in objects that no API server has seen.
    let Some(value) = object["data"][key].as_str() else {
        return Ok(object["stringData"][key].as_str().map(str::to_owned));
    };
    if kind == "ConfigMap" {
        return Ok(Some(value.to_owned()));
    }
    let bytes = BASE64.decode(value).map_err(|error| format!("{key}: {error}"))?;
    // Kubelet and runtime talk protobuf: its strings are UTF-8.
    String::from_utf8(bytes).map(Some).map_err(|_| format!("{key}: not UTF-8"))
}

/// The downward API, with the addresses that a node would have filled in.
fn field(pod: &Value, path: &str) -> Result<String, String> {
    let metadata = &pod["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for map in ["labels", "annotations"] {
        if let Some(key) =
            path.strip_prefix(&format!("metadata.{map}['")).and_then(|rest| rest.strip_suffix("']"))
        {
            return Ok(text(&metadata[map][key]));
        }
    }
    Ok(match path {
        "metadata.name" => text(&metadata["name"]),
        "metadata.namespace" => text(&metadata["namespace"]),
        "metadata.uid" => text(&metadata["uid"]),
        "spec.nodeName" => text(&pod["spec"]["nodeName"]),
        "spec.serviceAccountName" => text(&pod["spec"]["serviceAccountName"]),
        "status.podIP" | "status.podIPs" => "10.244.0.7".to_owned(),
        "status.hostIP" | "status.hostIPs" => "10.200.0.1".to_owned(),
        other => return Err(format!("unsupported fieldPath {other}")),
    })
}
