//! One target, judged by the engine of the webhook, and its patch on the user's own document.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::exit::Failure;
use super::objects::{Shape, Target, pod_of_template};
use super::output::internal;
use crate::admit::{self, Action, Note, Outcome, Record, Verdict};
use crate::api::names::{OBJECT_PREFIX, STATUS_ANNOTATION};
use crate::catalog::Catalog;

/// A judged target.
#[derive(Debug)]
pub(super) struct Judged {
    /// What was judged.
    pub(super) target: Target,
    /// How.
    pub(super) verdict: Verdict,
    /// The patch, with paths relative to the document. For a review: to the object in its request.
    pub(super) patch: Vec<Value>,
    /// The answer to a review.
    pub(super) review: Option<Value>,
}

/// Judges a target of a document.
pub(super) fn judge(
    catalog: &Catalog,
    namespace: &str,
    document: &Value,
    target: Target,
) -> Result<Judged, Failure> {
    let missing = || Failure::Internal(anyhow::anyhow!("{}: nothing at {}", target.title, target.pointer));
    let object = document.pointer(&target.pointer).ok_or_else(missing)?;
    if target.shape == Shape::Review {
        return answer(catalog, object, target);
    }
    let verdict = match target.shape {
        Shape::Template => both_entries(catalog, namespace, pod_of_template(object))?,
        Shape::Pod | Shape::Review => both_entries(catalog, namespace, object.clone())?,
    };
    match verdict.record.outcome {
        Outcome::Unavailable if verdict.record.reason == "revision_unknown" => {
            return Err(given_elsewhere(&target));
        }
        Outcome::Failed | Outcome::Unavailable => {
            let Record { message, reason, .. } = &verdict.record;
            return Err(Failure::Internal(anyhow::anyhow!("{}: {reason} {message}", target.title)));
        }
        Outcome::Malformed => {
            return Err(Failure::Unusable(format!("{}: {}", target.title, verdict.record.message)));
        }
        _ => {}
    }
    let mut patch = Vec::new();
    let operations = verdict.patch.as_array().map(Vec::as_slice).unwrap_or_default();
    if target.shape == Shape::Template
        && !object.get("metadata").is_some_and(Value::is_object)
        && !operations.is_empty()
    {
        // A pod always has metadata, a template need not.
        patch.push(json!({ "op": "add", "path": format!("{}/metadata", target.pointer), "value": {} }));
    }
    patch.extend(operations.iter().map(|operation| moved_below(&target.pointer, operation)));
    Ok(Judged { target, verdict, patch, review: None })
}

/// Judges as the API server would have it judged: first whether it is injected, then, in an isolated namespace, whether
/// it stays on its nodes.
fn both_entries(catalog: &Catalog, namespace: &str, mut pod: Value) -> Result<Verdict, Failure> {
    let mut verdict = admit::judge(catalog, namespace, &pod);
    let is_over = matches!(
        verdict.record.outcome,
        Outcome::Denied | Outcome::Failed | Outcome::Malformed | Outcome::Unavailable
    );
    if is_over || !catalog.isolates(namespace) {
        return Ok(verdict);
    }
    apply(&mut pod, verdict.patch.as_array().map(Vec::as_slice).unwrap_or_default())?;
    let isolated = admit::judge_isolation(catalog, namespace, &pod);
    let skipped = verdict.record.outcome == Outcome::Skipped;
    if isolated.record.outcome == Outcome::Denied || skipped && isolated.record.outcome != Outcome::Skipped {
        verdict.record = isolated.record;
    }
    verdict.warnings.extend(isolated.warnings);
    // What the first entry has added is there for the second one.
    let news = |note: &Note| skipped || note.action != Action::Unchanged;
    verdict.notes.extend(isolated.notes.into_iter().filter(news));
    if let (Value::Array(patch), Value::Array(more)) = (&mut verdict.patch, isolated.patch) {
        patch.extend(more);
    }
    Ok(verdict)
}

