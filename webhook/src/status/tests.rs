use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::verdict::{Kind, Verdict, judge};
use super::write::{events, is_told, status};
use crate::api::SparkProfileStatus;
use crate::catalog::{Catalog, NamespaceInput, ProfileInput, Settings, Snapshot};
use crate::sources::cluster::Observed;

/// Judges these profiles, each of which is claimed by the namespace of its name.
fn verdicts(profiles: &[(&str, Value)], previous: Option<&Catalog>) -> (Catalog, BTreeMap<String, Verdict>) {
    let mut snapshot = Snapshot::default();
    let mut observed = BTreeMap::new();
    for (name, spec) in profiles {
        let object = json!({"apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile",
                            "metadata": {"name": name}, "spec": spec});
        snapshot.profiles.push(ProfileInput {
            origin: String::new(),
            object: object.into(),
            delivered: None,
        });
        let claims_namespaces = spec.get("namespaces").is_some();
        let seen = Observed { generation: 2, claims_namespaces, ..Observed::default() };
        observed.insert((*name).to_owned(), Arc::new(seen));
        let labels = BTreeMap::from([("spark-injector.io/inject".to_owned(), "enabled".to_owned())]);
        let namespace = NamespaceInput { labels, ..NamespaceInput::default() };
        snapshot.namespaces.insert((*name).to_owned(), Arc::new(namespace));
    }
    let catalog = Catalog::compile(&snapshot, &Settings::default(), previous);
    let verdicts = judge(&catalog, &Arc::new(observed));
    (catalog, verdicts)
}

fn verdict(spec: Value) -> Verdict {
    verdicts(&[("p", spec)], None).1.remove("p").unwrap()
}

fn told(verdict: &Verdict, kind: Kind) -> (Option<bool>, &'static str, &str) {
    let finding = verdict.findings.iter().find(|finding| finding.kind == kind).unwrap();
    (finding.holds, finding.reason.as_str(), &finding.message)
}

