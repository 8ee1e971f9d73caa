//! What changed since the last catalog, and what therefore has to be compiled again.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::compile::Known;
use super::lookup::{SourceKey, Sources};
use super::parse::{Outline, outline};
use super::snapshot::{ProfileInput, Snapshot};
use super::{Catalog, Settings};
use crate::api::Mode;

/// What changed since the last catalog.
pub(super) struct Changes<'c> {
    /// None where everything has to be done anew.
    previous: Option<&'c Catalog>,
    /// Profiles of the snapshot, and whether each is what it was.
    profiles: HashMap<&'c str, (Arc<Outline>, bool)>,
    /// Sources that are what they were.
    sources: Sources,
    snapshot: &'c Snapshot,
}

impl<'c> Changes<'c> {
    pub(super) fn since(
        previous: Option<&'c Catalog>,
        snapshot: &'c Snapshot,
        settings: &Settings,
        inputs: &HashMap<&'c str, &'c ProfileInput>,
    ) -> Self {
        let previous = previous.filter(|previous| previous.settings == *settings);
        let outlined = |(name, input): (&&'c str, &&'c ProfileInput)| {
            let known = previous.and_then(|previous| previous.profiles.get(*name));
            let same = known.filter(|known| is_of(known, input));
            let outline = same.map_or_else(|| Arc::new(outline(input)), |known| Arc::clone(&known.outline));
            (*name, (outline, same.is_some()))
        };
        Self {
            previous,
            profiles: inputs.iter().map(outlined).collect(),
            sources: previous.map(|previous| previous.sources.unchanged(snapshot)).unwrap_or_default(),
            snapshot,
        }
    }

    pub(super) fn outline(&self, name: &str, input: &ProfileInput) -> Arc<Outline> {
        let known = self.profiles.get(name);
        known.map_or_else(|| Arc::new(outline(input)), |(outline, _)| Arc::clone(outline))
    }

    /// Whether a profile would come out as it did. One in error is tried anew: what would mend it may be something that
    /// was not there to be looked at.
    pub(super) fn is_reusable(&self, name: &str, known: &Known) -> bool {
        self.previous.is_some()
            && known.problems.is_empty()
            && known.sources.iter().all(|key| self.sources.contains(key))
            && self.is_same_with_bases(name)
    }

    /// Whether a profile and all that it extends are what they were.
    fn is_same_with_bases(&self, name: &str) -> bool {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            match self.profiles.get(name) {
                Some((outline, true)) => {
                    let bases = outline.extends.iter().map(String::as_str);
                    open.extend(bases.filter(|base| seen.insert(base)));
                }
                Some((_, false)) | None => return false,
            }
        }
        true
    }

    /// The mode that a profile asks for, its own or what it extends, as far as that can be read.
    pub(super) fn readable_mode(&self, outline: &Outline) -> Option<Mode> {
        self.mode_below(outline, &mut BTreeSet::new())
    }

    fn mode_below<'o>(&'o self, outline: &'o Outline, seen: &mut BTreeSet<&'o str>) -> Option<Mode> {
        outline.mode.or_else(|| {
            let later_first = outline.extends.iter().rev();
            later_first.into_iter().find_map(|base| {
                let (base, _) = self.profiles.get(base.as_str()).filter(|_| seen.insert(base))?;
                self.mode_below(base, seen)
            })
        })
    }

    /// The sources of these profiles, to compare with at the next compile.
    pub(super) fn into_sources(self, profiles: &HashMap<String, Arc<Known>>) -> Sources {
        let used: BTreeSet<&SourceKey> = profiles.values().flat_map(|known| &known.sources).collect();
        let mut sources = self.sources;
        sources.retain(&used);
        for key in used {
            sources.note(key, self.snapshot);
        }
        sources
    }
}

/// Whether an object is still what a profile was compiled from, as far as it matters: by pointer, else by content.
fn is_of(known: &Known, input: &ProfileInput) -> bool {
    known.outline.origin == input.origin
        && (Arc::ptr_eq(&known.object, &input.object) || is_same_object(&known.object, &input.object))
}

/// Fields of `metadata` that change with every write of a status.
const VOLATILE: [&str; 3] = ["generation", "managedFields", "resourceVersion"];

fn is_same_object(one: &Value, other: &Value) -> bool {
    let is_metadata = |value: Option<&Value>, other: Option<&Value>| match (
        value.and_then(Value::as_object),
        other.and_then(Value::as_object),
    ) {
        (Some(one), Some(other)) => are_equal_but_for(&VOLATILE, one, other),
        _ => value == other,
    };
    match (one.as_object(), other.as_object()) {
        (Some(one), Some(other)) => {
            is_metadata(one.get("metadata"), other.get("metadata"))
                && are_equal_but_for(&["metadata", "status"], one, other)
        }
        _ => one == other,
    }
}

fn are_equal_but_for(ignored: &[&str], one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    let mut keys = one.keys().chain(other.keys()).filter(|key| !ignored.contains(&key.as_str()));
    keys.all(|key| one.get(key) == other.get(key))
}
