//! Kubernetes objects, as documents hold them, into a snapshot. What cannot be used is named, never guessed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::api::names;
use crate::catalog::{NamespaceInput, ObjectData, ObjectKey, Problem, ProblemKind, ProfileInput, Snapshot};

/// Collects objects; every kind of mistake becomes a problem with its origin.
#[derive(Debug)]
pub(super) struct Collector<'s> {
    /// Namespace of `ConfigMaps` and Secrets that name none.
    default_namespace: &'s str,
    /// What could be used.
    pub(super) snapshot: Snapshot,
    /// What could not.
    pub(super) problems: Vec<Problem>,
    /// What was left out because it is none of our business.
    pub(super) warnings: Vec<Problem>,
    /// Where each object was first seen.
    seen: BTreeMap<String, String>,
}

/// One object and how messages call it.
struct Found<'o> {
    origin: &'o str,
    subject: String,
    name: &'o str,
    metadata: &'o Map<String, Value>,
    object: &'o Map<String, Value>,
}

impl<'s> Collector<'s> {
    pub(super) fn new(default_namespace: &'s str) -> Self {
        Self {
            default_namespace,
            snapshot: Snapshot::default(),
            problems: Vec::new(),
            warnings: Vec::new(),
            seen: BTreeMap::new(),
        }
    }

    /// Takes one document: an object, or a list of them.
    pub(super) fn take(&mut self, origin: &str, document: &Value) {
        self.take_as(origin, document, None);
    }

    /// `listed`: kind and version of the items of a typed list, which need not repeat them.
    fn take_as(&mut self, origin: &str, document: &Value, listed: Option<(&str, &str)>) {
        let Some(object) = document.as_object() else {
            return self.problem(
                origin,
                "",
                "",
                "not a Kubernetes object: expected a mapping with apiVersion and kind",
            );
        };
        let text = |field: &str| object.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        let Some(kind) = text("kind").or(listed.map(|(kind, _)| kind)) else {
            return self.problem(origin, "", "kind", "missing; every document needs apiVersion and kind");
        };
        let Some(version) = text("apiVersion").or(listed.map(|(_, version)| version)) else {
            return self.problem(
                origin,
                kind,
                "apiVersion",
                "missing; every document needs apiVersion and kind",
            );
        };
        if let Some(of) = kind.strip_suffix("List")
            && let Some(items) = object.get("items")
        {
            return self.take_list(origin, kind, (of, version), items);
        }
        let expected = match kind {
            "SparkProfile" => profile_version(),
            "Namespace" | "ConfigMap" | "Secret" => "v1".to_owned(),
            _ => {
                let message = "ignored: only SparkProfile, Namespace, ConfigMap and Secret are read";
                self.warnings.push(problem(origin, &format!("{kind} {}", name_of(object)), "", message));
                return;
            }
        };
        let subject = format!("{kind} {}", name_of(object));
        if version != expected {
            let message = format!("`{version}` is not supported; allowed: {expected}");
            return self.problem(origin, subject.trim_end(), "apiVersion", message);
        }
        let metadata = object.get("metadata").and_then(Value::as_object);
        let Some((metadata, name)) = metadata.zip(Some(name_of(object)).filter(|name| !name.is_empty()))
        else {
            return self.problem(
                origin,
                kind,
                "metadata.name",
                "missing or not a string; every object needs a name",
            );
        };
        let found = Found { origin, subject, name, metadata, object };
        match kind {
            "SparkProfile" => self.take_profile(&found, document),
            "Namespace" => self.take_namespace(&found),
            "ConfigMap" => self.take_data(&found, Kind::ConfigMap),
            _ => self.take_data(&found, Kind::Secret),
        }
    }

    fn take_list(&mut self, origin: &str, kind: &str, of: (&str, &str), items: &Value) {
        let Some(items) = items.as_array() else {
            return self.problem(origin, kind, "items", "expected a list of objects");
        };
        for item in items {
            self.take_as(origin, item, Some(of).filter(|(kind, _)| !kind.is_empty()));
        }
    }

    fn take_profile(&mut self, found: &Found<'_>, document: &Value) {
        if self.first(found, None) {
            let origin = found.origin.to_owned();
            self.snapshot.profiles.push(ProfileInput {
                origin,
                object: Arc::new(document.clone()),
                delivered: None,
            });
        }
    }

    fn take_namespace(&mut self, found: &Found<'_>) {
        let labels = self.strings(found, "labels");
        let annotations = self.strings(found, "annotations");
        if let (Some(labels), Some(annotations)) = (labels, annotations)
            && self.first(found, None)
        {
            let input = NamespaceInput { origin: found.origin.to_owned(), labels, annotations };
            self.snapshot.namespaces.insert(found.name.to_owned(), Arc::new(input));
        }
    }

