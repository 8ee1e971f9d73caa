//! Kubernetes objects, as documents hold them, into a snapshot. What cannot be used is named, never guessed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::entries::{self, Mistake};
use super::references::SourceKind;
use crate::api::names;
use crate::catalog::{NamespaceInput, ObjectKey, Problem, ProblemKind, ProfileInput, Snapshot};

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

/// Kinds of objects that are read.
#[derive(Clone, Copy)]
enum Kind {
    Profile,
    Namespace,
    Source(SourceKind),
}

impl Kind {
    /// The kind that a name with a slip of the pen must have meant: a profile that nobody reads is missed too late.
    fn meant(name: &str, version: &str) -> Option<&'static str> {
        if version.split('/').next() == Some(names::GROUP) {
            return Some("SparkProfile");
        }
        let singular = name.strip_suffix('s').unwrap_or(name);
        let known = ["Namespace", "ConfigMap", "Secret"];
        known.into_iter().find(|kind| version == "v1" && kind.eq_ignore_ascii_case(singular))
    }

    fn of(name: &str) -> Option<Self> {
        match name {
            "SparkProfile" => Some(Self::Profile),
            "Namespace" => Some(Self::Namespace),
            "ConfigMap" => Some(Self::Source(SourceKind::ConfigMap)),
            "Secret" => Some(Self::Source(SourceKind::Secret)),
            _ => None,
        }
    }

    fn version(self) -> String {
        match self {
            Self::Profile => format!("{}/{}", names::GROUP, names::VERSION),
            Self::Namespace | Self::Source(_) => "v1".to_owned(),
        }
    }
}

/// One object and how messages call it.
struct Found<'o> {
    origin: &'o str,
    subject: String,
    name: &'o str,
    metadata: &'o Map<String, Value>,
    object: &'o Map<String, Value>,
}

