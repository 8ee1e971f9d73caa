//! The same injection as kube-rs suggests it: decode the typed review, clone and change the pod, compare the two
//! documents, answer with kube's response. And what such an injection adds, worked out from what ours adds.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use json_patch::Patch;
use k8s_openapi::api::core::v1::{
    Container, EnvVar, HostAlias, Pod, PodDNSConfig, Toleration, Volume, VolumeMount,
};
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spark_injector::catalog::Catalog;

/// What an injection adds to a pod.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Addition {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    node_selector: BTreeMap<String, String>,
    init_containers: Vec<Container>,
    volumes: Vec<Volume>,
    tolerations: Vec<Toleration>,
    host_aliases: Vec<HostAlias>,
    dns_config: Option<PodDNSConfig>,
    env: Vec<EnvVar>,
    volume_mounts: Vec<VolumeMount>,
}

impl Addition {
    /// What the engine adds to the pod of this review: both sides do the same work.
    ///
    /// # Panics
    ///
    /// When the idiom would not make the same pod of it.
    pub(crate) fn of(catalog: &Catalog, body: &[u8]) -> Self {
        let answer = spark_injector::admit::review(catalog, body);
        let (before, after) = (object(body), patched(body, &answer.body.to_vec()));
        let new = |path: &str| -> Value {
            let (before, after) = (before.pointer(path), after.pointer(path));
            match (before, after) {
                (_, Some(Value::Array(after))) => {
                    let known = before.and_then(Value::as_array);
                    let is_new = |item: &&Value| known.is_none_or(|known| !known.contains(item));
                    after.iter().filter(is_new).cloned().collect()
                }
                (before, Some(Value::Object(after))) => {
                    let is_new = |(key, _): &(&String, &Value)| before.and_then(|map| map.get(key)).is_none();
                    let new = after.iter().filter(is_new);
                    Value::Object(new.map(|(key, value)| (key.clone(), value.clone())).collect())
                }
                _ => Value::Null,
            }
        };
        let parts = [
            ("labels", "/metadata/labels"),
            ("annotations", "/metadata/annotations"),
            ("nodeSelector", "/spec/nodeSelector"),
            ("initContainers", "/spec/initContainers"),
            ("volumes", "/spec/volumes"),
            ("tolerations", "/spec/tolerations"),
            ("hostAliases", "/spec/hostAliases"),
            ("dnsConfig", "/spec/dnsConfig"),
            ("env", "/spec/containers/0/env"),
            ("volumeMounts", "/spec/containers/0/volumeMounts"),
        ];
        let present = parts.into_iter().map(|(name, path)| (name.to_owned(), new(path)));
        let all: serde_json::Map<String, Value> = present.filter(|(_, value)| !value.is_null()).collect();
        let addition: Self = serde_json::from_value(Value::Object(all)).expect("parts of a pod");
        let response: Value = serde_json::from_slice(&review(&addition, body)).expect("a response");
        // kube writes the patch as a list of numbers, which the API server takes as well.
        let theirs: Vec<u8> = serde_json::from_value(response["response"]["patch"].clone()).expect("bytes");
        let theirs: Patch = serde_json::from_slice(&theirs).expect("a patch");
        let mut pod = object(body);
        json_patch::patch(&mut pod, &theirs).expect("it applies");
        assert_eq!(pod, after, "the idiom makes another pod");
        addition
    }

    fn apply(&self, pod: &mut Pod) {
        let metadata = &mut pod.metadata;
        metadata.labels.get_or_insert_default().extend(self.labels.clone());
        metadata.annotations.get_or_insert_default().extend(self.annotations.clone());
        let Some(spec) = &mut pod.spec else { return };
        spec.node_selector.get_or_insert_default().extend(self.node_selector.clone());
        spec.init_containers.get_or_insert_default().splice(0..0, self.init_containers.iter().cloned());
        spec.volumes.get_or_insert_default().extend(self.volumes.iter().cloned());
        spec.tolerations.get_or_insert_default().extend(self.tolerations.iter().cloned());
        spec.host_aliases.get_or_insert_default().extend(self.host_aliases.iter().cloned());
        if spec.dns_config.is_none() {
            spec.dns_config.clone_from(&self.dns_config);
        }
        let is_spark = |args: &Vec<String>| args.first().is_some_and(|argument| argument == "executor");
        for container in &mut spec.containers {
            if container.args.as_ref().is_some_and(is_spark) {
                container.env.get_or_insert_default().extend(self.env.iter().cloned());
                container.volume_mounts.get_or_insert_default().extend(self.volume_mounts.iter().cloned());
            }
        }
    }
}

/// From bytes to bytes.
pub(crate) fn review(addition: &Addition, body: &[u8]) -> Vec<u8> {
    let review: AdmissionReview<Pod> = serde_json::from_slice(body).expect("a review");
    let request: AdmissionRequest<Pod> = review.try_into().expect("a request");
    let response = AdmissionResponse::from(&request);
    let Some(pod) = &request.object else { panic!("no pod") };
    let mut changed = pod.clone();
    addition.apply(&mut changed);
    let before = serde_json::to_value(pod).expect("a document");
    let after = serde_json::to_value(&changed).expect("a document");
    let patch = json_patch::diff(&before, &after);
    let response = response.with_patch(patch).expect("a patch");
    serde_json::to_vec(&response.into_review()).expect("JSON")
}

/// The pod of a review.
fn object(body: &[u8]) -> Value {
    let mut review: Value = serde_json::from_slice(body).expect("a review");
    review["request"]["object"].take()
}

/// The operations of our answer.
pub(crate) fn operations(answer: &[u8]) -> Vec<Value> {
    let answer: Value = serde_json::from_slice(answer).expect("an answer");
    let patch = answer["response"]["patch"].as_str().unwrap_or_default();
    let patch = STANDARD.decode(patch).expect("base64");
    if patch.is_empty() { Vec::new() } else { serde_json::from_slice(&patch).expect("a patch") }
}

fn patched(body: &[u8], answer: &[u8]) -> Value {
    let mut pod = object(body);
    let operations = Value::Array(operations(answer));
    assert_ne!(operations, Value::Array(Vec::new()), "nothing is injected");
    let patch: Patch = serde_json::from_value(operations).expect("a patch");
    json_patch::patch(&mut pod, &patch).expect("our patch applies");
    pod
}