    fn take_data(&mut self, found: &Found<'_>, kind: Kind) {
        let namespace = found.metadata.get("namespace").and_then(Value::as_str);
        let namespace =
            namespace.filter(|name| !name.is_empty()).unwrap_or(self.default_namespace).to_owned();
        let mut data = ObjectData::new();
        let mut usable = true;
        for (field, encoding) in kind.fields() {
            let entries = match found.object.get(field) {
                None | Some(Value::Null) => continue,
                Some(Value::Object(entries)) => entries,
                Some(_) => {
                    self.problem(
                        found.origin,
                        &found.subject,
                        field,
                        "expected a mapping of keys to strings",
                    );
                    usable = false;
                    continue;
                }
            };
            for (key, value) in entries {
                match encoding.bytes(value) {
                    Ok(bytes) => {
                        data.insert(key.clone(), bytes);
                    }
                    Err(message) => {
                        self.problem(found.origin, &found.subject, &format!("{field}[{key}]"), message);
                        usable = false;
                    }
                }
            }
        }
        if usable && self.first(found, Some(&namespace)) {
            let key = ObjectKey { namespace, name: found.name.to_owned() };
            let objects = match kind {
                Kind::ConfigMap => &mut self.snapshot.config_maps,
                Kind::Secret => &mut self.snapshot.secrets,
            };
            objects.insert(key, Arc::new(data));
        }
    }

    /// Labels or annotations; none where one of them is not a string.
    fn strings(&mut self, found: &Found<'_>, field: &str) -> Option<BTreeMap<String, String>> {
        let entries = match found.metadata.get(field) {
            None | Some(Value::Null) => return Some(BTreeMap::new()),
            Some(Value::Object(entries)) => entries,
            Some(_) => {
                let path = format!("metadata.{field}");
                self.problem(found.origin, &found.subject, &path, "expected a mapping of strings to strings");
                return None;
            }
        };
        let mut strings = BTreeMap::new();
        let mut usable = true;
        for (key, value) in entries {
            if let Value::String(value) = value {
                strings.insert(key.clone(), value.clone());
            } else {
                let path = format!("metadata.{field}[{key}]");
                let message = format!("`{value}` is not a string; write it in quotes");
                self.problem(found.origin, &found.subject, &path, message);
                usable = false;
            }
        }
        usable.then_some(strings)
    }

    /// Whether this object is the first of its identity; the first one counts, every other one is a problem.
    fn first(&mut self, found: &Found<'_>, namespace: Option<&str>) -> bool {
        let identity = match namespace {
            Some(namespace) => format!("{} in namespace {namespace}", found.subject),
            None => found.subject.clone(),
        };
        match self.seen.entry(identity) {
            Entry::Vacant(entry) => {
                entry.insert(found.origin.to_owned());
                true
            }
            Entry::Occupied(entry) => {
                let message =
                    format!("defined twice: first in {}, again in {}; remove one", entry.get(), found.origin);
                self.problems.push(problem(found.origin, entry.key(), "", message));
                false
            }
        }
    }

    fn problem(&mut self, origin: &str, subject: &str, path: &str, message: impl Into<String>) {
        self.problems.push(problem(origin, subject, path, message));
    }
}

#[derive(Clone, Copy)]
enum Kind {
    ConfigMap,
    Secret,
}

