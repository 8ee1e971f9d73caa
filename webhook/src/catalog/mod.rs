//! Everything known, compiled: from a [`Snapshot`] of inputs to a [`Catalog`] that answers every request.
//!
//! Pure: no IO, no clock, no environment. A profile in error never touches another one's namespaces.

mod build;
mod claims;
mod compile;
mod compiled;
mod compose;
mod decode;
mod files;
mod isolation;
mod parse;
mod payload;
mod problem;
mod report;
mod secrets;
mod settings;
mod snapshot;
mod syntax;
mod template;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use compiled::{CompiledProfile, NamespaceEntry, Service};
pub use problem::{Problem, ProblemKind};
pub use secrets::{ProfileSecrets, SecretBody};
use serde_json::Value;
pub use settings::Settings;
pub use snapshot::{NamespaceInput, ObjectData, ObjectKey, ProfileInput, Snapshot};

use crate::api::Mode;

/// Everything known at one moment; immutable, swapped whole.
#[derive(Debug, Default)]
pub struct Catalog {
    namespaces: HashMap<String, compiled::Entry>,
    /// The last plans of each profile that ever compiled.
    profiles: HashMap<String, compiled::Known>,
    problems: Vec<Problem>,
    /// About the settings; those of profiles are with them.
    warnings: Vec<Problem>,
    own_namespace: String,
    default_priority_class: Option<String>,
}

impl Catalog {
    /// Compiles a snapshot. A profile that does not compile keeps its plans of `previous`, if it had any there.
    pub fn compile(snapshot: &Snapshot, settings: &Settings, previous: Option<&Self>) -> Self {
        compile::compile(snapshot, settings, previous)
    }

    /// Every mistake that the compiler found, in the order of the inputs.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What is no mistake, and may surprise an owner.
    pub fn warnings(&self) -> Vec<Problem> {
        let profiles = self.profiles().into_iter().flat_map(|profile| &profile.warnings);
        self.warnings.iter().chain(profiles).cloned().chain(isolation::gaps(self)).collect()
    }

    /// What is known of a namespace; nothing if it is not known at all.
    pub fn namespace(&self, namespace: &str) -> Option<NamespaceEntry<'_>> {
        self.namespaces.get(namespace).map(compiled::Entry::view)
    }

    /// Whether the namespace is known, opted in or not.
    pub fn knows_namespace(&self, namespace: &str) -> bool {
        self.namespaces.contains_key(namespace)
    }

    /// Whether every pod of the namespace is held to its nodes: it is labelled, and its profile says so too.
    pub fn isolates(&self, namespace: &str) -> bool {
        let isolates = |entry: NamespaceEntry<'_>| match entry.service {
            Service::Profile(profile) => entry.isolated && profile.isolation.is_some(),
            Service::Broken { .. } | Service::None => entry.isolated,
        };
        self.namespace(namespace).is_some_and(isolates)
    }

    /// Names of the namespaces that opted in, sorted.
    pub fn namespaces(&self) -> Vec<&str> {
        let opted_in = self.namespaces.iter().filter(|(_, entry)| entry.opted_in);
        let mut names: Vec<&str> = opted_in.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// Name of the profile that serves the namespace.
    pub fn profile_of(&self, namespace: &str) -> Option<&str> {
        match self.namespace(namespace)?.service {
            Service::Profile(profile) => Some(&profile.name),
            Service::Broken { profile, .. } => Some(profile),
            Service::None => None,
        }
    }

    /// The profiles that serve, by name.
    pub fn profiles(&self) -> Vec<&CompiledProfile> {
        let mut profiles: Vec<&CompiledProfile> =
            self.profiles.values().map(|known| &*known.serving).collect();
        profiles.sort_by(|one, other| one.name.cmp(&other.name));
        profiles
    }

    /// Mistakes in what serves this namespace: its profile, its annotation. They deny its pods.
    pub fn problems_of(&self, namespace: &str) -> Vec<&Problem> {
        let profile = self.profile_of(namespace).map(parse::subject);
        let own = format!("Namespace {namespace}");
        let concerns =
            |problem: &&Problem| problem.subject == own || Some(&problem.subject) == profile.as_ref();
        self.problems.iter().filter(concerns).collect()
    }

    /// The opted-in namespaces of each profile that serves any, sorted.
    pub fn served(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut served: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for namespace in self.namespaces() {
            if let Some(profile) = self.profile_of(namespace) {
                served.entry(profile).or_default().push(namespace);
            }
        }
        served
    }

    /// What is to be delivered, by profile; nothing of those in mode Off, which are as if they were not there.
    pub fn deliveries(&self) -> Vec<ProfileSecrets> {
        let mut served = self.served();
        let mut profiles: Vec<&compiled::Known> = self.profiles.values().collect();
        profiles.sort_by(|one, other| one.serving.name.cmp(&other.serving.name));
        let deliveries = profiles.into_iter().filter_map(|known| {
            let wanted = known.wanted();
            let mut secrets: Vec<Arc<SecretBody>> = known.serving.secrets().cloned().collect();
            secrets.extend(known.pending.iter().flat_map(|pending| pending.secrets()).cloned());
            let nothing = secrets.is_empty() || wanted.mode == Mode::Off;
            (!nothing).then(|| ProfileSecrets {
                profile: wanted.name.clone(),
                revision: wanted.revision.clone(),
                secrets,
                namespaces: owned(served.remove(wanted.name.as_str()).unwrap_or_default()),
            })
        });
        deliveries.collect()
    }

    /// The Secrets that profiles deliver to `namespace`, or to every namespace they serve: complete objects, sorted
    /// by namespace and name.
    pub fn secrets(&self, namespace: Option<&str>) -> Vec<Value> {
        let deliveries = self.deliveries();
        let mut places: Vec<(&str, &SecretBody)> = Vec::new();
        for delivery in &deliveries {
            for place in delivery.namespaces.iter().filter(|name| namespace.is_none_or(|only| only == *name))
            {
                places.extend(delivery.secrets.iter().map(|secret| (place.as_str(), &**secret)));
            }
        }
        places.sort_by_key(|(namespace, secret)| (*namespace, secret.name()));
        // Text, numbers and maps of text: it cannot fail.
        let object =
            |(namespace, secret): (&str, &SecretBody)| serde_json::to_value(secret.in_namespace(namespace));
        places.into_iter().flat_map(object).collect()
    }

    /// The injector's own namespace, which is never injected.
    pub fn own_namespace(&self) -> &str {
        &self.own_namespace
    }

    /// The cluster's default PriorityClass.
    pub fn default_priority_class(&self) -> Option<&str> {
        self.default_priority_class.as_deref()
    }
}

fn owned(names: Vec<&str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}
