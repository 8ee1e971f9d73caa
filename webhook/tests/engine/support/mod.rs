//! What every test of the engine needs: a world to compile, pods to admit, and one way to admit them.
//!
//! Tests look at the patched pod, never at the operations. Whatever is injected here is admitted once more, and the
//! second answer must have nothing to do: the fixed point is checked by every test, not by one.

pub(crate) mod answer;
pub(crate) mod cluster;
pub(crate) mod files;
pub(crate) mod pods;
pub(crate) mod world;

pub(crate) use answer::{admit, denied, inject, inject_with_warnings, isolate, untouched};
pub(crate) use pods::{driver, executor, fixture, spark_of};
use serde_json::Value;
pub(crate) use world::{TEAM, World, catalog, world};

/// A value from YAML.
pub(crate) fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

/// Puts a value at a JSON pointer; parents that are missing become maps.
pub(crate) fn put(pod: &mut Value, pointer: &str, value: impl Into<Value>) {
    let mut at = pod;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if !at.is_array() && !at.is_object() {
            *at = Value::Object(serde_json::Map::new());
        }
        at = match at {
            Value::Array(list) => {
                if part == "-" {
                    list.push(Value::Null);
                }
                let index = part.parse().unwrap_or(list.len() - 1);
                &mut list[index]
            }
            Value::Object(map) => map.entry(part).or_insert(Value::Null),
            _ => unreachable!("made a map above"),
        };
    }
    *at = value.into();
}

/// The pod with a value put at a JSON pointer.
pub(crate) fn with(mut pod: Value, pointer: &str, value: impl Into<Value>) -> Value {
    put(&mut pod, pointer, value);
    pod
}

/// The names of the elements of a list.
pub(crate) fn names<'v>(pod: &'v Value, pointer: &str) -> Vec<&'v str> {
    let list = pod.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten().map(|element| element["name"].as_str().unwrap_or_default()).collect()
}

/// The element of a list that has this name.
pub(crate) fn named<'v>(pod: &'v Value, pointer: &str, name: &str) -> &'v Value {
    let list = pod.pointer(pointer).and_then(Value::as_array);
    let found = list.into_iter().flatten().find(|element| element["name"] == name);
    found.unwrap_or(&Value::Null)
}
