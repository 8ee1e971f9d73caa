//! Node selectors: exact semantics of the in-tree plugin PodNodeSelector, with a profile's templates as a third party.

use std::collections::BTreeMap;

use super::{Action, Denial, NoteRef, Placement};
use crate::admit::patch::{Json, MapEdit, Patch};
use crate::admit::plan::Item;
use crate::admit::pod::TextMap;

/// The in-tree plugin's sentence: whoever knows it recognises it.
const CONFLICT: &str = "pod node label selector conflicts with its namespace node label selector";
/// The in-tree plugin's other sentence.
const NOT_ALLOWED: &str = "pod node label selector labels conflict with its namespace whitelist";

/// Merges the selector of the namespace, then what a profile's templates want, into the pod's own.
pub(super) fn merge<'a>(
    own: Option<&TextMap<'a>>,
    wanted: &'a [Item],
    place: Placement<'a>,
    patch: &mut Patch<'a>,
    notes: &mut Vec<NoteRef<'a>>,
) -> Result<(), Denial> {
    let namespace = place.selector.selector.as_ref().map_err(|problem| {
        Denial::policy(
            "node_selector_malformed",
            format!(
                "{} of namespace {} is malformed: {problem}; write key=value pairs separated by commas",
                place.selector.origin, place.namespace
            ),
        )
    })?;
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
        let action = match own.and_then(|own| own.get(key)) {
            None => {
                edit.set(patch, key, Json::Text(value));
                Action::Added
            }
            Some(known) if known == value => Action::Unchanged,
            Some(known) => {
                return Err(Denial::policy(
                    "node_selector_conflict",
                    format!(
                        "{CONFLICT}: the pod asks for {key}={known}, but {origin} demands {key}={value} in namespace {}; remove {key} from the pod's node selector",
                        place.namespace
                    ),
                ));
            }
        };
        notes.push(NoteRef { action, field: "nodeSelector", key, value, origin });
    }
    edit.finish(patch);
    check_whitelist(own, wanted, namespace, place)
}

/// Every key of the merged selector must be allowed with its value, whoever set it.
fn check_whitelist(
    own: Option<&TextMap<'_>>,
    wanted: &[Item],
    namespace: &BTreeMap<String, String>,
    place: Placement<'_>,
) -> Result<(), Denial> {
    let Some(allowed) = place.allowed else {
        return Ok(());
    };
    let own = own.into_iter().flat_map(|own| own.iter().map(|(key, value)| (key, value, "the pod")));
    let namespace =
        namespace.iter().map(|(key, value)| (key.as_str(), value.as_str(), place.selector.origin.as_str()));
    let wanted = wanted.iter().map(|item| (item.key.as_str(), item.text(), &*item.origin));
    for (key, value, origin) in own.chain(namespace).chain(wanted) {
        let values = allowed.get(key);
        if values.is_some_and(|values| values.iter().any(|known| known == value)) {
            continue;
        }
        return Err(Denial::policy(
            "node_selector_not_allowed",
            format!(
                "{NOT_ALLOWED}: {origin} asks for {key}={value}; profile {} allows {}",
                place.profile,
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
