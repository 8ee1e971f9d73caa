//! The maps of strings that objects hold: files of ConfigMaps and Secrets, labels, annotations. A map is usable as a whole
//! or not at all, and every mistake in it is named.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::references::SourceKind;
use crate::catalog::ObjectData;

/// What is wrong with a field.
#[derive(Debug)]
pub(super) struct Mistake {
    /// Path of the field.
    pub(super) path: String,
    /// What is wrong. Contents of files are never quoted: they may be secrets.
    pub(super) message: String,
}

/// The files of a ConfigMap or Secret.
///
/// # Errors
///
/// Every mistake in its content.
pub(super) fn files(kind: SourceKind, object: &Map<String, Value>) -> Result<ObjectData, Vec<Mistake>> {
    let mut files = ObjectData::new();
    let mut mistakes = Vec::new();
    for (field, encoding) in content(kind) {
        let Some(entries) = entries(object, field) else {
            let message = "expected a mapping of keys to strings".to_owned();
            mistakes.push(Mistake { path: field.to_owned(), message });
            continue;
        };
        for (name, value) in entries {
            match encoding.bytes(value) {
                // `stringData` replaces what `data` of a Secret says; a ConfigMap has no such rule.
                Ok(_) if kind == SourceKind::ConfigMap && files.contains_key(name) => {
                    let message = "stands in data as well; keep one of them".to_owned();
                    mistakes.push(Mistake { path: format!("{field}[{name}]"), message });
                }
                Ok(bytes) => {
                    files.insert(name.clone(), bytes);
                }
                Err(message) => mistakes.push(Mistake { path: format!("{field}[{name}]"), message }),
            }
        }
    }
    if mistakes.is_empty() { Ok(files) } else { Err(mistakes) }
}

/// The labels or annotations in the metadata of an object.
///
/// # Errors
///
/// Every entry that is not a string.
pub(super) fn strings(
    metadata: &Map<String, Value>,
    field: &str,
) -> Result<BTreeMap<String, String>, Vec<Mistake>> {
    let Some(entries) = entries(metadata, field) else {
        let message = "expected a mapping of strings to strings".to_owned();
        return Err(vec![Mistake { path: format!("metadata.{field}"), message }]);
    };
    let mut strings = BTreeMap::new();
    let mut mistakes = Vec::new();
    for (key, value) in entries {
        if let Value::String(value) = value {
            strings.insert(key.clone(), value.clone());
        } else {
            let path = format!("metadata.{field}[{key}]");
            mistakes.push(Mistake { path, message: not_a_string(value) });
        }
    }
    if mistakes.is_empty() { Ok(strings) } else { Err(mistakes) }
}

/// The entries of a map that may be left out; none where it is something else.
fn entries<'o>(
    object: &'o Map<String, Value>,
    field: &str,
) -> Option<impl Iterator<Item = (&'o String, &'o Value)> + use<'o>> {
    let entries = match object.get(field) {
        None | Some(Value::Null) => None,
        Some(Value::Object(entries)) => Some(entries),
        Some(_) => return None,
    };
    Some(entries.into_iter().flatten())
}

/// The fields with content; a later one wins, as the API server lets `stringData` win over `data`.
fn content(kind: SourceKind) -> [(&'static str, Encoding); 2] {
    match kind {
        SourceKind::ConfigMap => [("data", Encoding::Text), ("binaryData", Encoding::Base64)],
        SourceKind::Secret => [("data", Encoding::Base64), ("stringData", Encoding::Text)],
    }
}

#[derive(Clone, Copy)]
enum Encoding {
    Base64,
    Text,
}

impl Encoding {
    /// The bytes of a value, or what is wrong with it.
    fn bytes(self, value: &Value) -> Result<Vec<u8>, String> {
        let Value::String(text) = value else {
            return Err(not_a_string(value));
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

/// Its type, and never the value: it may be somebody's password.
fn not_a_string(value: &Value) -> String {
    format!("is {}, not a string; write it in quotes", type_of(value))
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
