//! What the API server fills in between two calls: pkg/apis/core/v1/defaults.go of Kubernetes, and the defaults that its
//! types declare.

use serde_json::{Map, Value};

use crate::admit::quantity;

/// Defaults that depend on the name of a field alone, at any depth.
pub(super) fn default_everywhere(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match (key.as_str(), &mut *value) {
                    ("limits" | "requests", Value::Object(amounts)) => {
                        amounts.values_mut().for_each(quantity::normalise_resource);
                    }
                    ("divisor" | "sizeLimit", amount) => quantity::normalise(amount),
                    ("fieldRef", Value::Object(field)) => set_default(field, "apiVersion", "v1"),
                    ("resourceFieldRef", Value::Object(field)) => {
                        set_default(field, "divisor", "0");
                        default_everywhere(value);
                    }
                    ("serviceAccountToken", Value::Object(token)) => {
                        set_default(token, "expirationSeconds", 3600);
                    }
                    ("httpGet", Value::Object(http)) => {
                        set_default(http, "path", "/");
                        set_default(http, "scheme", "HTTP");
                    }
                    (_, value) => default_everywhere(value),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(default_everywhere),
        _ => {}
    }
}

pub(super) fn default_container(container: &mut Value) {
    let pull_policy = default_pull_policy(container.get("image").and_then(Value::as_str).unwrap_or_default());
    let Some(map) = container.as_object_mut() else {
        return;
    };
    set_default(map, "terminationMessagePath", "/dev/termination-log");
    set_default(map, "terminationMessagePolicy", "File");
    set_default(map, "imagePullPolicy", pull_policy);
    default_requests(map);
    for port in list_mut(map, "ports") {
        default_port(port);
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = map.get_mut(probe).and_then(Value::as_object_mut) {
            for (field, value) in [
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ] {
                // A number that is not a pointer in the API: nought is as if it were absent.
                if probe.get(field).and_then(Value::as_i64) == Some(0) {
                    probe.remove(field);
                }
                set_default(probe, field, value);
            }
        }
    }
}

/// Requests that are not given are copied from the limits.
fn default_requests(container: &mut Map<String, Value>) {
    let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) else {
        return;
    };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else {
        return;
    };
    let requests = resources.entry("requests").or_insert_with(|| Value::Object(Map::new()));
    if let Some(requests) = requests.as_object_mut() {
        for (name, value) in limits {
            set_default(requests, &name, value);
        }
    }
}

/// The API server pulls always where the tag is `latest`, as it is where there is neither a tag nor a digest.
fn default_pull_policy(image: &str) -> &'static str {
    let (image, has_digest) = image.split_once('@').map_or((image, false), |(name, _)| (name, true));
    let name = image.rsplit('/').next().unwrap_or_default();
    match name.split_once(':') {
        Some((_, "latest")) => "Always",
        None if !has_digest => "Always",
        None | Some(_) => "IfNotPresent",
    }
}

pub(super) fn default_port(port: &mut Value) {
    if let Some(port) = port.as_object_mut().filter(|port| port.contains_key("containerPort")) {
        set_default(port, "protocol", "TCP");
    }
}

/// Fields of volume sources that the API server fills in with one and the same text.
const SOURCE_DEFAULTS: [(&str, &str, &str); 10] = [
    ("azureDisk", "cachingMode", "ReadWrite"),
    ("azureDisk", "fsType", "ext4"),
    ("azureDisk", "kind", "Shared"),
    ("hostPath", "type", ""),
    ("iscsi", "iscsiInterface", "default"),
    ("rbd", "keyring", "/etc/ceph/keyring"),
    ("rbd", "pool", "rbd"),
    ("rbd", "user", "admin"),
    ("scaleIO", "fsType", "xfs"),
    ("scaleIO", "storageMode", "ThinProvisioned"),
];

/// Permissions of projected files, 0644.
const DEFAULT_MODE: u32 = 0o644;

pub(super) fn default_volume(volume: &mut Value) {
    let Some(map) = volume.as_object_mut() else { return };
    for kind in ["configMap", "secret", "projected", "downwardAPI"] {
        if let Some(source) = map.get_mut(kind).and_then(Value::as_object_mut) {
            set_default(source, "defaultMode", DEFAULT_MODE);
        }
    }
    for (kind, field, value) in SOURCE_DEFAULTS {
        if let Some(source) = map.get_mut(kind).and_then(Value::as_object_mut) {
            set_default(source, field, value);
        }
    }
    if let Some(image) = map.get_mut("image").and_then(Value::as_object_mut) {
        let reference = image.get("reference").and_then(Value::as_str).unwrap_or_default();
        set_default(image, "pullPolicy", default_pull_policy(reference));
    }
    // A volume without a source is an empty directory.
    if map.keys().eq(["name"]) {
        map.insert("emptyDir".to_owned(), Value::Object(Map::new()));
    }
    if let Some(claim) = map
        .get_mut("ephemeral")
        .and_then(|ephemeral| ephemeral.pointer_mut("/volumeClaimTemplate/spec"))
        .and_then(Value::as_object_mut)
    {
        set_default(claim, "volumeMode", "Filesystem");
    }
}

fn list_mut<'v>(map: &'v mut Map<String, Value>, key: &str) -> impl Iterator<Item = &'v mut Value> {
    map.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

/// An empty text is as unset as an absent one.
fn set_default(map: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    let known = map.entry(key).or_insert(Value::Null);
    if known.is_null() || known == "" {
        *known = value.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_policies_follow_the_tag() {
        assert_eq!(default_pull_policy("a"), "Always");
        assert_eq!(default_pull_policy("r:5000/a"), "Always");
        assert_eq!(default_pull_policy("a:latest"), "Always");
        assert_eq!(default_pull_policy("a:1"), "IfNotPresent");
        assert_eq!(default_pull_policy("a@sha256:00"), "IfNotPresent");
        assert_eq!(default_pull_policy("a:latest@sha256:00"), "Always");
    }
}
