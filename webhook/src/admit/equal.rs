//! When is what stands in a pod the same as what we would add?
//!
//! Between two calls of one creation the API server fills in defaults, the ServiceAccount plugin mounts its token
//! and LimitRanger adds resources. None of that makes our own addition somebody else's. Everything else does:
//! "already injected" is decided by content, never by a name or an annotation.

mod defaults;

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use self::defaults::{default_container, default_everywhere, default_port, default_volume};
use super::pod::{clean_path, is_below};
use super::quantity;
use crate::api::names::TOKEN_PATH;

/// What is compared: each kind has its own defaults and its own additions by others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A quantity: `1Gi` and `1024Mi` are the same.
    Amount,
    /// An entry of `containers` or `initContainers`.
    Container,
    /// Anything without additions by others: a toleration, a port, a mount, …
    Plain,
    /// An entry of `volumes`.
    Volume,
}

/// Whether `theirs`, found in a pod, is what we would have added as `ours`.
pub fn same(kind: Kind, ours: &Value, theirs: &Value) -> bool {
    if ours == theirs {
        return true;
    }
    if kind == Kind::Plain && differ_in_text(ours, theirs) {
        return false;
    }
    let (ours, theirs) = comparable(kind, ours, theirs);
    ours == theirs
}

/// The fields in which a container differs from what we would add, for messages.
pub fn differing_fields(ours: &Value, theirs: &Value) -> Vec<String> {
    let (ours, theirs) = comparable(Kind::Container, ours, theirs);
    let keys =
        |value: &Value| value.as_object().into_iter().flat_map(Map::keys).cloned().collect::<BTreeSet<_>>();
    let all = &keys(&ours) | &keys(&theirs);
    all.into_iter().filter(|key| ours.get(key) != theirs.get(key)).collect()
}

/// Both sides as they are compared: without what others add, and with what the API server fills in.
fn comparable(kind: Kind, ours: &Value, theirs: &Value) -> (Value, Value) {
    let mut ours = ours.clone();
    let mut theirs = theirs.clone();
    match kind {
        Kind::Container => forget_additions(&mut ours, &mut theirs),
        Kind::Plain => forget_host_port(&ours, &mut theirs),
        Kind::Volume => forget_pull_policy(ours.get_mut("image"), theirs.get_mut("image"), "pullPolicy"),
        Kind::Amount => {}
    }
    for value in [&mut ours, &mut theirs] {
        normalise(kind, value);
    }
    (ours, theirs)
}

/// Whether a text stands in both and is not the same: no default can mend that, and most neighbours in a list differ so.
fn differ_in_text(ours: &Value, theirs: &Value) -> bool {
    ours.as_object().into_iter().flatten().any(|(key, ours)| {
        let theirs = theirs.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        ours.as_str().filter(|text| !text.is_empty()).zip(theirs).is_some_and(|(ours, theirs)| ours != theirs)
    })
}

/// Fills in what the API server would, and drops what means the same as absent.
fn normalise(kind: Kind, value: &mut Value) {
    match kind {
        Kind::Amount => quantity::normalise_resource(value),
        Kind::Container => default_container(value),
        Kind::Volume => default_volume(value),
        Kind::Plain => default_port(value),
    }
    default_everywhere(value);
    prune(value);
}

/// On the network of its node the API server gives every port a host port of the same number. Nought is none.
fn forget_host_port(ours: &Value, theirs: &mut Value) {
    let chosen = ours.get("hostPort").and_then(Value::as_i64).is_some_and(|port| port != 0);
    let Some(map) = theirs.as_object_mut() else { return };
    if !chosen && map.get("hostPort").is_some_and(|port| Some(port) == map.get("containerPort")) {
        map.remove("hostPort");
    }
}

