//! Objects as users have them: what in a document is a pod, a pod template or a review, and what passes through.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use serde_json::{Map, Value};

use super::exit::Failure;
use super::output;
use crate::sources::document::{self, Format, TEXT_LIMIT};

/// Something to judge inside a document.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    /// JSON pointer of the pod, the template or the review.
    pub(super) pointer: String,
    /// What is there.
    pub(super) shape: Shape,
    /// How messages call the object.
    pub(super) title: String,
}

/// What there is to judge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    /// A pod.
    Pod,
    /// The pod template of a workload.
    Template,
    /// A whole AdmissionReview.
    Review,
}

/// What a document holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// In the order of the document.
    pub(super) targets: Vec<Target>,
    /// Titles of objects of other kinds.
    pub(super) others: Vec<String>,
}

/// Reads the documents of a file, or of the standard input for `-`.
pub(super) fn read(file: &Path) -> Result<Vec<Value>, Failure> {
    let is_stdin = file == Path::new("-");
    let shown = if is_stdin { "standard input".to_owned() } else { file.display().to_string() };
    let unusable = |message: String| Failure::Unusable(format!("{shown}: {message}"));
    let mut text = Vec::new();
    // One byte more than the limit, so that the parser refuses what is larger.
    let limit = TEXT_LIMIT as u64 + 1;
    if is_stdin && io::stdin().is_terminal() {
        output::note("reading objects from the terminal until Ctrl-D; -f FILE reads a file");
    }
    let read = if is_stdin {
        io::stdin().lock().take(limit).read_to_end(&mut text)
    } else {
        File::open(file).and_then(|file| file.take(limit).read_to_end(&mut text))
    };
    read.map_err(|error| unusable(error.to_string()))?;
    let documents = match Format::of_text(&text) {
        // YAML may start like JSON: `{kind: Pod}`. Where it is neither, JSON's message is the more helpful one.
        Format::Json => document::parse(&text, Format::Json)
            .or_else(|message| document::parse(&text, Format::Yaml).map_err(|_| message)),
        Format::Yaml => document::parse(&text, Format::Yaml),
    }
    .map_err(unusable)?;
    if documents.is_empty() {
        let hint = if is_stdin { "; give one with -f FILE, or pipe it in" } else { "" };
        return Err(unusable(format!("holds no object{hint}")));
    }
    Ok(documents)
}

/// Finds what there is to judge in documents that would be created in `namespace`.
pub(super) fn find_all(documents: &[Value], namespace: &str) -> Result<Vec<Contents>, Failure> {
    let alone = documents.len() == 1;
    let found = documents.iter().enumerate().map(|(index, document)| match find(document, namespace) {
        Err(Failure::Unusable(message)) if !alone => {
            Err(Failure::Unusable(format!("document {}: {message}", index + 1)))
        }
        found => found,
    });
    found.collect()
}

/// Finds what there is to judge in one document.
fn find(document: &Value, namespace: &str) -> Result<Contents, Failure> {
    let mut contents = Contents::default();
    let mut search = Search { namespace, contents: &mut contents };
    search.visit(document, String::new(), None)?;
    Ok(contents)
}

struct Search<'s> {
    namespace: &'s str,
    contents: &'s mut Contents,
}

