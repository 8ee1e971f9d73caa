//! Where a pod may run: node selector, tolerations, spread, affinity, priority.

use serde_json::{Map, Value, json};

use super::lists::{List, append_unequal};
use super::{Action, Denial, Merge, selector};
use crate::admit::equal::{Kind, same};
use crate::admit::patch::ListEdit;
use crate::admit::plan::{Item, SPREAD_KEY};
use crate::admit::pod::value_of;
use crate::admit::pointer::Pointer;

pub(super) fn node_selector(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let (own, wanted) = (merge.target.spec.node_selector.as_ref(), &merge.plan.overlay.node_selector);
    selector::merge(own, wanted.as_slice(), merge.place, &mut merge.patch, &mut merge.notes)
}

pub(super) fn tolerations(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let plan = merge.plan;
    let present = merge.target.spec.tolerations;
    append_unequal(merge, "/spec/tolerations", &plan.overlay.tolerations, present, List("toleration", &[]));
    Ok(())
}

pub(super) fn topology_spread(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let plan = merge.plan;
    let present = merge.target.spec.topology_spread_constraints;
    let path = "/spec/topologySpreadConstraints";
    let list = List("topologySpreadConstraint", SPREAD_KEY);
    append_unequal(merge, path, &plan.overlay.topology_spread, present, list);
    Ok(())
}

/// Set where absent. Under `enforce` the pod's own is kept to ours as well.
pub(super) fn affinity(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let plan = merge.plan;
    let Some(item) = plan.overlay.scalars.get("affinity") else {
        return Ok(());
    };
    let theirs = value_of(merge.target.spec.affinity);
    if item.value.as_object().is_none_or(Map::is_empty) {
        merge.note(Action::Unchanged, "", item);
    } else if theirs.as_object().is_none_or(Map::is_empty) {
        merge.patch.add("/spec/affinity", &item.json);
        merge.note(Action::Added, "", item);
    } else if same(Kind::Plain, &item.value, &theirs) {
        merge.note(Action::Unchanged, "", item);
    } else if plan.enforced.contains("affinity") {
        enforce_affinity(merge, item, &theirs)?;
    } else {
        merge.note(Action::Kept, "", item);
    }
    Ok(())
}

const REQUIRED: &str = "/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";

/// How large a conjunction may be: each term of a pod is written as often as the profile has terms, and the other way
/// round.
const MAX_CONJUNCTION_BYTES: usize = 256 * 1024;

/// Both together: what the pod lacks of ours is added to it, so that everything required of either is required.
fn enforce_affinity<'a>(merge: &mut Merge<'a>, item: &'a Item, theirs: &Value) -> Result<(), Denial> {
    let affinity = Pointer::new("/spec/affinity");
    let before = merge.patch.len();
    for (part, ours) in item.value.as_object().into_iter().flatten() {
        match theirs.get(part).filter(|theirs| theirs.is_object()) {
            None if ours.is_null() => {}
            None => merge.patch.add(affinity.key(part), &ours.to_string()),
            Some(theirs) => add_missing(merge, affinity.key(part), ours, theirs),
        }
    }
    if theirs.get("nodeAffinity").is_some_and(Value::is_object) {
        require_nodes(merge, item, theirs)?;
    }
    let action = if merge.patch.len() > before { Action::Replaced } else { Action::Unchanged };
    merge.note(action, "", item);
    Ok(())
}

/// Adds the entries of lists that hold together: all but the required terms of nodes.
fn add_missing(merge: &mut Merge<'_>, part: Pointer<'_>, ours: &Value, theirs: &Value) {
    for (list, ours) in ours.as_object().into_iter().flatten() {
        let Some(ours) = ours.as_array() else { continue };
        let known = theirs.get(list).and_then(Value::as_array);
        let mut edit = ListEdit::new(part.key(list), known.is_some());
        let is_missing =
            |ours: &&Value| !known.into_iter().flatten().any(|known| same(Kind::Plain, ours, known));
        for entry in ours.iter().filter(is_missing) {
            edit.push(&mut merge.patch, &entry.to_string());
        }
        edit.finish(&mut merge.patch);
    }
}

/// Terms are ORed and the expressions of one term ANDed, so the conjunction is every pair of a term of ours and theirs.
fn require_nodes(merge: &mut Merge<'_>, item: &Item, theirs: &Value) -> Result<(), Denial> {
    let ours = terms(&item.value);
    let known = terms(theirs);
    let satisfied = |term: &Value| is_empty_term(term) || ours.iter().any(|ours| contains_term(term, ours));
    if ours.is_empty() || !known.is_empty() && known.iter().all(satisfied) {
        return Ok(());
    }
    let size = merge.target.spec.affinity.map_or(0, |affinity| affinity.get().len());
    if size * ours.len() + item.json.len() * known.len() > MAX_CONJUNCTION_BYTES {
        return Err(Denial::unprocessable(
            "affinity_too_large",
            format!(
                "the pod has {} required node affinity terms in {size} bytes, and each has to be joined with each of the {} that profile {} enforces ({}): more than {MAX_CONJUNCTION_BYTES} bytes; ask for less in the pod",
                known.len(),
                ours.len(),
                merge.plan.profile,
                item.origin
            ),
        ));
    }
    let conjunction: Vec<Value> = if known.is_empty() {
        ours.to_vec()
    } else {
        known.iter().flat_map(|theirs| ours.iter().map(move |ours| both(theirs, ours))).collect()
    };
    let node = Pointer::new("/spec/affinity/nodeAffinity");
    let required = json!({ "nodeSelectorTerms": conjunction }).to_string();
    merge.patch.add(node.key("requiredDuringSchedulingIgnoredDuringExecution"), &required);
    Ok(())
}

pub(super) fn terms(affinity: &Value) -> &[Value] {
    affinity.pointer(REQUIRED).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) const PARTS: [&str; 2] = ["matchExpressions", "matchFields"];

pub(super) fn expressions<'v>(term: &'v Value, part: &str) -> &'v [Value] {
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
    let mut term = Map::new();
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
    merge.patch.add("/spec/priorityClassName", &item.json);
    if spec.priority.is_some() {
        merge.patch.remove("/spec/priority");
    }
    if spec.preemption_policy.is_some() {
        merge.patch.remove("/spec/preemptionPolicy");
    }
    merge.note(Action::Added, "", item);
    Ok(())
}