impl Kind {
    /// The fields with content; a later one wins, as the API server lets `stringData` win over `data`.
    fn fields(self) -> [(&'static str, Encoding); 2] {
        match self {
            Self::ConfigMap => [("data", Encoding::Text), ("binaryData", Encoding::Base64)],
            Self::Secret => [("data", Encoding::Base64), ("stringData", Encoding::Text)],
        }
    }
}

#[derive(Clone, Copy)]
enum Encoding {
    Base64,
    Text,
}

impl Encoding {
    /// The bytes of a value, or what is wrong with it. Values are never quoted: they may be secrets.
    fn bytes(self, value: &Value) -> Result<Vec<u8>, String> {
        let Value::String(text) = value else {
            return Err(format!("is {}, not a string; write it in quotes", type_of(value)));
        };
        match self {
            Self::Text => Ok(text.as_bytes().to_vec()),
            Self::Base64 => {
                // The API server's decoder passes over line breaks, so block scalars are legal.
                let compact: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
                STANDARD.decode(compact).map_err(|_| "is not standard padded base64".to_owned())
            }
        }
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn name_of(object: &Map<String, Value>) -> &str {
    let metadata = object.get("metadata");
    metadata.and_then(|metadata| metadata.get("name")).and_then(Value::as_str).unwrap_or_default()
}

fn profile_version() -> String {
    format!("{}/{}", names::GROUP, names::VERSION)
}

fn problem(origin: &str, subject: &str, path: &str, message: impl Into<String>) -> Problem {
    Problem {
        kind: ProblemKind::Invalid,
        origin: origin.to_owned(),
        subject: subject.trim_end().to_owned(),
        path: path.to_owned(),
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn collect(documents: &[Value]) -> Collector<'static> {
        let mut collector = Collector::new("spark-injector");
        for (index, document) in documents.iter().enumerate() {
            collector.take(&format!("a.yaml#{}", index + 1), document);
        }
        collector
    }

    fn messages(documents: &[Value]) -> Vec<String> {
        collect(documents).problems.iter().map(ToString::to_string).collect()
    }

    fn key(namespace: &str, name: &str) -> ObjectKey {
        ObjectKey { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn every_kind_and_lists_of_them_are_read() {
        let found = collect(&[
            json!({"apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile", "metadata": {"name": "a"}}),
            json!({"apiVersion": "v1", "kind": "List", "items": [
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": {"x": "y"}}},
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"},
                 "data": {"k": "v"}, "binaryData": {"b": "AAH/"}},
            ]}),
            json!({"apiVersion": "v1", "kind": "SecretList", "items": [
                {"metadata": {"name": "s", "namespace": "o"}, "data": {"k": "b2xk\n", "l": "AA=="},
                 "stringData": {"k": "new"}},
            ]}),
        ]);
        assert!(found.problems.is_empty(), "{:?}", found.problems);
        let snapshot = found.snapshot;
        assert_eq!(snapshot.profiles.len(), 1);
        assert_eq!(snapshot.namespaces["n"].labels["x"], "y");
        assert_eq!(snapshot.namespaces["n"].origin, "a.yaml#2");
        let map = &snapshot.config_maps[&key("spark-injector", "c")];
        assert_eq!((map["k"].as_slice(), map["b"].as_slice()), (&b"v"[..], &[0, 1, 255][..]));
        let secret = &snapshot.secrets[&key("o", "s")];
        assert_eq!((secret["k"].as_slice(), secret["l"].as_slice()), (&b"new"[..], &[0][..]));
    }

    #[test]
    fn other_kinds_are_named_and_ignored() {
        let found = collect(&[json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}})]);
        assert!(found.problems.is_empty());
        assert!(
            found.warnings[0].to_string().starts_with("a.yaml#1: Service x: ignored"),
            "{:?}",
            found.warnings
        );
    }

    #[test]
    fn what_cannot_be_used_is_a_problem_with_its_place() {
        let said = messages(&[
            json!("text"),
            json!({"apiVersion": "v1"}),
            json!({"kind": "Secret", "metadata": {"name": "s"}}),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}}),
            json!({"apiVersion": "spark-injector.io/v1", "kind": "SparkProfile", "metadata": {"name": "p"}}),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "s3cr3t!"}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": 1}}),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": {"k": true}}}),
            json!({"apiVersion": "v1", "kind": "ConfigMapList", "items": {}}),
        ]);
        let expected = [
            "a.yaml#1: not a Kubernetes object: expected a mapping with apiVersion and kind",
            "a.yaml#2: kind: missing; every document needs apiVersion and kind",
            "a.yaml#3: Secret: apiVersion: missing; every document needs apiVersion and kind",
            "a.yaml#4: Secret: metadata.name: missing or not a string; every object needs a name",
            "a.yaml#5: SparkProfile p: apiVersion: `spark-injector.io/v1` is not supported; allowed: spark-injector.io/v1alpha1",
            "a.yaml#6: Secret s: data[k]: is not standard padded base64",
            "a.yaml#7: ConfigMap c: data[k]: is a number, not a string; write it in quotes",
            "a.yaml#8: Namespace n: metadata.labels[k]: `true` is not a string; write it in quotes",
            "a.yaml#9: ConfigMapList: items: expected a list of objects",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn the_first_of_two_counts_and_both_are_named() {
        let secret = |namespace: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": namespace}});
        let said = messages(&[secret("x"), secret("y"), secret("x")]);
        assert_eq!(
            said,
            [
                "a.yaml#3: Secret s in namespace x: defined twice: first in a.yaml#1, again in a.yaml#3; remove one"
            ]
        );
    }
}
