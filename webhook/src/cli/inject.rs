//! `inject`: objects as the webhook would have them stored.

use serde_json::Value;
use similar::TextDiff;

use super::exit::Failure;
use super::judge::{self, Judged};
use super::objects::{self, Contents};
use super::output::{self, Printed};
use super::{Compiled, objects::Shape};
use crate::admit::Outcome;
use crate::args::{InjectArgs, InjectOutput, Inputs};

/// One document of the input and what became of it.
struct Document {
    before: Value,
    after: Value,
    /// Relative to `before`, or to the object in a review.
    patch: Vec<Value>,
    secrets: Vec<String>,
    title: String,
}

pub(super) fn run(args: InjectArgs) -> Result<(), Failure> {
    let InjectArgs { inputs, namespace, file, output, with_secrets } = args;
    if with_secrets && matches!(output, InjectOutput::Patch | InjectOutput::Diff) {
        let message = "--with-secrets needs whole objects: use it with -o yaml or -o json";
        return Err(Failure::Unusable(message.to_owned()));
    }
    let compiled = Compiled::new(&Inputs::from(inputs))?;
    // First: one of these may be why the namespace is not known.
    compiled.warn_about_others(&namespace);
    compiled.require_namespace(&namespace)?;
    let documents = objects::read(&file)?;
    // All are judged before anything is written: one that is denied leaves the standard output empty.
    let mut done = Vec::new();
    let mut denied = false;
    let contents = objects::find_all(&documents, &namespace)?;
    for (document, contents) in documents.into_iter().zip(contents) {
        let document = inject(&compiled, &namespace, document, contents, &mut denied)?;
        done.push(document);
    }
    if denied {
        return Err(Failure::Denied);
    }
    let secrets = if with_secrets { compiled.catalog.secrets(Some(&namespace)) } else { Vec::new() };
    print(done, secrets, output)?.write()
}

fn inject(
    compiled: &Compiled,
    namespace: &str,
    before: Value,
    contents: Contents,
    denied: &mut bool,
) -> Result<Document, Failure> {
    for other in &contents.others {
        output::note(&format!("{other}: passed through: only pods, pod templates and reviews are injected"));
    }
    let mut document = Document {
        after: before.clone(),
        before,
        patch: Vec::new(),
        secrets: Vec::new(),
        title: contents.others.first().cloned().unwrap_or_default(),
    };
    for target in contents.targets {
        let Judged { target, verdict, patch, review } =
            judge::judge(&compiled.catalog, namespace, &document.before, target)?;
        output::note(&format!("{}: {}", target.title, judge::phrase(&verdict.record)));
        for warning in &verdict.warnings {
            output::note(&format!("{}: warning: {warning}", target.title));
        }
        document.title = target.title;
        if target.shape == Shape::Review {
            // What is compared is the pod, what is printed is the answer: also where it is a refusal.
            if let Some(object) = document.before.pointer("/request/object") {
                document.before = object.clone();
            }
            document.after = review.unwrap_or_default();
            document.patch = patch;
            continue;
        }
        *denied |= verdict.record.outcome == Outcome::Denied;
        judge::apply(&mut document.after, &patch)?;
        document.patch.extend(patch);
        document.secrets.extend(verdict.secrets);
    }
    Ok(document)
}

fn print(documents: Vec<Document>, secrets: Vec<Value>, output: InjectOutput) -> Result<Printed, Failure> {
    match output {
        InjectOutput::Patch => {
            let lines = documents.into_iter().map(|document| format!("{}\n", Value::Array(document.patch)));
            Ok(Printed::from(lines.collect::<String>()))
        }
        InjectOutput::Diff => {
            let diffs = documents.iter().map(diff).collect::<Result<Vec<_>, _>>()?;
            Ok(Printed::from(diffs.concat()))
        }
        InjectOutput::Yaml => Printed::yaml(&with_secrets(documents, secrets)),
        InjectOutput::Json => match with_secrets(documents, secrets).as_slice() {
            [object] => Printed::pretty(object),
            objects => Printed::list(&objects.iter().flat_map(items).collect::<Vec<_>>()),
        },
    }
}

/// Each Secret stands once, before the first object that needs it.
fn with_secrets(documents: Vec<Document>, mut secrets: Vec<Value>) -> Vec<Value> {
    let mut objects = Vec::new();
    for document in documents {
        let needed = |secret: &mut Value| {
            let name = secret.pointer("/metadata/name").and_then(Value::as_str);
            name.is_some_and(|name| document.secrets.iter().any(|needed| needed == name))
        };
        objects.extend(secrets.extract_if(.., needed));
        objects.push(document.after);
    }
    objects
}

/// A List inside a List is nothing that kubectl reads.
fn items(object: &Value) -> Vec<Value> {
    let is_list = object.get("kind").and_then(Value::as_str).is_some_and(|kind| kind == "List");
    match object.get("items").and_then(Value::as_array) {
        Some(items) if is_list => items.clone(),
        _ => vec![object.clone()],
    }
}

fn diff(document: &Document) -> Result<String, Failure> {
    let mut patched = document.before.clone();
    judge::apply(&mut patched, &document.patch)?;
    let (before, after) = (output::yaml(&document.before)?, output::yaml(&patched)?);
    let diff = TextDiff::from_lines(&before, &after);
    let (from, to) = (format!("{} before", document.title), format!("{} after", document.title));
    Ok(diff.unified_diff().header(&from, &to).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(after: Value, secrets: &[&str]) -> Document {
        Document {
            before: json!({"kind": "Pod"}),
            after,
            patch: vec![json!({"op": "add", "path": "/x", "value": 1})],
            secrets: secrets.iter().map(ToString::to_string).collect(),
            title: "Pod p".to_owned(),
        }
    }

    #[test]
    fn secrets_stand_once_before_the_first_pod_that_needs_them() {
        let secret = |name: &str| json!({"kind": "Secret", "metadata": {"name": name}});
        let documents =
            vec![document(json!(1), &[]), document(json!(2), &["b"]), document(json!(3), &["a", "b"])];
        let printed = with_secrets(documents, vec![secret("a"), secret("b"), secret("c")]);
        assert_eq!(printed, [json!(1), secret("b"), json!(2), secret("a"), json!(3)]);
    }

    #[test]
    fn a_diff_shows_what_is_added() {
        let diff = diff(&document(Value::Null, &[])).unwrap();
        assert_eq!(diff, "--- Pod p before\n+++ Pod p after\n@@ -1 +1,2 @@\n kind: Pod\n+x: 1\n");
    }

    #[test]
    fn lists_are_flattened() {
        assert_eq!(items(&json!({"kind": "List", "items": [1, 2]})), [json!(1), json!(2)]);
        assert_eq!(items(&json!({"kind": "Pod"})), [json!({"kind": "Pod"})]);
    }
}