/// Removes what LimitRanger, the ServiceAccount plugin and environment-injecting webhooks add to every container.
///
/// An additional variable cannot change what our init container does: it reads only the names in its manifest.
fn forget_additions(ours: &mut Value, theirs: &mut Value) {
    forget_pull_policy(Some(ours), Some(theirs), "imagePullPolicy");
    for section in ["requests", "limits"] {
        let known = ours.pointer(&format!("/resources/{section}")).and_then(Value::as_object);
        if let Some(map) = theirs.pointer_mut(&format!("/resources/{section}")).and_then(Value::as_object_mut)
        {
            map.retain(|name, _| known.is_some_and(|known| known.contains_key(name)));
        }
    }
    if let Some(mounts) = theirs.get_mut("volumeMounts").and_then(Value::as_array_mut) {
        mounts.retain(|mount| {
            entries(ours, "volumeMounts").any(|ours| concerns(&path_of(mount), &path_of(ours)))
        });
    }
    let is_ours =
        |variable: &Value| entries(ours, "env").any(|ours| ours.get("name") == variable.get("name"));
    if let Some(env) = theirs.get_mut("env").and_then(Value::as_array_mut) {
        env.retain(is_ours);
    }
    // Variables from elsewhere never win over those that a container names.
    if let (None, Some(map)) = (ours.get("envFrom"), theirs.as_object_mut()) {
        map.remove("envFrom");
    }
    for (ours, theirs) in entries(ours, "ports").zip(elements_mut(theirs, "ports")) {
        forget_host_port(ours, theirs);
    }
    // Where we do not say how an image is pulled, anybody may.
    if let (None, Some(map)) = (ours.get("imagePullPolicy"), theirs.as_object_mut()) {
        map.remove("imagePullPolicy");
    }
}

/// The plugin `AlwaysPullImages` decides for every image, whatever was asked for.
fn forget_pull_policy(ours: Option<&mut Value>, theirs: Option<&mut Value>, field: &str) {
    let (ours, theirs) = (ours.and_then(Value::as_object_mut), theirs.and_then(Value::as_object_mut));
    if let (Some(ours), Some(theirs)) = (ours, theirs)
        && theirs.get(field).is_some_and(|policy| policy == "Always")
    {
        ours.remove(field);
        theirs.remove(field);
    }
}

fn elements_mut<'v>(value: &'v mut Value, list: &str) -> impl Iterator<Item = &'v mut Value> {
    value.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Whether a mount at `theirs` could hide what one of ours shows, or stand in its place. A certificate bundle or a token
/// that others mount into every container does neither; the token not even where it lies in ours, as in one of all of
/// `/var/run`: the ServiceAccount plugin puts it into every container that mounts nothing at its very path.
fn concerns(theirs: &str, ours: &str) -> bool {
    let inside = is_below(theirs, ours) && theirs != TOKEN_PATH;
    theirs == ours || inside || is_below(ours, theirs)
}

fn path_of(mount: &Value) -> Cow<'_, str> {
    clean_path(mount.get("mountPath").and_then(Value::as_str).unwrap_or_default())
}

fn entries<'v>(value: &'v Value, list: &str) -> impl Iterator<Item = &'v Value> {
    value.get(list).and_then(Value::as_array).into_iter().flatten()
}

/// Booleans of the pod API whose `false` means the same as absent. (`allowPrivilegeEscalation`, `runAsNonRoot` and
/// `automountServiceAccountToken` are not among them.)
const FALSE_IS_ABSENT: [&str; 8] = [
    "optional",
    "privileged",
    "readOnly",
    "readOnlyRootFilesystem",
    "stdin",
    "stdinOnce",
    "tty",
    "hostNetwork",
];

/// Numbers that the API server does not write back where they are nought. (Most noughts say something.)
const ZERO_IS_ABSENT: [&str; 3] = ["hostPort", "initialDelaySeconds", "partition"];

/// Fields that say something even if they are empty: an empty selector selects everything.
const PRESENCE_COUNTS: [&str; 4] = ["emptyDir", "labelSelector", "namespaceSelector", "podInfoOnMount"];

