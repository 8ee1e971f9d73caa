//! The merge rules: for each field, absent is added, equal is left unchanged, different is kept or refused.

mod affinity;
mod containers;
mod decisions;
mod env;
mod init_container;
mod lists;
mod local_dirs;
mod metadata;
mod modes;
mod mounts;
mod nesting;
mod network;
mod reinvocation;
pub(crate) use reinvocation::platform;
mod revisions;
mod scalars;
mod security;
mod spark_container;
mod volumes;

use serde_json::Value;
use spark_injector::catalog::Catalog;

use crate::support::{self, denied, inject, inject_with_warnings};

/// The whole of a row: what a pod has, and what becomes of it.
#[track_caller]
fn added(catalog: &Catalog, pod: &Value, pointer: &str, expected: &Value) {
    let pod = inject(catalog, pod);
    assert_eq!(pod.pointer(pointer), Some(expected));
}

/// The user's value stays, and one warning that fits says which.
#[track_caller]
fn kept(catalog: &Catalog, pod: &Value, pointer: &str, word: &str) {
    let (patched, warnings) = inject_with_warnings(catalog, pod);
    assert_eq!(patched.pointer(pointer), pod.pointer(pointer), "the user's value stays");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains(word) && warnings[0].contains("kept"), "{warnings:?}");
}

/// Under `enforce` a different value is refused, with what to do.
#[track_caller]
fn enforced(catalog: &Catalog, pod: &Value, word: &str) {
    let (code, message) = denied(catalog, pod);
    assert_eq!(code, 403, "{message}");
    for part in [word, "enforces", "team-a", "leave it out"] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

/// A spec with one pod field in `common`, with or without `enforce`.
fn common(field: &str, enforce: &str) -> String {
    format!("{{common: {{template: {{spec: {{{field}}}}}}}, enforce: [{enforce}]}}")
}

/// A spec with one field of the Spark container in `common`.
fn spark_field(field: &str, enforce: &str) -> String {
    common(&format!("containers: [{{name: spark, {field}}}]"), enforce)
}

/// Admits as the API server would present the pod, lets another webhook change it, and admits again.
#[track_caller]
fn reinvoked(catalog: &Catalog, pod: &Value) -> Value {
    let first = support::admit(catalog, support::TEAM, &support::cluster::represent(pod));
    assert!(first.allowed, "{}", first.message);
    let between = support::cluster::represent(&support::cluster::other_webhook(&first.pod));
    let second = support::admit(catalog, support::TEAM, &between);
    assert!(second.allowed, "the second call: {}", second.message);
    assert!(second.patch.is_null(), "the second call: {:#}", second.patch);
    assert_eq!(second.warnings, first.warnings, "nothing new to say");
    between
}
