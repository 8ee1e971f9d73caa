//! What holds for every pod of an isolated namespace, Spark's or not: the node selector, and nothing that leads around it.
//!
//! The selector alone keeps a pod on its team's nodes: the scheduler and the kubelet both obey it. The rest guards
//! against what would make it moot, and against pods that nobody could ever schedule.

use k8s_openapi::api::core::v1::Toleration;
use serde_json::Value;
use serde_json::value::RawValue;

use super::lists::for_each;
use super::scheduling::{PARTS, expressions, terms};
use super::{Denial, Merged, Placement, metadata, selector};
use crate::admit::patch::Patch;
use crate::admit::plan::Isolation;
use crate::admit::pod::{Pod, value_of};

/// Taints that Kubernetes itself puts on nodes, and whose tolerations it gives to pods: of every pod, of those with a
/// memory request, of a `DaemonSet`.
const SYSTEM_TAINTS: [&str; 7] = [
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/network-unavailable",
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/unschedulable",
];

/// Holds a pod to the nodes of its namespace. `sign` says whether the status annotation is ours to write.
///
/// # Errors
///
/// When the pod asks for other nodes than it may have.
pub(in crate::admit) fn isolate<'a>(
    isolation: &'a Isolation,
    pod: &'a Pod<'a>,
    place: Placement<'a>,
    sign: bool,
) -> Result<Merged<'a>, Denial> {
    let mut merged = Merged { patch: Patch::default(), notes: Vec::new() };
    let Some(spec) = pod.spec.as_ref() else {
        return Ok(merged);
    };
    if sign {
        metadata::sign(pod, &isolation.status, &mut merged.patch, &mut merged.notes);
    }
    let own = spec.node_selector.as_ref();
    selector::merge(own, &[], place, &mut merged.patch, &mut merged.notes)?;
    if let Some(node) = spec.node_name.as_deref().filter(|node| !node.is_empty()) {
        return Err(Denial::policy(
            "node_name_forbidden",
            format!(
                "the pod sets nodeName {node}, but namespace {} is isolated by profile {}: only the scheduler may place its pods; leave nodeName out",
                place.namespace, place.profile
            ),
        ));
    }
    check_affinity(isolation, spec.affinity, place)?;
    check_tolerations(isolation, spec.tolerations, place)?;
    Ok(merged)
}

/// A required term may ask for no other values of a whitelisted key than the whitelist has. Keys that it does not name
/// are free, as is the name of a node: they only narrow what the selector leaves.
fn check_affinity(
    isolation: &Isolation,
    affinity: Option<&RawValue>,
    place: Placement<'_>,
) -> Result<(), Denial> {
    let Some(allowed) = place.allowed else {
        return Ok(());
    };
    let affinity = value_of(affinity);
    for expression in terms(&affinity).iter().flat_map(|term| expressions(term, PARTS[0])) {
        let text = |field: &str| expression.get(field).and_then(Value::as_str).unwrap_or_default();
        let Some(permitted) = allowed.get(text("key")) else {
            continue;
        };
        let values: Vec<&str> = expression
            .get("values")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let is_permitted = |value: &&str| permitted.iter().any(|known| known == value);
        if text("operator") == "In" && values.iter().all(is_permitted)
            || isolation.expressions.contains(expression)
        {
            continue;
        }
        return Err(Denial::policy(
            "affinity_not_allowed",
            format!(
                "the pod's required node affinity asks for {} {} ({}), but profile {} allows {} in ({}) in the isolated namespace {}; ask for these with operator In, or leave it out",
                text("key"),
                text("operator"),
                values.join(", "),
                place.profile,
                text("key"),
                permitted.join(", "),
                place.namespace
            ),
        ));
    }
    Ok(())
}

fn check_tolerations(
    isolation: &Isolation,
    tolerations: Option<&RawValue>,
    place: Placement<'_>,
) -> Result<(), Denial> {
    let (Some(allowed), Some(tolerations)) = (&isolation.tolerations, tolerations) else {
        return Ok(());
    };
    let unreadable = || {
        Denial::unprocessable(
            "tolerations_unreadable",
            "spec.tolerations is not a list of tolerations".to_owned(),
        )
    };
    let mut found = Ok(());
    let each = for_each(tolerations, |entry| {
        if found.is_ok() {
            found = serde_json::from_str(entry.get())
                .map_err(|_| unreadable())
                .and_then(|toleration| check_toleration(allowed, &toleration, place));
        }
    });
    each.map_err(|_| unreadable())?;
    found
}

