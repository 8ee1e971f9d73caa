//! The schema of the custom resource, for documents that no API server has seen: what is valid offline is accepted by a
//! cluster.

use std::borrow::Cow;
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

    /// The spec without fields that are null, which an API server drops. (It drops null entries of maps, too: here an entry
    /// of a map is somebody's file or label, of which the content is missing.)
    pub(super) fn without_nulls<'s>(&self, spec: &'s Value) -> Cow<'s, Value> {
        if !holds_null(spec) {
            return Cow::Borrowed(spec);
        }
        let mut spec = spec.clone();
        drop_nulls(&self.spec, &mut spec);
        Cow::Owned(spec)
    }

    /// Holds a spec to the bounds, if that is asked for, and says whether it is worth a closer look: Serde would read a list
    /// as the fields of a mapping in their order.
    pub(super) fn check(&self, spec: &Value, report: &mut Report) -> bool {
        !self.has_bounds || check(&self.spec, spec, "spec", report)
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

fn holds_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.iter().any(holds_null),
        Value::Object(map) => map.values().any(holds_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn drop_nulls(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, value| !(value.is_null() && property(schema, key).is_some()));
            for (key, value) in map {
                if let Some(schema) = property(schema, key).or_else(|| schema.get("additionalProperties")) {
                    drop_nulls(schema, value);
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = schema.get("items") {
                for item in list {
                    drop_nulls(items, item);
                }
            }
        }
        _ => {}
    }
}

fn property<'s>(schema: &'s Value, name: &str) -> Option<&'s Value> {
    schema.get("properties")?.get(name)
}

/// Checks a value and all that is in it, and says whether there is no list where a mapping belongs; all other types are
/// checked elsewhere. How many and how long there may be is said here; what may stand in a text has better words where it
/// is used.
fn check(schema: &Value, value: &Value, path: &str, report: &mut Report) -> bool {
    let most = |bound: &str| schema.get(bound).and_then(Value::as_u64);
    let mut counted = |number: usize, bound: &str, what: &str| {
        let number = number as u64;
        if let Some(most) = most(bound).filter(|most| number > *most) {
            let message = format!("{number} {what}, at most {most} are possible");
            report.kind(ProblemKind::TooLarge, path, message);
        }
    };
    let mut is_shaped = true;
    match value {
        Value::Array(_) if schema.get("type").is_some_and(|kind| kind == "object") => {
            report.at(path, "invalid type: list, expected a mapping");
            is_shaped = false;
        }
        Value::String(text) => {
            counted(text.chars().count(), "maxLength", "characters");
            if text.is_empty() && most("minLength") == Some(1) {
                report.at(path, "empty; write something or leave the field out");
            }
        }
        Value::Array(list) => {
            counted(list.len(), "maxItems", "entries");
            let Some(items) = schema.get("items") else { return true };
            let is_set = schema.get("x-kubernetes-list-type").is_some_and(|kind| kind == "set");
            let mut seen = HashSet::new();
            for (index, item) in list.iter().enumerate() {
                let at = format!("{path}[{index}]");
                is_shaped &= check(items, item, &at, report);
                if is_set && item.as_str().is_some_and(|text| !seen.insert(text)) {
                    report.at(at, format!("{item} stands here twice"));
                }
            }
        }
        Value::Object(map) => {
            counted(map.len(), "maxProperties", "entries");
            for (key, value) in map {
                if let Some(schema) = property(schema, key).or_else(|| schema.get("additionalProperties")) {
                    is_shaped &= check(schema, value, &join(path, key), report);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    is_shaped
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
