//! What is different in a new catalog, for the log.

use std::collections::BTreeSet;

use crate::catalog::{Catalog, Problem};

/// What is different in a new catalog.
#[derive(Debug, Default)]
pub struct Reload {
    /// Whether there was none before it.
    pub first: bool,
    /// Objects whose change led to it, as far as the source knows them by name.
    pub changed: Vec<String>,
    /// Mistakes that were not there before.
    pub appeared: Vec<Problem>,
    /// Mistakes that are gone.
    pub resolved: Vec<Problem>,
    /// Namespaces that opted in, and the profile that serves each of them now, where that changed.
    pub moved: Vec<(String, Option<String>)>,
    /// Number of all mistakes.
    pub problems: usize,
    /// Number of the namespaces that opted in.
    pub namespaces: usize,
}

impl Reload {
    /// Compares two catalogs, and the mistakes that were found with each.
    pub(super) fn between(previous: Option<(&Catalog, &[Problem])>, next: (&Catalog, &[Problem])) -> Self {
        let (catalog, found) = next;
        let before: BTreeSet<&Problem> = previous.into_iter().flat_map(|(_, problems)| problems).collect();
        let now: BTreeSet<&Problem> = found.iter().collect();
        let names = catalog.namespaces();
        let namespaces = names.len();
        let served = names.into_iter().map(|name| (name, catalog.profile_of(name)));
        let moved = served.filter(|(name, profile)| {
            previous.is_none_or(|(previous, _)| previous.profile_of(name) != *profile)
        });
        Self {
            first: previous.is_none(),
            changed: Vec::new(),
            appeared: now.difference(&before).copied().cloned().collect(),
            resolved: before.difference(&now).copied().cloned().collect(),
            moved: moved.map(|(name, profile)| (name.to_owned(), profile.map(ToOwned::to_owned))).collect(),
            problems: now.len(),
            namespaces,
        }
    }
}
