//! Where a pod may run: node selector, tolerations, spread, affinity, priority.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::lists::append_unequal;
use super::{Action, Denial, Merge};
use crate::admit::equal::{Kind, same};
use crate::admit::patch::{MapEdit, quote};
use crate::admit::plan::Item;
use crate::admit::pod::value_of;

/// The in-tree plugin's sentence: whoever knows it recognises it.
const CONFLICT: &str = "pod node label selector conflicts with its namespace node label selector";
/// The in-tree plugin's other sentence.
const NOT_ALLOWED: &str = "pod node label selector labels conflict with its namespace whitelist";

/// Exact semantics of the in-tree plugin PodNodeSelector, with the profile's own selector as a third party.
pub(super) fn node_selector(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let place = merge.place;
    let own = merge.target.spec.node_selector.as_ref();
    let namespace = place.selector.selector.as_ref().map_err(|problem| {
        Denial::policy(
            "node_selector_malformed",
            format!(
                "{} of namespace {} is malformed: {problem}; write key=value pairs separated by commas",
                place.selector.origin, place.namespace
            ),
        )
    })?;
    let wanted = &merge.plan.overlay.node_selector;
    for item in wanted {
        if let Some(value) = namespace.get(&item.key).filter(|value| *value != item.text()) {
            return Err(Denial::policy(
                "node_selector_conflict",
                format!(
                    "{CONFLICT}: {} demands {}={}, but {} of namespace {} demands {}={value}; the owner of the profile has to agree with the namespace",
                    item.origin,
                    item.key,
                    item.text(),
                    place.selector.origin,
                    place.namespace,
                    item.key
                ),
            ));
        }
    }
    let mut edit = MapEdit::new("/spec/nodeSelector", own.is_some());
    let from_namespace =
        namespace.iter().map(|(key, value)| (key, value.as_str(), place.selector.origin.as_str()));
    let from_profile = wanted
        .iter()
        .filter(|item| !namespace.contains_key(&item.key))
        .map(|item| (&item.key, item.text(), &*item.origin));
    for (key, value, origin) in from_namespace.chain(from_profile) {
        match own.and_then(|own| own.get(key)) {
            None => {
                edit.set(&mut merge.patch, key, quote(value));
                merge.note_value(Action::Added, "nodeSelector", key, value, origin);
            }
            Some(known) if known == value => {
                merge.note_value(Action::Unchanged, "nodeSelector", key, value, origin);
            }
            Some(known) => {
                return Err(Denial::policy(
                    "node_selector_conflict",
                    format!(
                        "{CONFLICT}: the pod asks for {key}={known}, but {origin} demands {key}={value} in namespace {}; remove {key} from the pod's node selector",
                        place.namespace
                    ),
                ));
            }
        }
    }
    edit.finish(&mut merge.patch);
    check_whitelist(merge)
}

/// Every key of the merged selector must be allowed with its value, whoever set it.
fn check_whitelist(merge: &Merge<'_>) -> Result<(), Denial> {
    let Some(allowed) = merge.place.allowed else {
        return Ok(());
    };
    let own = merge.target.spec.node_selector.as_ref();
    let own = own.into_iter().flat_map(|own| own.iter().map(|(key, value)| (key, value, "the pod")));
    let namespace = merge.place.selector.selector.iter().flatten();
    let namespace =
        namespace.map(|(key, value)| (key.as_str(), value.as_str(), merge.place.selector.origin.as_str()));
    let profile = merge.plan.overlay.node_selector.iter();
    let profile = profile.map(|item| (item.key.as_str(), item.text(), &*item.origin));
    for (key, value, origin) in own.chain(namespace).chain(profile) {
        let values = allowed.get(key);
        if values.is_some_and(|values| values.iter().any(|known| known == value)) {
            continue;
        }
        return Err(Denial::policy(
            "node_selector_not_allowed",
            format!(
                "{NOT_ALLOWED}: {origin} asks for {key}={value}; profile {} allows {}",
                merge.plan.profile,
                describe_allowed(allowed)
            ),
        ));
    }
    Ok(())
}

fn describe_allowed(allowed: &BTreeMap<String, Vec<String>>) -> String {
    if allowed.is_empty() {
        return "no key at all".to_owned();
    }
    let keys: Vec<String> =
        allowed.iter().map(|(key, values)| format!("{key} in ({})", values.join(", "))).collect();
    keys.join("; ")
}

pub(super) fn tolerations(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let plan = merge.plan;
    let present = merge.target.spec.tolerations;
    append_unequal(merge, "/spec/tolerations".to_owned(), &plan.overlay.tolerations, present, "toleration");
    Ok(())
}

