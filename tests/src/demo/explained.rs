//! What `spark-injector explain` says about a pod: which line of which profile asked for what.

use serde_json::{Value, json};

use acceptance::cli;

use super::bundle::Bundle;

/// The notes about one pod.
#[derive(Debug)]
pub(super) struct Explained {
    notes: Vec<Value>,
    said: Vec<bool>,
}

impl Explained {
    /// Explains what would become of this pod, as Spark alone made it, in a namespace.
    pub(super) fn of(pod: &Value, namespace: &str, bundle: &Bundle) -> Self {
        let mut pod = pod.clone();
        // Items of a list do not say what they are.
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["namespace"] = json!(namespace);
        let args = ["explain", "--from", bundle.argument(), "--namespace", namespace, "-o", "json"];
        let finished = cli::run(&args, pod.to_string().as_bytes());
        assert!(
            finished.status == 0,
            "spark-injector explain ended with {}: {}",
            finished.status,
            finished.stderr
        );
        let answer: Value = serde_json::from_str(&finished.stdout).expect("JSON");
        let notes = answer["objects"][0]["notes"].as_array().cloned().unwrap_or_default();
        let said = vec![false; notes.len()];
        Self { notes, said }
    }

    /// Who asked for this field, as `explain` names fields. A list without names is told by the value.
    pub(super) fn origin(&mut self, field: &str, value: Option<&Value>) -> Option<String> {
        let changes = |note: &Value| note["action"] != "kept" && note["action"] != "unchanged";
        let same = |note: &Value| {
            value.is_none_or(|value| {
                let text = note["value"].as_str().unwrap_or_default();
                serde_json::from_str::<Value>(text).is_ok_and(|said| said == *value)
            })
        };
        let at = self.notes.iter().position(|note| changes(note) && note["field"] == field && same(note))?;
        self.said[at] = true;
        self.notes[at]["origin"].as_str().map(str::to_owned)
    }

    /// Changes that nobody has asked about.
    pub(super) fn unasked(&self) -> Vec<String> {
        let changes = |action: &Value| matches!(action.as_str(), Some("added" | "replaced" | "removed"));
        let open =
            self.notes.iter().zip(&self.said).filter(|(note, said)| !**said && changes(&note["action"]));
        open.map(|(note, _)| format!("{} {}", word(&note["action"]), word(&note["field"]))).collect()
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}