fn check_toleration(
    allowed: &[Toleration],
    toleration: &Toleration,
    place: Placement<'_>,
) -> Result<(), Denial> {
    let key = toleration.key.as_deref().unwrap_or_default();
    if SYSTEM_TAINTS.contains(&key) || allowed.iter().any(|allowed| covers(allowed, toleration)) {
        return Ok(());
    }
    let choices: Vec<String> = allowed.iter().map(describe).collect();
    let choices = if choices.is_empty() { "none".to_owned() } else { choices.join(", ") };
    Err(Denial::policy(
        "toleration_not_allowed",
        format!(
            "the pod tolerates {}, but profile {} allows {choices} in the isolated namespace {}; remove the toleration",
            describe(toleration),
            place.profile,
            place.namespace
        ),
    ))
}

/// Whether a toleration tolerates whatever another one does: the rule of the in-tree plugin `PodTolerationRestriction`.
pub(crate) fn covers(one: &Toleration, other: &Toleration) -> bool {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let operator = |toleration: &Toleration| match text(&toleration.operator) {
        unset if unset.is_empty() => "Equal".to_owned(),
        set => set,
    };
    let exists = operator(one) == "Exists";
    let any_key = text(&one.key).is_empty() && exists;
    if !any_key && text(&one.key) != text(&other.key) {
        return false;
    }
    if !text(&one.effect).is_empty() && text(&one.effect) != text(&other.effect) {
        return false;
    }
    // Without a number a pod stays for ever.
    if let Some(seconds) = one.toleration_seconds
        && other.toleration_seconds.is_none_or(|other| other > seconds)
    {
        return false;
    }
    exists || operator(one) == operator(other) && text(&one.value) == text(&other.value)
}

/// A toleration as kubectl writes taints: `dedicated=team-b:NoSchedule`.
fn describe(toleration: &Toleration) -> String {
    let key = toleration.key.as_deref().filter(|key| !key.is_empty()).unwrap_or("every taint");
    let mut text = key.to_owned();
    let operator = toleration.operator.as_deref().unwrap_or_default();
    if let Some(value) = toleration.value.as_deref().filter(|_| operator != "Exists") {
        text.push('=');
        text.push_str(value);
    }
    if let Some(effect) = toleration.effect.as_deref().filter(|effect| !effect.is_empty()) {
        text.push(':');
        text.push_str(effect);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_toleration_covers_what_it_tolerates_itself() {
        let read = |value: Value| serde_json::from_value::<Toleration>(value).unwrap();
        let any = json!({"operator": "Exists"});
        let exists = json!({"key": "a", "operator": "Exists"});
        let one = json!({"key": "a", "value": "1", "effect": "NoSchedule"});
        let equal = json!({"key": "a", "operator": "Equal", "value": "1", "effect": "NoSchedule"});
        let brief =
            json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
        let ever = json!({"key": "a", "operator": "Exists", "effect": "NoExecute"});
        for (allowed, asked, expected) in [
            (&any, &one, true),
            (&any, &any, true),
            (&exists, &one, true),
            (&exists, &any, false),
            (&one, &equal, true),
            (&equal, &one, true),
            (&one, &exists, false),
            (&one, &json!({"key": "a", "value": "2", "effect": "NoSchedule"}), false),
            (&one, &json!({"key": "a", "value": "1", "effect": "NoExecute"}), false),
            (&one, &json!({"key": "a", "value": "1"}), false),
            (&exists, &json!({"key": "b", "operator": "Exists"}), false),
            (&brief, &ever, false),
            (&ever, &brief, true),
            (&brief, &brief, true),
            (&one, &json!({"key": "a", "operator": "Lt", "value": "1", "effect": "NoSchedule"}), false),
        ] {
            assert_eq!(covers(&read(allowed.clone()), &read(asked.clone())), expected, "{allowed} {asked}");
        }
    }
}