pub(super) fn topology_spread(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let plan = merge.plan;
    let present = merge.target.spec.topology_spread_constraints;
    let path = "/spec/topologySpreadConstraints".to_owned();
    append_unequal(merge, path, &plan.overlay.topology_spread, present, "topologySpreadConstraint");
    Ok(())
}

/// Set where absent. Under `enforce` the required node terms are ANDed to the pod's own.
pub(super) fn affinity(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let plan = merge.plan;
    let Some(item) = plan.overlay.scalars.get("affinity") else {
        return Ok(());
    };
    let theirs = value_of(merge.target.spec.affinity);
    if theirs.as_object().is_none_or(serde_json::Map::is_empty) {
        merge.patch.add("/spec/affinity".to_owned(), &*item.json);
        merge.note(Action::Added, "", item);
    } else if same(Kind::Plain, &item.value, &theirs) {
        merge.note(Action::Unchanged, "", item);
    } else if plan.enforced.contains("affinity") {
        enforce_affinity(merge, item, &theirs);
    } else {
        merge.note(Action::Kept, "", item);
    }
    Ok(())
}

const REQUIRED: &str = "/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";

/// Terms are ORed and the expressions of one term ANDed, so the conjunction is every pair of a term of ours and theirs.
fn enforce_affinity<'a>(merge: &mut Merge<'a>, item: &'a Item, theirs: &Value) {
    let ours = terms(&item.value);
    let known = terms(theirs);
    let satisfied = |term: &Value| is_empty_term(term) || ours.iter().any(|ours| contains_term(term, ours));
    if ours.is_empty() || !known.is_empty() && known.iter().all(satisfied) {
        merge.note(Action::Unchanged, "", item);
        return;
    }
    let conjunction: Vec<Value> = if known.is_empty() {
        ours.to_vec()
    } else {
        known.iter().flat_map(|theirs| ours.iter().map(move |ours| both(theirs, ours))).collect()
    };
    let required = json!({ "nodeSelectorTerms": conjunction });
    let field = "requiredDuringSchedulingIgnoredDuringExecution";
    let (path, value) = match theirs.get("nodeAffinity").filter(|node| node.is_object()) {
        Some(_) => (format!("/spec/affinity/nodeAffinity/{field}"), required),
        None => ("/spec/affinity/nodeAffinity".to_owned(), json!({ field: required })),
    };
    merge.patch.add(path, value.to_string());
    merge.note(Action::Replaced, "", item);
}

fn terms(affinity: &Value) -> &[Value] {
    affinity.pointer(REQUIRED).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

const PARTS: [&str; 2] = ["matchExpressions", "matchFields"];

fn expressions<'v>(term: &'v Value, part: &str) -> &'v [Value] {
    term.get(part).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// An empty term matches no node, and so does its conjunction with anything.
fn is_empty_term(term: &Value) -> bool {
    PARTS.iter().all(|part| expressions(term, part).is_empty())
}

fn contains_term(term: &Value, ours: &Value) -> bool {
    PARTS.iter().all(|part| {
        let known = expressions(term, part);
        expressions(ours, part).iter().all(|ours| known.iter().any(|known| same(Kind::Plain, ours, known)))
    })
}

fn both(theirs: &Value, ours: &Value) -> Value {
    if is_empty_term(theirs) {
        return theirs.clone();
    }
    let mut term = serde_json::Map::new();
    for part in PARTS {
        let all: Vec<Value> =
            expressions(theirs, part).iter().chain(expressions(ours, part)).cloned().collect();
        if !all.is_empty() {
            term.insert(part.to_owned(), Value::Array(all));
        }
    }
    Value::Object(term)
}

/// Set where unset. The Priority plugin has resolved the pod's priority before us and refuses a class that does not
/// agree with the number, so the number goes in the same patch and is computed again.
pub(super) fn priority_class(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let plan = merge.plan;
    let spec = merge.target.spec;
    let Some(item) = plan.overlay.scalars.get("priorityClassName") else {
        return Ok(());
    };
    let own = spec.priority_class_name.as_deref().unwrap_or_default();
    if own == item.text() {
        merge.note(Action::Unchanged, "", item);
        return Ok(());
    }
    if !own.is_empty() && merge.place.default_priority_class != Some(own) {
        return merge.differs("priorityClassName", "", item);
    }
    merge.patch.add("/spec/priorityClassName".to_owned(), &*item.json);
    if spec.priority.is_some() {
        merge.patch.remove("/spec/priority".to_owned());
    }
    if spec.preemption_policy.is_some() {
        merge.patch.remove("/spec/preemptionPolicy".to_owned());
    }
    merge.note(Action::Added, "", item);
    Ok(())
}
