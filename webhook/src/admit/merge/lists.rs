//! Lists whose entries are told apart by all of their content: appended unless an equal entry is there, or one that the
//! API server takes for the same.

use std::cell::LazyCell;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{SeqAccess, Visitor};
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

/// A wanted entry, and what is known of it.
struct Wanted<'a> {
    item: &'a Item,
    /// What may stand once.
    key: Option<String>,
    found: Found,
}

#[derive(Clone, Copy, PartialEq)]
enum Found {
    Nothing,
    /// Another entry that has its key.
    Rival,
    Equal,
}

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
    let of = |item: &'a Item| Wanted { item, key: unique_key(&item.value, unique), found: Found::Nothing };
    let mut wanted: Vec<Wanted<'_>> = wanted.into_iter().map(of).collect();
    if let Some(present) = present {
        // What is no list holds nothing; the API server will say so.
        drop(for_each(present, |entry| compare(&mut wanted, entry, unique)));
    }
    let mut edit = ListEdit::new(path, present.is_some_and(|raw| raw.get().starts_with('[')));
    for Wanted { item, found, .. } in wanted {
        let (action, key) = match found {
            Found::Nothing => (Action::Added, ""),
            Found::Rival => (Action::Kept, item.key.as_str()),
            Found::Equal => (Action::Unchanged, ""),
        };
        if action == Action::Added {
            edit.push(&mut merge.patch, &item.json);
        }
        merge.note_value(action, field, key, &item.json, &item.origin);
    }
    edit.finish(&mut merge.patch);
}

/// Looks at each entry of a list by itself, and once at those that repeat the one before: a pod may bring a million of
/// them.
///
/// # Errors
///
/// When it is no list; then nothing was looked at.
pub(super) fn for_each<'a>(
    list: &'a RawValue,
    look: impl FnMut(&'a RawValue),
) -> Result<(), serde_json::Error> {
    struct Each<L>(L);

    impl<'de, L: FnMut(&'de RawValue)> Visitor<'de> for Each<L> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
            let mut before = "";
            while let Some(entry) = list.next_element::<&RawValue>()? {
                if entry.get() != before {
                    (self.0)(entry);
                }
                before = entry.get();
            }
            Ok(())
        }
    }

    serde_json::Deserializer::from_str(list.get()).deserialize_seq(Each(look))
}

/// What an entry of the pod says about the wanted ones.
fn compare(wanted: &mut [Wanted<'_>], entry: &RawValue, unique: &[&str]) {
    // What is no map equals nothing that a profile could want.
    let Ok(fields) = serde_json::from_str::<Map<'_, &RawValue>>(entry.get()) else { return };
    let value = LazyCell::new(|| value_of(Some(entry)));
    for Wanted { item, key, found } in wanted {
        // Mostly all of them differ in a text: then none is decoded for a closer look.
        if *found == Found::Equal || key.is_none() && differ_in_text(item, &fields) {
            continue;
        }
        if same(Kind::Plain, &item.value, &value) {
            *found = Found::Equal;
        } else if key.is_some() && unique_key(&value, unique) == *key {
            *found = Found::Rival;
        }
    }
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
