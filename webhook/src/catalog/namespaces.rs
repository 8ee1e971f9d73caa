//! The namespaces, and which profile serves each. None is looked at again unless it changed or a claim did.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::claims::{self, Claims};
use super::parse::{Outline, subject};
use super::snapshot::{NamespaceInput, Snapshot};
use super::{Problem, ProblemKind, syntax};
use crate::admit::plan::NodeSelector;
use crate::api::names::{
    INJECT_ENABLED, INJECT_LABEL, ISOLATE_ENABLED, ISOLATE_LABEL, NODE_SELECTOR_ANNOTATION,
};

/// Every namespace, and the claims by which they were given to profiles.
#[derive(Clone, Debug, Default)]
pub(super) struct Namespaces {
    claims: Vec<Arc<Outline>>,
    entries: HashMap<Arc<str>, Entry>,
    contested: Contested,
    pub(super) problems: Vec<Problem>,
}

/// Namespaces that several profiles claim equally: who serves, and who would.
type Contested = BTreeMap<Arc<str>, (Arc<str>, Vec<Arc<str>>)>;

/// One namespace. Profiles are known by name: another revision of a profile changes nothing here.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    input: Arc<NamespaceInput>,
    pub(super) opted_in: bool,
    pub(super) isolated: bool,
    /// The profile that serves it.
    pub(super) profile: Option<Arc<str>>,
    /// What its annotation says, even if it is empty.
    pub(super) selector: Option<Arc<NodeSelector>>,
}

impl Namespaces {
    /// The namespaces of a snapshot under these claims; the same object again where nothing changed.
    pub(super) fn compile(
        snapshot: &Snapshot,
        claims: Vec<Arc<Outline>>,
        previous: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        let Some(previous) = previous.filter(|previous| previous.claims == claims) else {
            let mut all = Self { claims, ..Self::default() };
            all.entries.reserve(snapshot.namespaces.len());
            all.update(snapshot.namespaces.iter());
            return Arc::new(all);
        };
        let is_new = |(name, input): &(&String, &Arc<NamespaceInput>)| !previous.has(name, input);
        let changed: Vec<_> = snapshot.namespaces.iter().filter(is_new).collect();
        if changed.is_empty() && previous.entries.len() == snapshot.namespaces.len() {
            return Arc::clone(previous);
        }
        let mut next = Self::clone(previous);
        next.entries.retain(|name, _| snapshot.namespaces.contains_key(&**name));
        next.contested.retain(|name, _| snapshot.namespaces.contains_key(&**name));
        next.update(changed.into_iter());
        Arc::new(next)
    }

    fn has(&self, name: &str, input: &Arc<NamespaceInput>) -> bool {
        let known = self.entries.get(name).map(|entry| &entry.input);
        known.is_some_and(|known| Arc::ptr_eq(known, input) || known == input)
    }

    fn update<'i>(&mut self, changed: impl Iterator<Item = (&'i String, &'i Arc<NamespaceInput>)>) {
        let Self { claims, entries, contested, problems } = self;
        let index = Claims::new(claims);
        for (name, input) in changed {
            let name: Arc<str> = name.as_str().into();
            let claimed = index.of(&name, input);
            contested.remove(&name);
            if let Some(claimed) = claimed.as_ref().filter(|claimed| !claimed.losers.is_empty()) {
                let losers = claimed.losers.iter().map(|loser| Arc::clone(&loser.name)).collect();
                contested.insert(Arc::clone(&name), (Arc::clone(&claimed.winner.name), losers));
            }
            entries.insert(name, Entry::new(input, claimed.map(|claimed| Arc::clone(&claimed.winner.name))));
        }
        *problems = entries.iter().filter_map(|(name, entry)| entry.problem(name)).collect();
        problems.extend(conflicts(contested, claims));
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (&**name, entry))
    }
}

impl Entry {
    fn new(input: &Arc<NamespaceInput>, profile: Option<Arc<str>>) -> Self {
        let is_labelled =
            |label: &str, value: &str| input.labels.get(label).is_some_and(|found| found == value);
        let annotation = input.annotations.get(NODE_SELECTOR_ANNOTATION);
        let selector = annotation.map(|text| NodeSelector {
            selector: syntax::parse_node_selector(text),
            origin: format!("annotation {NODE_SELECTOR_ANNOTATION}"),
        });
        Self {
            input: Arc::clone(input),
            opted_in: is_labelled(INJECT_LABEL, INJECT_ENABLED),
            isolated: is_labelled(ISOLATE_LABEL, ISOLATE_ENABLED),
            profile,
            selector: selector.map(Arc::new),
        }
    }

    fn problem(&self, name: &str) -> Option<Problem> {
        let message = self.selector.as_ref()?.selector.as_ref().err()?;
        (self.opted_in || self.isolated).then(|| Problem {
            kind: ProblemKind::Invalid,
            origin: self.input.origin.clone(),
            subject: format!("Namespace {name}"),
            path: format!("metadata.annotations[{NODE_SELECTOR_ANNOTATION}]"),
            message: format!("{message}; write key=value pairs separated by commas"),
        })
    }
}

/// Both sides of every conflict are told, once for each pair of profiles.
fn conflicts(contested: &Contested, claims: &[Arc<Outline>]) -> Vec<Problem> {
    let mut pairs: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (namespace, (winner, losers)) in contested {
        for loser in losers {
            pairs.entry((winner, loser)).or_default().push(namespace);
        }
    }
    let origins: HashMap<&str, &str> =
        claims.iter().map(|outline| (&*outline.name, outline.origin.as_str())).collect();
    let problem = |name: &str, message: String| Problem {
        kind: ProblemKind::Conflict,
        origin: origins.get(name).copied().unwrap_or_default().to_owned(),
        subject: subject(name),
        path: "spec.namespaces".to_owned(),
        message,
    };
    let both = |((winner, loser), namespaces): ((&str, &str), Vec<&str>)| {
        let (lost, won) = claims::conflict(&namespaces, winner, loser);
        [problem(loser, lost), problem(winner, won)]
    };
    pairs.into_iter().flat_map(both).collect()
}