/// Drops null, empty text, empty lists and empty maps below the top level, except where presence is the meaning.
fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, value| {
                prune(value);
                PRESENCE_COUNTS.contains(&key.as_str())
                    || !(is_empty(value)
                        || *value == false && FALSE_IS_ABSENT.contains(&key.as_str())
                        || *value == 0 && ZERO_IS_ABSENT.contains(&key.as_str()))
            });
        }
        Value::Array(list) => list.iter_mut().for_each(prune),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_of_the_api_server_do_not_make_a_volume_different() {
        let ours = json!({"name": "c", "configMap": {"name": "x"}});
        let theirs = json!({"name": "c", "configMap": {"name": "x", "defaultMode": 420, "optional": false}});
        assert!(same(Kind::Volume, &ours, &theirs));
        assert!(!same(Kind::Volume, &ours, &json!({"name": "c", "configMap": {"name": "y"}})));
        let host = json!({"name": "h", "hostPath": {"path": "/x"}});
        assert!(same(Kind::Volume, &host, &json!({"name": "h", "hostPath": {"path": "/x", "type": ""}})));
        assert!(!same(
            Kind::Volume,
            &host,
            &json!({"name": "h", "hostPath": {"path": "/x", "type": "File"}})
        ));
        assert!(!same(Kind::Volume, &json!({"name": "e", "emptyDir": {}}), &host));
    }

    #[test]
    fn every_source_that_the_api_server_completes_is_completed() {
        for (ours, defaults) in [
            (
                json!({"iscsi": {"targetPortal": "p", "iqn": "q", "lun": 0}}),
                json!({"iscsiInterface": "default"}),
            ),
            (
                json!({"rbd": {"monitors": ["m"], "image": "i"}}),
                json!({"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"}),
            ),
            (
                json!({"azureDisk": {"diskName": "d", "diskURI": "u"}}),
                json!({"cachingMode": "ReadWrite", "fsType": "ext4", "kind": "Shared"}),
            ),
            (
                json!({"scaleIO": {"gateway": "g", "system": "s", "secretRef": {"name": "n"}}}),
                json!({"storageMode": "ThinProvisioned", "fsType": "xfs"}),
            ),
            (json!({"image": {"reference": "r/a:1"}}), json!({"pullPolicy": "IfNotPresent"})),
            (json!({"image": {"reference": "r/a"}}), json!({"pullPolicy": "Always"})),
        ] {
            let defaults = defaults.as_object().unwrap();
            let completed = |value: Option<&str>| {
                let mut theirs = ours.clone();
                let source = theirs.as_object_mut().unwrap().values_mut().next().unwrap();
                for (field, default) in defaults {
                    source[field] = value.map_or_else(|| default.clone(), Value::from);
                }
                theirs
            };
            assert!(same(Kind::Volume, &ours, &completed(None)), "{ours}");
            assert!(!same(Kind::Volume, &ours, &completed(Some("other"))), "{ours}");
        }
        assert!(same(Kind::Volume, &json!({"name": "e"}), &json!({"name": "e", "emptyDir": {}})));
    }

    #[test]
    fn a_container_stays_ours_after_defaulting_token_limits_and_foreign_variables() {
        let ours = json!({"name": "a", "image": "i:1", "env": [{"name": "X", "value": "1"}],
            "resources": {"limits": {"cpu": "1"}}});
        let theirs = json!({"name": "a", "image": "i:1", "imagePullPolicy": "IfNotPresent",
            "env": [{"name": "DD_AGENT_HOST", "value": "h"}, {"name": "X", "value": "1"}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "volumeMounts": [{"name": "kube-api-access-x", "mountPath": TOKEN_PATH, "readOnly": true}]});
        assert!(same(Kind::Container, &ours, &theirs));
    }

    /// As a real API server stored it.
    #[test]
    fn what_is_written_out_and_means_nothing_is_as_if_it_were_absent() {
        let stored = json!({"name": "a", "image": "i:1", "imagePullPolicy": "IfNotPresent",
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "ports": [{"containerPort": 80, "protocol": "TCP"}, {"name": "x", "containerPort": 81, "protocol": "UDP"}],
            "resources": {"limits": {"cpu": "1m"}, "requests": {"cpu": "1m"}},
            "livenessProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "timeoutSeconds": 1,
                "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}});
        let ours = json!({"name": "a", "image": "i:1", "imagePullPolicy": "", "terminationMessagePath": "",
            "command": [], "workingDir": "", "stdin": false,
            "ports": [{"containerPort": 80, "protocol": ""}, {"containerPort": 81, "name": "x", "hostPort": 0, "protocol": "UDP"}],
            "resources": {"limits": {"cpu": "0.0005"}, "requests": {"cpu": "0.0001"}},
            "livenessProbe": {"httpGet": {"path": "", "port": 80}, "timeoutSeconds": 0, "initialDelaySeconds": 0}});
        assert_eq!(differing_fields(&ours, &stored), Vec::<String>::new());
        let disk = json!({"name": "v", "gcePersistentDisk": {"pdName": "a"}});
        let written = json!({"name": "v", "gcePersistentDisk": {"pdName": "a", "partition": 0}});
        assert!(same(Kind::Volume, &written, &disk));
        let mode = |mode: u32| json!({"name": "v", "configMap": {"name": "a", "defaultMode": mode}});
        assert!(!same(Kind::Volume, &mode(0), &mode(420)), "no permission is a permission");
    }

    #[test]
    fn an_empty_selector_is_not_an_absent_one() {
        let term = json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}});
        for selector in ["labelSelector", "namespaceSelector"] {
            let mut everything = term.clone();
            everything[selector] = json!({});
            let mut nothing = term.clone();
            nothing.as_object_mut().unwrap().remove(selector);
            assert!(!same(Kind::Plain, &everything, &nothing), "{selector}");
        }
    }

    #[test]
    fn a_plugin_that_pulls_every_image_always_makes_nothing_different() {
        let container = |policy: &str| json!({"name": "a", "image": "i:1", "imagePullPolicy": policy});
        assert!(same(Kind::Container, &container("IfNotPresent"), &container("Always")));
        assert!(!same(Kind::Container, &container("Always"), &container("Never")));
        let volume =
            |policy: Value| json!({"name": "v", "image": {"reference": "r/a:1", "pullPolicy": policy}});
        assert!(same(Kind::Volume, &volume(Value::Null), &volume("Always".into())));
        assert!(same(Kind::Volume, &volume("Never".into()), &volume("Always".into())));
        assert!(!same(Kind::Volume, &volume("Always".into()), &volume("Never".into())));
    }

    #[test]
    fn another_image_a_shadowed_variable_or_a_mount_over_ours_is_other_content() {
        let mount = |path: &str| json!({"name": "v", "mountPath": path});
        let ours = json!({"name": "a", "image": "i:1", "env": [{"name": "X", "value": "1"}], "volumeMounts": [mount("/a/b")]});
        let with = |key: &str, value: Value| {
            let mut theirs = ours.clone();
            theirs[key] = value;
            theirs
        };
        let twice = json!([{"name": "X", "value": "1"}, {"name": "X", "value": "2"}]);
        for theirs in [
            with("image", "evil:1".into()),
            with("env", twice),
            with("volumeMounts", json!([mount("/a/b"), mount("/a/b/c")])),
            with("volumeMounts", json!([mount("/a"), mount("/a/b")])),
            with("volumeMounts", json!([mount("/a/b"), mount("/a/b"), mount("/a/b")])),
            with("volumeMounts", json!([])),
            with("securityContext", json!({"allowPrivilegeEscalation": false})),
            with("command", json!(["sh"])),
        ] {
            assert!(!same(Kind::Container, &ours, &theirs), "{theirs}");
        }
    }

    #[test]
    fn what_other_webhooks_give_to_every_container_does_not_count() {
        let ours = json!({"name": "a", "image": "i:1", "volumeMounts": [{"name": "v", "mountPath": "/a/b"}]});
        let theirs = json!({"name": "a", "image": "i:1", "envFrom": [{"configMapRef": {"name": "proxy"}}],
            "volumeMounts": [{"name": "ca", "mountPath": "/etc/ssl/certs"}, {"name": "v", "mountPath": "/a/b"}]});
        assert!(same(Kind::Container, &ours, &theirs));
        assert_eq!(differing_fields(&ours, &theirs), Vec::<String>::new());
        assert_eq!(differing_fields(&ours, &json!({"name": "a", "image": "j:1"})), ["image", "volumeMounts"]);
    }
}