#[test]
fn every_state_has_its_reason() {
    let named = json!({"names": ["p"]});
    let many: BTreeMap<String, &str> = (0..1_000).map(|index| (format!("f{index}"), "x")).collect();
    for (spec, holds, reason, part) in [
        (json!({"namespaces": named}), true, "Serving", "pods are given revision"),
        (
            json!({"namespaces": {"names": ["q"]}}),
            true,
            "Serving",
            "is labelled spark-injector.io/inject: enabled",
        ),
        (json!({}), true, "OnlyExtended", "to be extended"),
        (json!({"namespaces": named, "mode": "Audit"}), true, "AuditOnly", "nothing is changed"),
        (json!({"namespaces": named, "mode": "Off"}), true, "SwitchedOff", "Off"),
        (
            json!({"namespaces": named, "enforce": ["x"]}),
            false,
            "Invalid",
            "nothing can be served, and pods are refused where it should: spec.enforce[0]: ",
        ),
        (
            json!({"namespaces": named, "files": [{"mountPath": "/x", "secret": {"name": "s"}}]}),
            false,
            "SourcesMissing",
            "refused where it should: spec.files[0].secret.name: there is no Secret \"s\"",
        ),
        (
            json!({"namespaces": named, "delivery": "Env", "files": [{"mountPath": "/x", "inline": many}]}),
            false,
            "TooLarge",
            "spec.files[0].inline: 1000 entries, at most 256",
        ),
    ] {
        let verdict = verdict(spec);
        let (held, why, message) = told(&verdict, Kind::Ready);
        assert_eq!((held, why), (Some(holds), reason), "{message}");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn sources_are_found_missing_or_not_looked_for() {
    let missing = verdict(json!({"files": [{"mountPath": "/x", "configMap": {"name": "c"}}]}));
    assert_eq!(told(&missing, Kind::SourcesFound).0, Some(false));
    let invalid = verdict(json!({"enforce": ["x"]}));
    assert_eq!(told(&invalid, Kind::SourcesFound).0, None);
    let found = verdict(json!({"files": [{"mountPath": "/x", "inline": {"a": "b"}}]}));
    assert_eq!(told(&found, Kind::SourcesFound).0, Some(true));
}

#[test]
fn what_still_serves_is_named() {
    let claim = json!({"names": ["p"]});
    let (catalog, good) = verdicts(&[("p", json!({"namespaces": claim}))], None);
    let revision = good["p"].revision.clone().unwrap();
    let (_, bad) = verdicts(&[("p", json!({"namespaces": claim, "enforce": ["x"]}))], Some(&catalog));
    assert!(told(&bad["p"], Kind::Ready).2.starts_with(&format!("revision {revision} keeps serving")));
    assert_eq!((bad["p"].revision.as_deref(), bad["p"].served), (Some(&*revision), 1));
}

#[test]
fn a_conflict_is_told_to_both_and_to_nobody_else() {
    let claim = json!({"namespaces": {"names": ["a"]}});
    let (_, verdicts) =
        verdicts(&[("a", claim.clone()), ("b", claim), ("c", json!({"namespaces": {"names": ["c"]}}))], None);
    for (name, conflict, served) in [("a", true, 1), ("b", true, 0), ("c", false, 1)] {
        assert_eq!(told(&verdicts[name], Kind::Conflict).0, Some(conflict), "{name}");
        assert_eq!(
            (told(&verdicts[name], Kind::Ready).0, verdicts[name].served),
            (Some(true), served),
            "{name}"
        );
    }
}

#[test]
fn a_message_has_room_for_some_and_counts_the_rest() {
    let fields: Vec<String> = (0..32).map(|index| format!("nonsense{index}")).collect();
    let verdict = verdict(json!({"enforce": fields}));
    let message = told(&verdict, Kind::Ready).2;
    assert!(message.len() <= 1024 && message.contains("spec.enforce[0]"), "{message}");
    assert!(message.ends_with(" more"), "{message}");
}

#[test]
fn what_was_written_is_told_and_times_change_with_the_state_alone() {
    let (first, later) = (Timestamp::from_second(1).unwrap(), Timestamp::from_second(2).unwrap());
    let good = verdict(json!({"namespaces": {"names": ["p"]}}));
    let empty = SparkProfileStatus::default();
    assert!(!is_told(&good, &empty));
    let written = status(&good, &empty, first);
    assert!(is_told(&good, &written));
    assert!(written.delivered_revision.is_none() && written.superseded.is_empty());

    let bad = verdict(json!({"namespaces": {"names": ["p"]}, "enforce": ["x"]}));
    assert!(!is_told(&bad, &written));
    let times = |status: &SparkProfileStatus| -> Vec<i64> {
        status.conditions.iter().map(|condition| condition.last_transition_time.0.as_second()).collect()
    };
    // Ready and SourcesFound changed; Conflict and Warnings did not.
    assert_eq!(times(&status(&bad, &written, later)), [2, 2, 1, 1]);
}

#[test]
fn events_are_about_changes() {
    let named = |spec: &str| {
        let mut spec: Value = serde_json::from_str(spec).unwrap();
        spec["namespaces"] = json!({"names": ["p"]});
        verdict(spec)
    };
    let reasons = |verdict: &Verdict, before: &SparkProfileStatus| -> Vec<String> {
        events(verdict, before).into_iter().map(|event| event.reason).collect()
    };
    let now = Timestamp::from_second(1).unwrap();
    let (good, bad) = (named("{}"), named(r#"{"enforce": ["x"]}"#));
    let empty = SparkProfileStatus::default();
    assert_eq!(reasons(&good, &empty), ["Serving"]);
    let written = status(&good, &empty, now);
    assert!(reasons(&good, &written).is_empty());
    assert_eq!(reasons(&bad, &written), ["Invalid"]);
    let written = status(&bad, &written, now);
    // Another mistake of the same kind is in the status; of another kind is news.
    assert!(reasons(&named(r#"{"enforce": ["y"]}"#), &written).is_empty());
    let missing = named(r#"{"files": [{"mountPath": "/x", "secret": {"name": "s"}}]}"#);
    assert_eq!(reasons(&missing, &written), ["SourcesMissing"]);
    assert_eq!(reasons(&good, &written), ["Serving"]);
}