impl Search<'_> {
    /// `listed`: kind of the items of a typed list, which need not repeat it.
    fn visit(&mut self, value: &Value, pointer: String, listed: Option<&str>) -> Result<(), Failure> {
        let Some(object) = value.as_object() else {
            return Err(Failure::Unusable(format!(
                "{}: not a Kubernetes object: expected a mapping with apiVersion and kind",
                shown(&pointer)
            )));
        };
        let text = |field: &str| object.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        let Some(kind) = text("kind").or(listed) else {
            return Err(Failure::Unusable(format!("{}: the object has no kind", shown(&pointer))));
        };
        let group = text("apiVersion").unwrap_or_default();
        let group = group.split_once('/').map_or("", |(group, _)| group);
        if let Some(of) = kind.strip_suffix("List")
            && let Some(items) = object.get("items").and_then(Value::as_array)
        {
            for (index, item) in items.iter().enumerate() {
                self.visit(item, format!("{pointer}/items/{index}"), Some(of).filter(|of| !of.is_empty()))?;
            }
            return Ok(());
        }
        let title = format!("{kind} {}", name(object));
        let title = title.trim_end().to_owned();
        match (kind, group) {
            ("Pod", "") => {
                self.require_namespace(object, &title)?;
                if !object.get("metadata").is_some_and(Value::is_object) {
                    let at = shown(&pointer);
                    return Err(Failure::Unusable(format!(
                        "{at}: metadata is missing; every pod has a name"
                    )));
                }
                self.add(pointer, Shape::Pod, title);
            }
            ("StatefulSet" | "Deployment" | "ReplicaSet", "" | "apps") => {
                self.require_namespace(object, &title)?;
                if !value.pointer("/spec/template").is_some_and(Value::is_object) {
                    return Err(Failure::Unusable(format!("{title}: spec.template is missing")));
                }
                self.add(format!("{pointer}/spec/template"), Shape::Template, title);
            }
            ("AdmissionReview", "admission.k8s.io") if pointer.is_empty() => {
                let asked = value.pointer("/request/namespace").and_then(Value::as_str).unwrap_or_default();
                self.compare(asked, &format!("{title}: request.namespace"))?;
                self.add(pointer, Shape::Review, title);
            }
            _ => self.contents.others.push(title),
        }
        Ok(())
    }

    fn add(&mut self, pointer: String, shape: Shape, title: String) {
        self.contents.targets.push(Target { pointer, shape, title });
    }

    /// An object of another namespace would be judged by the wrong profile.
    fn require_namespace(&self, object: &Map<String, Value>, title: &str) -> Result<(), Failure> {
        let own = object.get("metadata").and_then(|metadata| metadata.get("namespace"));
        match own.and_then(Value::as_str).filter(|own| !own.is_empty()) {
            Some(own) => self.compare(own, &format!("{title}: metadata.namespace")),
            None => Ok(()),
        }
    }

    fn compare(&self, found: &str, what: &str) -> Result<(), Failure> {
        if found == self.namespace {
            return Ok(());
        }
        let expected = self.namespace;
        Err(Failure::Unusable(format!(
            "{what} is `{found}`, but --namespace is `{expected}`; they have to agree"
        )))
    }
}

/// The pod that a workload would make of its template.
pub(super) fn pod_of_template(template: &Value) -> Value {
    let field = |name: &str| template.get(name).filter(|value| value.is_object()).cloned();
    let mut pod = Map::new();
    pod.insert("apiVersion".to_owned(), "v1".into());
    pod.insert("kind".to_owned(), "Pod".into());
    pod.insert("metadata".to_owned(), field("metadata").unwrap_or_else(|| Value::Object(Map::new())));
    if let Some(spec) = field("spec") {
        pod.insert("spec".to_owned(), spec);
    }
    Value::Object(pod)
}

/// The name of an object, or what its name starts with.
fn name(object: &Map<String, Value>) -> &str {
    let metadata = object.get("metadata");
    let text = |field: &str| metadata.and_then(|metadata| metadata.get(field)).and_then(Value::as_str);
    text("name").or_else(|| text("generateName")).unwrap_or_default()
}

fn shown(pointer: &str) -> &str {
    if pointer.is_empty() { "input" } else { pointer }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(document: &Value) -> Vec<(String, Shape)> {
        let contents = find(document, "team-a").unwrap();
        contents.targets.into_iter().map(|target| (target.pointer, target.shape)).collect()
    }

    fn refused(document: &Value) -> String {
        match find(document, "team-a") {
            Err(Failure::Unusable(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pods_are_found_where_users_have_them() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": {"template": {}}});
        let job = json!({"apiVersion": "batch/v1", "kind": "Job"});
        assert_eq!(found(&pod), [(String::new(), Shape::Pod)]);
        assert_eq!(found(&set), [("/spec/template".to_owned(), Shape::Template)]);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [job, pod, set]});
        let expected =
            [("/items/1".to_owned(), Shape::Pod), ("/items/2/spec/template".to_owned(), Shape::Template)];
        assert_eq!(found(&list), expected);
        let list = json!({"kind": "PodList", "items": [{"metadata": {}}]});
        assert_eq!(found(&list), [("/items/0".to_owned(), Shape::Pod)]);
    }

    #[test]
    fn other_kinds_pass_through() {
        let contents =
            find(&json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}}), "team-a");
        assert_eq!(contents.unwrap().others, ["CronJob c"]);
        let foreign = json!({"apiVersion": "example.com/v1", "kind": "Deployment"});
        assert!(found(&foreign).is_empty());
    }

    #[test]
    fn namespaces_have_to_agree() {
        let pod =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "team-b"}});
        let said = refused(&pod);
        assert_eq!(
            said,
            "Pod p: metadata.namespace is `team-b`, but --namespace is `team-a`; they have to agree"
        );
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {}});
        assert!(refused(&review).contains("request.namespace is ``"));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(refused(&json!([])).starts_with("input: not a Kubernetes object"));
        assert!(
            refused(&json!({"kind": "List", "items": [{}]})).starts_with("/items/0: the object has no kind")
        );
        let nameless = json!({"kind": "PodList", "items": [{"metadata": {}}, {}]});
        assert!(refused(&nameless).starts_with("/items/1: metadata is missing"));
        assert!(refused(&json!({"apiVersion": "apps/v1", "kind": "Deployment"})).contains("spec.template"));
    }
}
