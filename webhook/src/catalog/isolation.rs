//! Isolation: what of a profile holds for every pod of its namespaces, and where profile and label do not agree.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use serde_json::{Value, json};

use super::build::Builder;
use super::compiled::{RolePlans, Service};
use super::parse::subject;
use super::report::Report;
use super::{Catalog, Problem, ProblemKind, syntax};
use crate::admit::covers;
use crate::admit::plan::{Isolation, Item, NodeSelector, Plan};
use crate::api::names::{ISOLATE_ENABLED, ISOLATE_LABEL, NODE_SELECTOR_ANNOTATION};
use crate::api::{Mode, SelectorScope};

/// What holds for every pod, where the profile's scope is AllPods.
pub(super) fn of(builder: &Builder<'_>, plans: [&RolePlans; 2]) -> Option<Isolation> {
    let composed = builder.composed;
    if composed.scope != Some(SelectorScope::AllPods) {
        return None;
    }
    let plans: Vec<&Plan> = plans
        .into_iter()
        .flat_map(|plans| [&plans.base].into_iter().chain(plans.variants.values()))
        .collect();
    let tolerations = composed.allowed_tolerations.clone().map(|mut allowed| {
        let own = plans.iter().flat_map(|plan| &plan.overlay.tolerations);
        for toleration in own.filter_map(|item| serde_json::from_value(item.value.clone()).ok()) {
            if !allowed.contains(&toleration) {
                allowed.push(toleration);
            }
        }
        allowed
    });
    let affinities = plans.iter().filter_map(|plan| plan.overlay.scalars.get("affinity"));
    let mut expressions: Vec<Value> = affinities.flat_map(|item| required(&item.value)).cloned().collect();
    expressions.dedup();
    Some(Isolation {
        tolerations,
        expressions,
        status: Item::status(
            &json!({ "profile": builder.name, "plan": builder.fingerprint, "isolated": true }),
        ),
    })
}

/// Every expression of the required node affinity.
fn required(affinity: &Value) -> impl Iterator<Item = &Value> {
    let terms = "/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    list(affinity.pointer(terms)).flat_map(|term| list(term.get("matchExpressions")))
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// What both allow: of each list what the other one covers. A profile can narrow what it extends, never widen it.
pub(super) fn intersect(
    one: Option<Vec<Toleration>>,
    other: Option<Vec<Toleration>>,
) -> Option<Vec<Toleration>> {
    let (one, other) = match (one, other) {
        (None, only) | (only, None) => return only,
        (Some(one), Some(other)) => (one, other),
    };
    let is_covered = |list: &[Toleration], asked: &Toleration| list.iter().any(|known| covers(known, asked));
    let mut both: Vec<Toleration> = one.iter().filter(|asked| is_covered(&other, asked)).cloned().collect();
    let more = other.into_iter().filter(|asked| is_covered(&one, asked));
    both.extend(more);
    both.dedup();
    Some(both)
}

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// The operators with which a list can say what is allowed.
pub(super) const OPERATORS: [&str; 2] = ["Equal", "Exists"];

/// Checks tolerations, with one of these operators or none, as the API server checks those of a pod.
pub(super) fn check_tolerations(
    tolerations: &[Toleration],
    operators: &[&str],
    list: &str,
    report: &mut Report,
) {
    for (index, toleration) in tolerations.iter().enumerate() {
        let path = format!("{list}[{index}]");
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let (key, operator) = (text(&toleration.key), text(&toleration.operator));
        if !operator.is_empty() && !operators.contains(&operator.as_str()) {
            let message = format!("{operator:?} is not supported; write {}", operators.join(" or "));
            report.at(format!("{path}.operator"), message);
        }
        if key.is_empty() && operator != "Exists" {
            report.at(format!("{path}.key"), "missing; without a key the operator has to be Exists");
        } else if !key.is_empty() && !syntax::is_label_key(&key) {
            report.at(
                format!("{path}.key"),
                format!("{key:?} is not the key of a taint: {}", syntax::LABEL_KEY),
            );
        }
        if operator == "Exists" && !text(&toleration.value).is_empty() {
            report.at(format!("{path}.value"), "not with operator Exists; leave it out");
        }
        let effect = text(&toleration.effect);
        if !effect.is_empty() && !EFFECTS.contains(&effect.as_str()) {
            report.at(
                format!("{path}.effect"),
                format!("{effect:?} is not an effect; write {}", EFFECTS.join(", ")),
            );
        }
    }
}

/// Names in a message; more would hide the rest of it.
const NAMED: usize = 3;

/// Labels without the scope, scopes without the label, and isolation that isolates from nothing.
pub(super) fn gaps(catalog: &Catalog) -> impl Iterator<Item = Problem> {
    let mut gaps = Vec::new();
    let mut unlabelled: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, entry) in catalog.entries() {
        let Service::Profile(profile) = entry.service else { continue };
        let label = || gap(format!("Namespace {name}"), format!("metadata.labels[{ISOLATE_LABEL}]"));
        match (&profile.isolation, entry.isolated) {
            (None, true) => gaps.push(Problem {
                message: format!(
                    "isolates nothing: profile {} does not have spec.nodeSelector.scope: AllPods; only its Spark pods are held to its nodes (and the policy spark-injector-isolation, where it is installed, refuses the others)",
                    profile.name
                ),
                ..label()
            }),
            (Some(_), true)
                // An annotation that is empty on purpose exempts from a default; without a default there is nothing.
                if entry.mode == Mode::Enforce
                    && is_empty(&profile.default_selector)
                    && is_empty(entry.selector) => {
                gaps.push(Problem {
                    message: format!(
                        "isolates from nothing: neither annotation {NODE_SELECTOR_ANNOTATION} nor spec.nodeSelector.default of profile {} says on which nodes its pods belong",
                        profile.name
                    ),
                    ..label()
                });
            }
            (Some(_), false) => unlabelled.entry(&profile.name).or_default().push(name),
            (Some(_), true) | (None, false) => {}
        }
    }
    for (profile, mut namespaces) in unlabelled {
        namespaces.sort_unstable();
        let more = namespaces.len().saturating_sub(NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        namespaces.truncate(NAMED);
        gaps.push(Problem {
            message: format!(
                "AllPods has no effect in {}{more}, without the label {ISOLATE_LABEL}: {ISOLATE_ENABLED}; only Spark pods are held to their nodes there",
                namespaces.join(", ")
            ),
            ..gap(subject(profile), "spec.nodeSelector.scope".to_owned())
        });
    }
    gaps.sort();
    gaps.into_iter()
}

fn is_empty(selector: &NodeSelector) -> bool {
    selector.selector.as_ref().is_ok_and(BTreeMap::is_empty)
}

fn gap(subject: String, path: String) -> Problem {
    Problem { origin: String::new(), subject, path, message: String::new(), kind: ProblemKind::Invalid }
}
