use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::api::DynamicObject;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::contents::Content;
use super::profiles::Profile;
use super::state::State;
use super::watches::{Change, Seen};
use crate::catalog::{NamespaceInput, ObjectKey};
use crate::sources::references::SourceKind;

fn read(spec: &Value, status: &Value) -> Box<Profile> {
    let object: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile",
        "metadata": {"name": "p", "uid": "u", "generation": 3, "resourceVersion": "9", "managedFields": [],
                     "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": {"a": "b"}},
        "spec": spec, "status": status,
    }))
    .unwrap();
    Box::new(Profile::from(object))
}

fn profile(spec: &Value, status: &Value) -> Change {
    Change::Profiles(Seen::One("p".to_owned(), read(spec, status)))
}

fn all<V>(items: impl IntoIterator<Item = (&'static str, V)>) -> Seen<V> {
    Seen::All(items.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn versions(items: &[(&'static str, &str)]) -> Change {
    let versions = items.iter().map(|(name, version)| (*name, (*version).to_owned()));
    Change::Objects(SourceKind::Secret, "own".to_owned(), all(versions))
}

fn source(name: &str) -> (SourceKind, ObjectKey) {
    (SourceKind::Secret, ObjectKey { namespace: "own".to_owned(), name: name.to_owned() })
}

fn content(version: &str, text: &str) -> Content {
    let data = BTreeMap::from([("k".to_owned(), text.as_bytes().to_vec())]);
    Content { version: version.to_owned(), data }
}

/// After every pause.
fn later() -> Instant {
    Instant::now() + Duration::from_secs(3_600)
}

/// Everything was told once: one profile that names the Secret `s`.
fn synced() -> State {
    let mut state = State::new("own", &["own".to_owned()]);
    let spec = json!({"files": [{"mountPath": "/x", "secret": {"name": "s"}}]});
    state.apply(Change::Profiles(all([("p", read(&spec, &Value::Null))])));
    state.apply(Change::Namespaces(all([("n", NamespaceInput::default())])));
    state.apply(Change::Objects(SourceKind::ConfigMap, "own".to_owned(), all([])));
    assert!(!state.is_synced());
    state.apply(versions(&[("s", "1"), ("helm", "1")]));
    assert!(state.is_synced());
    state
}

#[test]
fn only_what_profiles_name_is_read_and_only_when_it_is_another_version() {
    let mut state = synced();
    assert_eq!(state.stale(Instant::now()), [source("s")]);
    state.fill(source("s"), Some(content("1", "one")));
    state.take_changes();
    state.apply(versions(&[("s", "1"), ("helm", "2")]));
    assert!(state.stale(Instant::now()).is_empty());
    assert!(state.take_changes().is_empty());

    let held = |state: &State| Arc::clone(state.snapshot().secrets[&source("s").1].as_ref().unwrap());
    let before = held(&state);
    state.apply(versions(&[("s", "2")]));
    assert_eq!(state.stale(Instant::now()), [source("s")]);
    assert!(state.fail(&source("s"), "a moment's trouble"));
    assert!(state.stale(Instant::now()).is_empty(), "not at once");
    assert_eq!(state.stale(later()), [source("s")], "one that could not be read is tried again");
    assert!(state.take_changes().is_empty() && Arc::ptr_eq(&before, &held(&state)), "what is held stays");
    state.fill(source("s"), Some(content("2", "one")));
    assert!(state.take_changes().is_empty(), "a label of it changed");
    assert!(Arc::ptr_eq(&before, &held(&state)));
    state.apply(versions(&[("s", "3")]));
    state.stale(Instant::now());
    state.fill(source("s"), Some(content("3", "two")));
    assert_eq!(state.take_changes(), ["Secret own/s"]);
}

#[test]
fn what_is_read_in_vain_is_read_again_later_or_at_another_version() {
    let answers: [fn(&mut State); 3] = [
        |state| assert!(state.fail(&source("s"), "too many requests")),
        |state| state.fill(source("s"), None),
        // The watch is behind.
        |state| state.fill(source("s"), Some(content("2", "one"))),
    ];
    for answer in answers {
        let mut state = synced();
        assert_eq!(state.stale(Instant::now()), [source("s")]);
        answer(&mut state);
        assert!(state.stale(Instant::now()).is_empty());
        assert_eq!(state.stale(later()), [source("s")]);
        state.apply(versions(&[("s", "3")]));
        assert_eq!(state.stale(Instant::now()), [source("s")]);
    }
}

#[test]
fn what_was_never_read_says_why() {
    let mut state = synced();
    state.stale(Instant::now());
    state.take_changes();
    let why = |state: &State| state.snapshot().secrets[&source("s").1].clone().unwrap_err();
    assert!(state.fail(&source("s"), "forbidden"));
    assert_eq!((why(&state).as_str(), state.take_changes()), ("forbidden", vec!["Secret own/s".to_owned()]));
    assert!(!state.fail(&source("s"), "forbidden"));
    assert!(state.take_changes().is_empty(), "the same again");
    assert!(state.fail(&source("s"), "no answer in time") && state.has_unreadable());
    assert_eq!((why(&state).as_str(), state.take_changes().len()), ("no answer in time", 1));
    state.fill(source("s"), Some(content("1", "one")));
    assert_eq!(state.take_changes(), ["Secret own/s"]);
    assert!(state.snapshot().secrets[&source("s").1].is_ok() && !state.has_unreadable());

    let gone: [fn(&mut State); 2] =
        [|state| state.apply(versions(&[])), |state| state.fill(source("s"), None)];
    for gone in gone {
        let mut state = synced();
        state.fail(&source("s"), "forbidden");
        state.take_changes();
        gone(&mut state);
        state.stale(Instant::now());
        assert_eq!(state.take_changes(), ["Secret own/s"]);
        assert!(state.snapshot().secrets.is_empty() && !state.has_unreadable());
    }
}

#[test]
fn what_a_list_leaves_out_is_gone() {
    let mut state = synced();
    state.stale(Instant::now());
    state.fill(source("s"), Some(content("1", "one")));
    state.take_changes();
    state.apply(versions(&[]));
    assert!(state.stale(Instant::now()).is_empty());
    assert_eq!(state.take_changes(), ["Secret own/s"]);
    assert!(state.snapshot().secrets.is_empty());
    state.apply(Change::Namespaces(all([("m", NamespaceInput::default())])));
    assert_eq!(state.take_changes(), ["Namespace m", "Namespace n"]);
    assert_eq!(state.snapshot().namespaces.keys().collect::<Vec<_>>(), ["m"]);
}

#[test]
fn a_source_that_nobody_names_any_more_is_forgotten() {
    let mut state = synced();
    state.stale(Instant::now());
    state.fill(source("s"), Some(content("1", "one")));
    state.apply(profile(&json!({"files": []}), &Value::Null));
    assert!(state.stale(Instant::now()).is_empty());
    assert!(state.snapshot().secrets.is_empty());
}

#[test]
fn a_status_is_nothing_that_is_compiled_but_for_the_delivered_revision() {
    let mut state = synced();
    state.take_changes();
    let spec = json!({"files": [{"mountPath": "/x", "secret": {"name": "s"}}]});
    let object = |state: &State| Arc::clone(&state.snapshot().profiles[0].object);
    let before = object(&state);
    state.apply(profile(&spec, &json!({"revision": "r", "observedGeneration": 3})));
    assert!(state.take_changes().is_empty());
    assert!(Arc::ptr_eq(&before, &object(&state)));
    assert_eq!(state.observed()["p"].status.revision.as_deref(), Some("r"));
    state.apply(profile(&spec, &json!({"deliveredRevision": "r"})));
    assert_eq!(state.take_changes(), ["delivered revision of SparkProfile p"]);
    assert_eq!(state.snapshot().profiles[0].delivered.as_deref(), Some("r"));
    // One that nobody can read is as good as none.
    state.apply(profile(&spec, &json!({"deliveredRevision": 7})));
    assert_eq!(state.snapshot().profiles[0].delivered, None);
}

#[test]
fn the_compiler_sees_the_spec_the_name_and_the_age() {
    let profile = read(&json!({"mode": "Audit"}), &json!({"revision": "r"}));
    let expected = json!({
        "apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile",
        "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 3}, "spec": {"mode": "Audit"},
    });
    assert_eq!(profile.object, expected);
    assert_eq!((&*profile.observed.uid, profile.observed.generation), ("u", 3));
}