/// Answers a review as the webhook does, from bytes to bytes.
fn answer(catalog: &Catalog, review: &Value, target: Target) -> Result<Judged, Failure> {
    let body = serde_json::to_vec(review).map_err(internal)?;
    let answer = admit::review(catalog, &body);
    let text = String::from_utf8_lossy(&answer.body.to_vec()).trim_end().to_owned();
    match answer.status {
        200 => {}
        _ if answer.record.reason == "revision_unknown" => return Err(given_elsewhere(&target)),
        400..500 => return Err(Failure::Unusable(format!("{}: {text}", target.title))),
        status => {
            return Err(Failure::Internal(anyhow::anyhow!("{}: status {status}: {text}", target.title)));
        }
    }
    let review: Value = serde_json::from_slice(&answer.body.to_vec()).map_err(internal)?;
    let patch = match review.pointer("/response/patch").and_then(Value::as_str) {
        Some(encoded) => {
            let patch = STANDARD.decode(encoded).map_err(internal)?;
            serde_json::from_slice(&patch).map_err(internal)?
        }
        None => Vec::new(),
    };
    let warnings = review.pointer("/response/warnings").and_then(Value::as_array).into_iter().flatten();
    let verdict = Verdict {
        warnings: warnings.filter_map(|warning| warning.as_str().map(ToOwned::to_owned)).collect(),
        patch: Value::Array(patch.clone()),
        record: answer.record,
        notes: Vec::new(),
        secrets: Vec::new(),
    };
    Ok(Judged { target, verdict, patch, review: Some(review) })
}

/// A webhook asks to be asked again: it may hear of the revision. Here the inputs are all there is.
fn given_elsewhere(target: &Target) -> Failure {
    Failure::Unusable(format!(
        "{}: it was injected by another revision of its profile than these inputs make; leave the annotation {STATUS_ANNOTATION} and what has names with {OBJECT_PREFIX} out, and it is judged as a new one",
        target.title
    ))
}

fn moved_below(prefix: &str, operation: &Value) -> Value {
    let mut moved = operation.clone();
    for field in ["path", "from"] {
        if let Some(Value::String(path)) = moved.get_mut(field) {
            path.insert_str(0, prefix);
        }
    }
    moved
}

/// Applies operations; what stays keeps the order in which the user wrote it.
pub(super) fn apply(document: &mut Value, patch: &[Value]) -> Result<(), Failure> {
    for operation in patch {
        if !remove_in_place(document, operation) {
            let operation: json_patch::PatchOperation =
                serde_json::from_value(operation.clone()).map_err(internal)?;
            json_patch::patch(document, &[operation]).map_err(internal)?;
        }
    }
    Ok(())
}

/// `json_patch` removes by swapping with the last key, which would shuffle what the user wrote.
fn remove_in_place(document: &mut Value, operation: &Value) -> bool {
    let text = |field: &str| operation.get(field).and_then(Value::as_str);
    let Some((parent, key)) = text("path").and_then(|path| path.rsplit_once('/')) else {
        return false;
    };
    if text("op") != Some("remove") {
        return false;
    }
    let key = key.replace("~1", "/").replace("~0", "~");
    let parent = document.pointer_mut(parent).and_then(Value::as_object_mut);
    parent.is_some_and(|parent| parent.shift_remove(&key).is_some())
}

/// What happened, as one phrase.
pub(super) fn phrase(record: &Record) -> String {
    let Record { outcome, reason, role, profile, revision, variant, message, .. } = record;
    let mut by = Vec::new();
    if let Some(role) = role {
        by.push((*role).as_str().to_owned());
    }
    for (what, name) in [("profile", profile), ("variant", variant), ("files", revision)] {
        if !name.is_empty() {
            by.push(format!("{what} {name}"));
        }
    }
    let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) };
    match outcome {
        Outcome::Injected => format!("injected{by}"),
        Outcome::Isolated => format!("isolated: held to the nodes of its namespace{by}"),
        Outcome::Unchanged => format!("nothing to do: everything is there already{by}"),
        Outcome::Skipped => {
            let why = if message.is_empty() { &reason.replace('_', " ") } else { message };
            format!("left alone: {why}{by}")
        }
        Outcome::Audited => {
            let message = if message.is_empty() { "would have been injected" } else { message };
            format!("left alone, the profile is in mode Audit: {message}{by}")
        }
        Outcome::Denied => format!("denied: {message}"),
        Outcome::Failed | Outcome::Malformed | Outcome::Unavailable => {
            format!("{}: {message}", outcome.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removing_keeps_the_order() {
        let mut document = json!({"a": 1, "b/c": 2, "d": {"e": [1, 2]}, "f": 3});
        let patch = [
            json!({"op": "remove", "path": "/b~1c"}),
            json!({"op": "remove", "path": "/d/e/0"}),
            json!({"op": "add", "path": "/d/e/-", "value": 9}),
        ];
        apply(&mut document, &patch).unwrap();
        assert_eq!(document.to_string(), r#"{"a":1,"d":{"e":[2,9]},"f":3}"#);
        apply(&mut document, &[json!({"op": "remove", "path": "/none"})]).unwrap_err();
    }

    #[test]
    fn operations_move_below_the_object() {
        let operation = json!({"op": "move", "from": "/a", "path": "/b"});
        let expected = json!({"op": "move", "from": "/items/0/a", "path": "/items/0/b"});
        assert_eq!(moved_below("/items/0", &operation), expected);
    }
}
