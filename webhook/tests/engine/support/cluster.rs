//! What others do to a pod between two calls: the API server's defaults, its plugins, other webhooks.
//!
//! Only what a real API server was seen to do, so that a test which passes here says something about a cluster.

use serde_json::{Map, Value, json};

use super::{named, names};

const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The pod as the API server presents it to webhooks: defaults, token, priority, canonical quantities.
pub(crate) fn represent(pod: &Value) -> Value {
    let mut pod = pod.clone();
    let host_network = pod["spec"]["hostNetwork"] == true;
    let account = pod["spec"]["serviceAccountName"]
        .as_str()
        .filter(|name| !name.is_empty())
        .unwrap_or("default")
        .to_owned();
    let spec = pod["spec"].as_object_mut().unwrap();
    default(spec, "restartPolicy", json!("Always"));
    default(spec, "dnsPolicy", json!("ClusterFirst"));
    default(spec, "schedulerName", json!("default-scheduler"));
    default(spec, "terminationGracePeriodSeconds", json!(30));
    default(spec, "enableServiceLinks", json!(true));
    default(spec, "securityContext", json!({}));
    default(spec, "priority", json!(0));
    default(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
    spec.insert("serviceAccountName".to_owned(), json!(account));
    spec.insert("serviceAccount".to_owned(), json!(account));
    if spec.get("hostNetwork") == Some(&json!(false)) {
        spec.remove("hostNetwork");
    }
    tolerate(spec);
    for volume in list(spec, "volumes") {
        default_volume(volume);
    }
    let token = spec
        .get("volumes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|volume| volume["name"].as_str().is_some_and(|name| name.starts_with("kube-api-access-")));
    if !token {
        list(spec, "volumes")
            .push(json!({ "name": "kube-api-access-x7k2p", "projected": { "defaultMode": 420,
            "sources": [{ "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } }] } }));
    }
    for field in ["initContainers", "containers"] {
        if spec.get(field).is_none_or(Value::is_null) {
            continue;
        }
        for container in list(spec, field) {
            default_container(container, host_network);
        }
    }
    canonicalise(&mut pod);
    pod
}

fn default(map: &mut Map<String, Value>, key: &str, value: Value) {
    let known = map.entry(key).or_insert(Value::Null);
    if known.is_null() {
        *known = value;
    }
}

fn list<'v>(map: &'v mut Map<String, Value>, key: &str) -> &'v mut Vec<Value> {
    let list = map.entry(key).or_insert(Value::Null);
    if !list.is_array() {
        *list = json!([]);
    }
    list.as_array_mut().unwrap()
}

fn tolerate(spec: &mut Map<String, Value>) {
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let wanted =
            json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 });
        let tolerations = list(spec, "tolerations");
        if !tolerations.contains(&wanted) {
            tolerations.push(wanted);
        }
    }
}

fn default_volume(volume: &mut Value) {
    let Some(volume) = volume.as_object_mut() else { return };
    for kind in ["configMap", "secret", "projected", "downwardAPI"] {
        if let Some(source) = volume.get_mut(kind).and_then(Value::as_object_mut) {
            default(source, "defaultMode", json!(420));
            for item in list_if_any(source, "items") {
                default_selectors(item);
            }
        }
    }
    if let Some(source) = volume.get_mut("hostPath").and_then(Value::as_object_mut) {
        default(source, "type", json!(""));
    }
}

fn list_if_any<'v>(map: &'v mut Map<String, Value>, key: &str) -> impl Iterator<Item = &'v mut Value> {
    map.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

fn default_selectors(value: &mut Value) {
    if let Some(field) = value.get_mut("fieldRef").and_then(Value::as_object_mut) {
        default(field, "apiVersion", json!("v1"));
    }
    if let Some(field) = value.get_mut("resourceFieldRef").and_then(Value::as_object_mut) {
        default(field, "divisor", json!("0"));
    }
}

fn default_container(container: &mut Value, host_network: bool) {
    let image = container["image"].as_str().unwrap_or_default();
    let policy = if image.ends_with(":latest") || !image.contains(':') { "Always" } else { "IfNotPresent" };
    let container = container.as_object_mut().unwrap();
    default(container, "imagePullPolicy", json!(policy));
    default(container, "terminationMessagePath", json!("/dev/termination-log"));
    default(container, "terminationMessagePolicy", json!("File"));
    default(container, "resources", json!({}));
    if let Some(limits) = container["resources"].get("limits").and_then(Value::as_object).cloned() {
        let resources = container["resources"].as_object_mut().unwrap();
        default(resources, "requests", json!({}));
        let requests = resources["requests"].as_object_mut().unwrap();
        limits.into_iter().for_each(|(name, amount)| default(requests, &name, amount));
    }
    for variable in list_if_any(container, "env") {
        if variable["value"] == "" {
            variable.as_object_mut().unwrap().remove("value");
        }
        if let Some(source) = variable.get_mut("valueFrom") {
            default_selectors(source);
        }
    }
    for port in list_if_any(container, "ports") {
        let number = port["containerPort"].clone();
        let port = port.as_object_mut().unwrap();
        default(port, "protocol", json!("TCP"));
        if host_network {
            default(port, "hostPort", number);
        }
    }
    for pointer in ["/lifecycle/preStop/httpGet", "/lifecycle/postStart/httpGet", "/readinessProbe/httpGet"] {
        let mut at = Some(&mut *container);
        for part in pointer.split('/').skip(1) {
            at = at.and_then(|map| map.get_mut(part)).and_then(Value::as_object_mut);
        }
        if let Some(get) = at {
            default(get, "path", json!("/"));
            default(get, "scheme", json!("HTTP"));
        }
    }
    if let Some(probe) = container.get_mut("readinessProbe").and_then(Value::as_object_mut) {
        for (field, value) in
            [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
        {
            default(probe, field, json!(value));
        }
    }
    let mounts = list(container, "volumeMounts");
    if !mounts.iter().any(|mount| mount["mountPath"] == TOKEN_PATH) {
        mounts.push(json!({ "name": "kube-api-access-x7k2p", "readOnly": true, "mountPath": TOKEN_PATH }));
    }
}

/// The quantities of these tests as the API server writes them back.
fn canonicalise(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if matches!(key.as_str(), "requests" | "limits") {
                    value.as_object_mut().into_iter().flatten().for_each(|(_, amount)| canonical(amount));
                } else if key == "sizeLimit" {
                    canonical(value);
                } else {
                    canonicalise(value);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(canonicalise),
        _ => {}
    }
}

fn canonical(amount: &mut Value) {
    let known = [
        ("1024Mi", "1Gi"),
        ("2048Mi", "2Gi"),
        ("1000m", "1"),
        ("0.5", "500m"),
        ("0.1", "100m"),
        ("1.5", "1500m"),
        ("1000M", "1G"),
        ("2e3", "2e3"),
    ];
    if let Some((_, canonical)) = known.iter().find(|(written, _)| amount == written) {
        *amount = json!(canonical);
    }
}

/// Another webhook that is called after ours: a sidecar and its volume, a label, a variable and limits everywhere,
/// an init container in front of all others.
pub(crate) fn other_webhook(pod: &Value) -> Value {
    let mut pod = pod.clone();
    let metadata = pod["metadata"].as_object_mut().unwrap();
    if !metadata["labels"].is_object() {
        metadata.insert("labels".to_owned(), json!({}));
    }
    metadata["labels"]["mesh.example.com/injected"] = json!("true");
    let first = names(&pod, "/spec/initContainers").first() == Some(&"mesh-init");
    let there = !named(&pod, "/spec/containers", "mesh-proxy").is_null();
    let spec = pod["spec"].as_object_mut().unwrap();
    if !first {
        list(spec, "initContainers").insert(0, json!({ "name": "mesh-init", "image": "mesh:1" }));
    }
    if !there {
        list(spec, "containers").push(json!({ "name": "mesh-proxy", "image": "mesh:1" }));
        list(spec, "volumes").push(json!({ "name": "mesh-certs", "emptyDir": {} }));
    }
    for field in ["initContainers", "containers"] {
        for container in list(spec, field) {
            let container = container.as_object_mut().unwrap();
            let env = list(container, "env");
            if !env.iter().any(|variable| variable["name"] == "MESH_HOST") {
                env.insert(0, json!({ "name": "MESH_HOST", "value": "127.0.0.1" }));
            }
            // LimitRanger gives what a container does not say.
            if !container.get("resources").is_some_and(Value::is_object) {
                container.insert("resources".to_owned(), json!({}));
            }
            let resources = container["resources"].as_object_mut().unwrap();
            for section in ["limits", "requests"] {
                if !resources.get(section).is_some_and(Value::is_object) {
                    resources.insert(section.to_owned(), json!({}));
                }
                default(resources[section].as_object_mut().unwrap(), "ephemeral-storage", json!("1Gi"));
            }
        }
    }
    pod
}
