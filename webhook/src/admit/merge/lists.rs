//! Lists without a key: appended unless an equal entry is there.

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Action, Merge};
use crate::admit::equal::{Kind, same};
use crate::admit::patch::ListEdit;
use crate::admit::plan::Keyed;
use crate::admit::pod::value_of;

/// Appends the wanted entries to the list at `path`, of which `present` is the raw text.
pub(super) fn append_unequal<'a>(
    merge: &mut Merge<'a>,
    path: String,
    wanted: &'a Keyed,
    present: Option<&RawValue>,
    field: &'static str,
) {
    if wanted.is_empty() {
        return;
    }
    let known = value_of(present);
    let mut edit = ListEdit::new(path, known.is_array());
    let known: &[Value] = known.as_array().map_or(&[], Vec::as_slice);
    for item in wanted {
        if known.iter().any(|known| same(Kind::Plain, &item.value, known)) {
            merge.note_value(Action::Unchanged, field, "", &item.json, &item.origin);
        } else {
            edit.push(&mut merge.patch, &*item.json);
            merge.note_value(Action::Added, field, "", &item.json, &item.origin);
        }
    }
    edit.finish(&mut merge.patch);
}
