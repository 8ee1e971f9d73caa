//! The schema of the custom resource, for documents that no API server has seen: what is valid offline is accepted by a
//! cluster.

use std::cell::LazyCell;
use std::collections::HashSet;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::ProblemKind;
use super::decode::join;
use super::report::Report;
use crate::api::SparkProfileSpec;

/// The schema of a profile's `spec`, made when it is first asked for. To be dropped with the compilation: to keep it would
/// take memory that nobody looks at until profiles change.
pub(super) struct Schema {
    spec: LazyCell<Value>,
    has_bounds: bool,
}

impl Schema {
    /// See [`Settings::schema_bounds`](super::Settings::schema_bounds).
    pub(super) fn new(has_bounds: bool) -> Self {
        Self { spec: LazyCell::new(generate), has_bounds }
    }

    /// Holds a spec to the bounds, if that is asked for.
    pub(super) fn check(&self, spec: &Value, report: &mut Report) {
        if self.has_bounds {
            check(&self.spec, spec, "spec", report);
        }
    }

    /// The fields that may stand beside an unknown one.
    pub(super) fn allowed_fields(&self, path: &str) -> String {
        let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
        let mut schema: &Value = &self.spec;
        for part in parent.split('.').skip(1).filter(|part| !part.is_empty()) {
            let (name, index) =
                part.split_once('[').map_or((part, None), |(name, index)| (name, Some(index)));
            let property = schema.pointer(&format!("/properties/{name}"));
            let Some(next) = property.or_else(|| schema.get("additionalProperties")) else {
                return String::new();
            };
            schema = next;
            if index.is_some() {
                schema = schema.get("items").unwrap_or(&Value::Null);
            }
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        let mut names: Vec<&str> = properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
        names.sort_unstable();
        names.join(", ")
    }
}

fn generate() -> Value {
    let mut settings = SchemaSettings::openapi3();
    settings.inline_subschemas = true;
    SchemaGenerator::new(settings).into_root_schema_for::<SparkProfileSpec>().into()
}

/// Checks a value, whose types are checked elsewhere, and all that is in it. How many and how long there may be is said
/// here; what may stand in a text has better words where it is used.
fn check(schema: &Value, value: &Value, path: &str, report: &mut Report) {
    let most = |bound: &str| schema.get(bound).and_then(Value::as_u64);
    let mut counted = |number: usize, bound: &str, what: &str| {
        let number = number as u64;
        if let Some(most) = most(bound).filter(|most| number > *most) {
            let message = format!("{number} {what}, at most {most} are possible");
            report.kind(ProblemKind::TooLarge, path, message);
        }
    };
    match value {
        Value::String(text) => {
            counted(text.chars().count(), "maxLength", "characters");
            if text.is_empty() && most("minLength") == Some(1) {
                report.at(path, "empty; write something or leave the field out");
            }
        }
        Value::Array(list) => {
            counted(list.len(), "maxItems", "entries");
            let Some(items) = schema.get("items") else { return };
            let is_set = schema.get("x-kubernetes-list-type").is_some_and(|kind| kind == "set");
            let mut seen = HashSet::new();
            for (index, item) in list.iter().enumerate() {
                let at = format!("{path}[{index}]");
                check(items, item, &at, report);
                if is_set && item.as_str().is_some_and(|text| !seen.insert(text)) {
                    report.at(at, format!("{item} stands here twice"));
                }
            }
        }
        Value::Object(map) => {
            counted(map.len(), "maxProperties", "entries");
            let properties = schema.get("properties").and_then(Value::as_object);
            for (key, value) in map {
                let property = properties.and_then(|properties: &Map<String, Value>| properties.get(key));
                if let Some(schema) = property.or_else(|| schema.get("additionalProperties")) {
                    check(schema, value, &join(path, key), report);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_bound_is_named_where_it_is_broken() {
        let text = json!({ "type": "string", "minLength": 1, "maxLength": 2 });
        let schema = json!({ "properties": {
            "list": { "maxItems": 1, "items": { "properties": { "text": text } } },
            "set": { "x-kubernetes-list-type": "set", "items": {} },
            "map": { "maxProperties": 1, "additionalProperties": text },
        }});
        let said = |value: Value| {
            let mut report = Report::new("a.yaml", "SparkProfile a");
            check(&schema, &value, "spec", &mut report);
            let problems = report.into_problems().into_iter();
            problems.map(|problem| format!("{}: {}", problem.path, problem.message)).collect::<Vec<_>>()
        };
        let good =
            json!({ "list": [{ "text": "äö", "other": "long" }], "map": { "a": "b" }, "none": [1, 2] });
        assert_eq!(said(good), Vec::<String>::new());
        let bad = json!({ "list": [{ "text": "" }, { "text": "abc" }], "map": { "a": "abc", "b": "c" }, "set": ["a", "b", "a"] });
        let expected = [
            "spec.list: 2 entries, at most 1 are possible",
            "spec.list[0].text: empty; write something or leave the field out",
            "spec.list[1].text: 3 characters, at most 2 are possible",
            "spec.map: 2 entries, at most 1 are possible",
            "spec.map.a: 3 characters, at most 2 are possible",
            "spec.set[2]: \"a\" stands here twice",
        ];
        assert_eq!(said(bad), expected);
    }
}
