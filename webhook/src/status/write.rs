//! From a verdict and the status of before to what is written: the status, and the Events. Pure.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::events::{Event, EventType};
use serde_json::{Value, json};

use super::verdict::{Finding, Kind, Verdict};
use crate::api::{GROUP_VERSION, KIND, NamespaceCounts, SparkProfileStatus};

/// What the Events are about.
const ACTION: &str = "Compile";

/// Whether a status says what the verdict says.
pub(super) fn is_told(verdict: &Verdict, status: &SparkProfileStatus) -> bool {
    let served = status.namespaces.as_ref().and_then(|counts| counts.served);
    let is_told = |finding: &Finding| {
        condition(status, finding.kind).is_some_and(|told| {
            told.status == holds(finding)
                && told.reason == finding.reason.as_str()
                && told.message == finding.message
                && told.observed_generation == Some(verdict.generation)
        })
    };
    status.observed_generation == Some(verdict.generation)
        && status.revision == verdict.revision
        && served == Some(verdict.served)
        && verdict.findings.iter().all(is_told)
}

/// Our part of the status.
pub(super) fn status(verdict: &Verdict, before: &SparkProfileStatus, now: Timestamp) -> SparkProfileStatus {
    let condition = |finding: &Finding| {
        let status = holds(finding);
        let same = condition(before, finding.kind).filter(|told| told.status == status);
        Condition {
            last_transition_time: same.map_or(Time(now), |told| told.last_transition_time.clone()),
            message: finding.message.clone(),
            observed_generation: Some(verdict.generation),
            reason: finding.reason.as_str().to_owned(),
            status: status.to_owned(),
            type_: finding.kind.as_str().to_owned(),
        }
    };
    SparkProfileStatus {
        conditions: verdict.findings.iter().map(condition).collect(),
        observed_generation: Some(verdict.generation),
        revision: verdict.revision.clone(),
        namespaces: Some(NamespaceCounts { served: Some(verdict.served), ..NamespaceCounts::default() }),
        ..SparkProfileStatus::default()
    }
}

/// What is applied. The uid keeps it from a profile that was made anew under the same name.
pub(super) fn object(name: &str, uid: &str, status: &SparkProfileStatus) -> Value {
    json!({
        "apiVersion": GROUP_VERSION,
        "kind": KIND,
        "metadata": { "name": name, "uid": uid },
        "status": status,
    })
}

/// Which object an Event is about.
pub(super) fn reference(name: &str, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some(GROUP_VERSION.to_owned()),
        kind: Some(KIND.to_owned()),
        name: Some(name.to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}

/// What changed: whether the profile is ready, and why not; whether another one claims the same.
pub(super) fn events(verdict: &Verdict, before: &SparkProfileStatus) -> Vec<Event> {
    let event = |finding: &Finding| {
        let told = condition(before, finding.kind);
        let is_news = told.is_none_or(|told| {
            told.status != holds(finding) || (is_bad(finding) && told.reason != finding.reason.as_str())
        });
        // Nobody waits to hear that all is well with something that was never in doubt.
        let never_bad = told.is_none() && finding.kind == Kind::Conflict && !is_bad(finding);
        (is_news && !never_bad).then(|| Event {
            type_: if is_bad(finding) { EventType::Warning } else { EventType::Normal },
            reason: finding.reason.as_str().to_owned(),
            note: Some(finding.message.clone()),
            action: ACTION.to_owned(),
            secondary: None,
        })
    };
    let told = verdict.findings.iter().filter(|finding| matches!(finding.kind, Kind::Ready | Kind::Conflict));
    told.filter_map(event).collect()
}

fn is_bad(finding: &Finding) -> bool {
    finding.holds != Some(finding.kind == Kind::Ready)
}

fn holds(finding: &Finding) -> &'static str {
    match finding.holds {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    }
}

fn condition(status: &SparkProfileStatus, kind: Kind) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind.as_str())
}
