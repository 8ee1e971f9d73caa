//! What has to lie where, as the catalog in use says it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalog::{Catalog, SecretBody, Service};

/// Everything that has to be delivered, by profile.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    profiles: BTreeMap<String, Wish>,
}

/// What one profile delivers, and where.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) revision: String,
    pub(super) secrets: Arc<[Arc<SecretBody>]>,
    pub(super) namespaces: BTreeSet<String>,
}

impl Wishes {
    pub(super) fn of(catalog: &Catalog) -> Self {
        let wishes = catalog.deliveries().into_iter().map(|delivery| {
            let wish = Wish {
                revision: delivery.revision,
                secrets: delivery.secrets.into(),
                namespaces: delivery.namespaces.into_iter().collect(),
            };
            (delivery.profile, wish)
        });
        Self { profiles: wishes.collect() }
    }

    pub(super) fn get(&self, profile: &str) -> Option<&Wish> {
        self.profiles.get(profile)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Wish)> {
        self.profiles.iter().map(|(profile, wish)| (profile.as_str(), wish))
    }
}

impl Wish {
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(|secret| secret.name())
    }
}

/// Whether the Secrets of a profile stay in a namespace. They go when it opts out, is gone, or belongs to another
/// profile. A profile with a mistake may have lost its claim by that mistake alone, so it loses nothing else.
pub(super) fn stays(catalog: &Catalog, profile: &str, namespace: &str) -> bool {
    let Some(entry) = catalog.namespace(namespace).filter(|entry| entry.opted_in) else { return false };
    match entry.service {
        Service::Profile(server) => server.name == profile,
        Service::Broken { profile: server, .. } => server == profile,
        Service::None => is_mistaken(catalog, profile),
    }
}

/// Whether a profile has mistakes: then what it wants is not known, and nothing of it grows old.
pub(super) fn is_mistaken(catalog: &Catalog, profile: &str) -> bool {
    let of_profile = |subject: &str| subject.strip_prefix("SparkProfile ") == Some(profile);
    catalog.problems().iter().any(|problem| of_profile(&problem.subject))
}