const HEADER_MISSING: &str = "missing; every document needs apiVersion and kind";

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
            let message = "not a Kubernetes object: expected a mapping with apiVersion and kind";
            return self.problem(origin, "", "", message);
        };
        let text = |field: &str| object.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        let Some(kind) = text("kind").or(listed.map(|(kind, _)| kind)) else {
            return self.problem(origin, "", "kind", HEADER_MISSING);
        };
        let Some(version) = text("apiVersion").or(listed.map(|(_, version)| version)) else {
            return self.problem(origin, kind, "apiVersion", HEADER_MISSING);
        };
        match (kind.strip_suffix("List"), object.get("items")) {
            (Some(of), Some(items)) => self.take_list(origin, kind, (of, version), items),
            _ => self.take_object(origin, kind, version, object),
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

    fn take_object(&mut self, origin: &str, kind: &str, version: &str, object: &Map<String, Value>) {
        let metadata = object.get("metadata").and_then(Value::as_object);
        let name = metadata.and_then(|metadata| metadata.get("name")).and_then(Value::as_str);
        let subject = format!("{kind} {}", name.unwrap_or_default());
        let Some(kind) = Kind::of(kind) else {
            if let Some(meant) = Kind::meant(kind, version) {
                let message = format!("there is no kind `{kind}`; write {meant}");
                return self.problem(origin, &subject, "kind", message);
            }
            let message = "ignored: only SparkProfile, Namespace, ConfigMap and Secret are read";
            self.warnings.push(problem(origin, &subject, "", message));
            return;
        };
        let expected = kind.version();
        if version != expected {
            let message = format!("`{version}` is not supported; allowed: {expected}");
            return self.problem(origin, &subject, "apiVersion", message);
        }
        let Some((metadata, name)) = metadata.zip(name.filter(|name| !name.is_empty())) else {
            let message = "missing or not a string; every object needs a name";
            return self.problem(origin, &subject, "metadata.name", message);
        };
        let found = Found { origin, subject, name, metadata, object };
        match kind {
            Kind::Profile => self.take_profile(&found),
            Kind::Namespace => self.take_namespace(&found),
            Kind::Source(kind) => self.take_files(&found, kind),
        }
    }

    fn take_profile(&mut self, found: &Found<'_>) {
        if self.is_first(found, None) {
            self.snapshot.profiles.push(ProfileInput {
                origin: found.origin.to_owned(),
                object: Arc::new(Value::Object(found.object.clone())),
                delivered: None,
            });
        }
    }

    fn take_namespace(&mut self, found: &Found<'_>) {
        let labels = self.usable(found, entries::strings(found.metadata, "labels"));
        let annotations = self.usable(found, entries::strings(found.metadata, "annotations"));
        if let (Some(labels), Some(annotations)) = (labels, annotations)
            && self.is_first(found, None)
        {
            let input = NamespaceInput { origin: found.origin.to_owned(), labels, annotations };
            self.snapshot.namespaces.insert(found.name.to_owned(), Arc::new(input));
        }
    }

    fn take_files(&mut self, found: &Found<'_>, kind: SourceKind) {
        let namespace = found.metadata.get("namespace").and_then(Value::as_str);
        let namespace =
            namespace.filter(|name| !name.is_empty()).unwrap_or(self.default_namespace).to_owned();
        if let Some(files) = self.usable(found, entries::files(kind, found.object))
            && self.is_first(found, Some(&namespace))
        {
            let objects = match kind {
                SourceKind::ConfigMap => &mut self.snapshot.config_maps,
                SourceKind::Secret => &mut self.snapshot.secrets,
            };
            objects.insert(ObjectKey { namespace, name: found.name.to_owned() }, Ok(Arc::new(files)));
        }
    }

    /// What was read of an object; nothing where it has mistakes, which become problems.
    fn usable<T>(&mut self, found: &Found<'_>, read: Result<T, Vec<Mistake>>) -> Option<T> {
        read.map_err(|mistakes| {
            for Mistake { path, message } in mistakes {
                self.problem(found.origin, &found.subject, &path, message);
            }
        })
        .ok()
    }

    /// Whether this object is the first of its identity; the first one counts, every other one is a problem.
    fn is_first(&mut self, found: &Found<'_>, namespace: Option<&str>) -> bool {
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
        let map = snapshot.config_maps[&key("spark-injector", "c")].as_ref().unwrap();
        assert_eq!((map["k"].as_slice(), map["b"].as_slice()), (&b"v"[..], &[0, 1, 255][..]));
        let secret = snapshot.secrets[&key("o", "s")].as_ref().unwrap();
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
    fn a_slip_in_a_kind_leaves_nothing_out() {
        let said = messages(&[
            json!({"apiVersion": "spark-injector.io/v1alpha1", "kind": "Sparkprofile", "metadata": {"name": "p"}}),
            json!({"apiVersion": "v1", "kind": "configmaps", "metadata": {"name": "c"}}),
            json!({"apiVersion": "example.com/v1", "kind": "Secrets", "metadata": {"name": "theirs"}}),
        ]);
        let expected = [
            "a.yaml#1: Sparkprofile p: kind: there is no kind `Sparkprofile`; write SparkProfile",
            "a.yaml#2: configmaps c: kind: there is no kind `configmaps`; write ConfigMap",
        ];
        assert_eq!(said, expected);
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
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": ["k"], "stringData": {"k": 1}}),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": [], "annotations": "a"}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "v"}, "binaryData": {"k": "AAH/"}}),
        ]);
        let expected = [
            "a.yaml#1: not a Kubernetes object: expected a mapping with apiVersion and kind",
            "a.yaml#2: kind: missing; every document needs apiVersion and kind",
            "a.yaml#3: Secret: apiVersion: missing; every document needs apiVersion and kind",
            "a.yaml#4: Secret: metadata.name: missing or not a string; every object needs a name",
            "a.yaml#5: SparkProfile p: apiVersion: `spark-injector.io/v1` is not supported; allowed: spark-injector.io/v1alpha1",
            "a.yaml#6: Secret s: data[k]: is not standard padded base64",
            "a.yaml#7: ConfigMap c: data[k]: is a number, not a string; write it in quotes",
            "a.yaml#8: Namespace n: metadata.labels[k]: is a truth value, not a string; write it in quotes",
            "a.yaml#9: ConfigMapList: items: expected a list of objects",
            "a.yaml#10: Secret s: data: expected a mapping of keys to strings",
            "a.yaml#10: Secret s: stringData[k]: is a number, not a string; write it in quotes",
            "a.yaml#11: Namespace n: metadata.labels: expected a mapping of strings to strings",
            "a.yaml#11: Namespace n: metadata.annotations: expected a mapping of strings to strings",
            "a.yaml#12: ConfigMap c: binaryData[k]: stands in data as well; keep one of them",
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
