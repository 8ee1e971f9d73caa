//! Lists whose entries are told apart by all of their content: appended unless an equal entry is there, or one that the
//! API server takes for the same.

use std::cell::LazyCell;

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Action, Merge};
use crate::admit::equal::{Kind, same};
use crate::admit::patch::ListEdit;
use crate::admit::plan::{Item, Keyed, unique_key};
use crate::admit::pod::{Map, value_of};
use crate::admit::pointer::Pointer;

/// What messages call an entry, and the texts of it that may stand once: the API server refuses a pod in which two
/// entries have all of them in common. Most lists may hold anything.
#[derive(Clone, Copy)]
pub(super) struct List(pub(super) &'static str, pub(super) &'static [&'static str]);

/// Appends the wanted entries to the list at `path`, of which `present` is the raw text.
pub(super) fn append_unequal<'a>(
    merge: &mut Merge<'a>,
    path: impl Into<Pointer<'a>>,
    wanted: &'a Keyed,
    present: Option<&RawValue>,
    List(field, unique): List,
) {
    if wanted.is_empty() {
        return;
    }
    let is_list = present.is_some_and(|raw| raw.get().starts_with('['));
    let entries: Option<Vec<Map<'_, &RawValue>>> =
        present.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let known = LazyCell::new(|| value_of(present));
    let mut edit = ListEdit::new(path, is_list);
    for item in wanted {
        let is_other = |entries: &Vec<_>| entries.iter().all(|entry| differ_in_text(item, entry));
        let key = unique_key(&item.value, unique);
        // Mostly all of them differ in a text: then none is decoded for a closer look.
        let (action, key) = if key.is_none() && entries.as_ref().is_some_and(is_other) {
            (Action::Added, "")
        } else if elements(&known).iter().any(|known| same(Kind::Plain, &item.value, known)) {
            (Action::Unchanged, "")
        } else if key.is_some() && elements(&known).iter().any(|known| unique_key(known, unique) == key) {
            (Action::Kept, item.key.as_str())
        } else {
            (Action::Added, "")
        };
        if action == Action::Added {
            edit.push(&mut merge.patch, &item.json);
        }
        merge.note_value(action, field, key, &item.json, &item.origin);
    }
    edit.finish(&mut merge.patch);
}

fn elements(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// Whether a text stands at the top of both and is not the same: no default of the API server can mend that.
fn differ_in_text(ours: &Item, theirs: &Map<'_, &RawValue>) -> bool {
    ours.value.as_object().into_iter().flatten().any(|(key, ours)| {
        let ours = ours.as_str().filter(|text| !text.is_empty());
        ours.zip(theirs.find(key)).is_some_and(|(ours, theirs)| is_other_text(theirs.get(), ours))
    })
}

/// Whether raw JSON is a text, neither empty nor this one. Where it holds escapes, only decoding could tell.
fn is_other_text(json: &str, text: &str) -> bool {
    let inner = json.strip_prefix('"').and_then(|json| json.strip_suffix('"'));
    inner.is_some_and(|inner| !inner.is_empty() && inner != text && !inner.contains('\\'))
}
