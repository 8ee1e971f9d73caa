//! One SparkProfile from the value that a source read.

use std::sync::Arc;

use kube::core::ObjectMeta;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::decode::decode;
use super::report::Report;
use super::schema::Schema;
use super::snapshot::ProfileInput;
use super::{Problem, syntax};
use crate::api::{GROUP_VERSION, KIND, Mode, NamespaceClaim, SparkProfileSpec};

/// A well-formed profile: its own fields are checked, its references are not.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) name: String,
    pub(super) origin: String,
    pub(super) spec: SparkProfileSpec,
}

/// What can be said of a profile even where the rest of it is broken: whom its error concerns.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outline {
    pub(super) name: Arc<str>,
    /// Where the profile came from, for messages.
    pub(super) origin: String,
    /// Creation time as the API server writes it, comparable as text; empty outside a cluster.
    pub(super) created: String,
    pub(super) mode: Option<Mode>,
    pub(super) extends: Vec<String>,
    pub(super) claim: Option<NamespaceClaim>,
}

/// Reads what it can of any object.
pub(super) fn outline(input: &ProfileInput) -> Outline {
    let text = |pointer: &str| input.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let spec = |field: &str| input.object.pointer(&format!("/spec/{field}")).unwrap_or(&Value::Null);
    Outline {
        name: text("/metadata/name").into(),
        origin: input.origin.clone(),
        created: text("/metadata/creationTimestamp").to_owned(),
        mode: Option::deserialize(spec("mode")).unwrap_or_default(),
        extends: Vec::deserialize(spec("extends")).unwrap_or_default(),
        claim: Option::deserialize(spec("namespaces")).unwrap_or_default(),
    }
}

/// Parses the profile of this name, and holds it to the schema.
///
/// # Errors
///
/// Every unknown field, and the first field of a wrong type.
pub(super) fn parse(name: &str, input: &ProfileInput, schema: &Schema) -> Result<Parsed, Vec<Problem>> {
    let mut report = Report::new(&input.origin, subject(name));
    for (field, expected) in [("apiVersion", GROUP_VERSION), ("kind", KIND)] {
        let value = input.object.get(field).and_then(Value::as_str).unwrap_or_default();
        if value != expected {
            report.at(field, format!("{value:?} is not supported, write {expected}"));
        }
    }
    if !syntax::is_label_name(name) {
        report.at("metadata.name", format!("{name:?} is not valid: {}", syntax::LABEL_NAME));
    }
    let metadata = input.object.get("metadata").unwrap_or(&Value::Null);
    let _: Option<ObjectMeta> = decode(metadata, "metadata", &mut report, |_| String::new());
    for field in input.object.as_object().into_iter().flat_map(Map::keys) {
        if !["apiVersion", "kind", "metadata", "spec", "status"].contains(&field.as_str()) {
            report.at(field, "unknown field; allowed here: apiVersion, kind, metadata, spec, status");
        }
    }
    let empty = Value::Object(Map::new());
    let spec = input.object.get("spec").filter(|spec| !spec.is_null()).unwrap_or(&empty);
    // Serde would read a list as the fields in their order.
    if !spec.is_object() {
        report.at("spec", "invalid type: expected a mapping");
        return Err(report.into_problems());
    }
    let spec = schema.without_nulls(spec);
    let spec = if schema.check(&spec, &mut report) {
        decode(&spec, "spec", &mut report, |path| schema.allowed_fields(path))
    } else {
        None
    };
    match spec {
        Some(spec) if report.is_clean() => {
            Ok(Parsed { name: name.to_owned(), origin: input.origin.clone(), spec })
        }
        _ => Err(report.into_problems()),
    }
}

/// How messages name a profile.
pub(super) fn subject(name: &str) -> String {
    format!("{KIND} {name}").trim_end().to_owned()
}
