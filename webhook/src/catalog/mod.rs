//! Everything known, compiled: from a [`Snapshot`] of inputs to a [`Catalog`] that answers every request.
//!
//! Pure: no IO, no clock, no environment. A profile in error never touches another one's namespaces.

mod build;
mod changes;
mod claims;
mod compile;
mod compiled;
mod compose;
mod decode;
mod encode;
mod files;
mod fingerprint;
mod isolation;
mod layer;
mod lookup;
mod namespaces;
mod parse;
mod payload;
mod problem;
mod profile;
mod report;
mod revisions;
mod schema;
mod secrets;
mod settings;
mod snapshot;
mod syntax;
mod template;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

pub use compiled::{CompiledProfile, NamespaceEntry, Service};
pub use problem::{Problem, ProblemKind};
pub use secrets::{ProfileSecrets, SecretBody};
use serde_json::Value;
pub use settings::Settings;
pub use snapshot::{NamespaceInput, ObjectData, ObjectKey, ProfileInput, Snapshot, SourceInput};
pub(crate) use syntax::{LABEL_NAME, SUBDOMAIN, is_label_name, is_subdomain, matches_labels};

use self::compile::Known;
use self::encode::Encodings;
use self::lookup::Sources;
use self::namespaces::{Entry, Namespaces};
use self::revisions::Revisions;
use crate::admit::plan::NodeSelector;
use crate::api::Mode;
use crate::api::names::EXCLUDED_NAMESPACES;

/// Everything known at one moment; immutable, swapped whole. What did not change is shared with the catalog before.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    namespaces: Arc<Namespaces>,
    profiles: HashMap<String, Arc<Known>>,
    problems: Vec<Problem>,
    /// About the settings; those of profiles are with them.
    warnings: Vec<Problem>,
    settings: Settings,
    sources: Sources,
    encodings: Encodings,
}

/// The node selector where nobody says any.
static ANYWHERE: NodeSelector = NodeSelector { selector: Ok(BTreeMap::new()), origin: String::new() };

impl Catalog {
    /// Compiles a snapshot. A profile that does not compile keeps its plans of `previous`, if it had any there; what did
    /// not change since `previous` is shared with it.
    pub fn compile(snapshot: &Snapshot, settings: &Settings, previous: Option<&Self>) -> Self {
        compile::compile(snapshot, settings, previous)
    }

    /// The same without the revisions that are not recent any more; none where there are none. Compiling forgets them
    /// as well: this is for when nothing changes.
    pub fn forget(&self, now: SystemTime) -> Option<Self> {
        let forgetful =
            |(name, known): (&String, &Arc<Known>)| Some((name.clone(), Arc::new(known.forget(now)?)));
        let changed: Vec<(String, Arc<Known>)> = self.profiles.iter().filter_map(forgetful).collect();
        (!changed.is_empty()).then(|| {
            let mut next = self.clone();
            next.profiles.extend(changed);
            next
        })
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
        self.namespaces.get(namespace).map(|entry| self.view(entry))
    }

    fn view<'c>(&'c self, entry: &'c Entry) -> NamespaceEntry<'c> {
        let profile = entry.profile.as_deref().and_then(|name| Some((name, self.profiles.get(name)?)));
        let (service, revisions) = match profile {
            None => (Service::None, None),
            Some((profile, known)) => match &known.revisions {
                Ok(revisions) => (Service::Profile(&revisions.serving), Some(revisions)),
                Err(problem) => (Service::Broken { profile, problem }, None),
            },
        };
        let annotation = entry.selector.as_deref();
        let default = revisions.map(|revisions| &revisions.serving.default_selector);
        NamespaceEntry {
            opted_in: entry.opted_in,
            isolated: entry.isolated,
            mode: profile.map(|(_, known)| known.mode).unwrap_or_default(),
            service,
            selector: annotation.or(default).unwrap_or(&ANYWHERE),
            annotation,
            revisions,
        }
    }

    fn entries(&self) -> impl Iterator<Item = (&str, NamespaceEntry<'_>)> {
        self.namespaces.iter().map(|(name, entry)| (name, self.view(entry)))
    }

    /// Whether the namespace is known, opted in or not.
    pub fn knows_namespace(&self, namespace: &str) -> bool {
        self.namespaces.get(namespace).is_some()
    }

    /// Whether every pod of the namespace is held to its nodes: it is labelled, and its profile says so too.
    pub fn isolates(&self, namespace: &str) -> bool {
        let isolates = |entry: NamespaceEntry<'_>| match entry.service {
            Service::Profile(profile) => entry.isolated && profile.isolation.is_some(),
            Service::Broken { .. } | Service::None => entry.isolated,
        };
        self.namespace(namespace).is_some_and(isolates)
    }

    /// Names of the namespaces that opted in and are not excluded, sorted.
    pub fn namespaces(&self) -> Vec<&str> {
        let opted_in = self.namespaces.iter().filter(|(name, entry)| entry.opted_in && !self.excludes(name));
        let mut names: Vec<&str> = opted_in.map(|(name, _)| name).collect();
        names.sort_unstable();
        names
    }

    /// Name of the profile that serves the namespace.
    pub fn profile_of(&self, namespace: &str) -> Option<&str> {
        self.namespaces.get(namespace)?.profile.as_deref()
    }

    /// The profiles that serve, by name.
    pub fn profiles(&self) -> Vec<&CompiledProfile> {
        self.revisions().into_iter().map(|revisions| &*revisions.serving).collect()
    }

    /// The revision of what a profile now describes; it may have to be delivered before it serves.
    pub fn wanted_revision(&self, profile: &str) -> Option<&str> {
        let revisions = self.profiles.get(profile)?.revisions.as_ref().ok()?;
        Some(&revisions.wanted().revision)
    }

    /// The profiles that compiled at least once, by name.
    fn revisions(&self) -> Vec<&Revisions> {
        let mut revisions: Vec<&Revisions> =
            self.profiles.values().filter_map(|known| known.revisions.as_ref().ok()).collect();
        revisions.sort_by(|one, other| one.serving.name.cmp(&other.serving.name));
        revisions
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
        let delivery = |revisions: &Revisions| {
            let wanted = revisions.wanted();
            let pending = revisions.pending.iter().flat_map(|pending| &pending.secrets);
            let secrets: Vec<Arc<SecretBody>> =
                revisions.serving.secrets.iter().chain(pending).cloned().collect();
            let nothing = secrets.is_empty() || wanted.mode == Mode::Off;
            (!nothing).then(|| ProfileSecrets {
                profile: wanted.name.clone(),
                revision: wanted.revision.clone(),
                secrets,
                namespaces: owned(served.remove(wanted.name.as_str()).unwrap_or_default()),
            })
        };
        self.revisions().into_iter().filter_map(delivery).collect()
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

    /// Whether a namespace is the injector's own or one of the control plane: nothing in it is ever touched, whoever
    /// labels it.
    pub fn excludes(&self, namespace: &str) -> bool {
        EXCLUDED_NAMESPACES.contains(&namespace) || namespace == self.own_namespace()
    }

    /// The injector's own namespace.
    pub fn own_namespace(&self) -> &str {
        &self.settings.namespace
    }

    /// The image of the init container.
    pub fn init_image(&self) -> &str {
        &self.settings.init_image
    }

    /// The cluster's default PriorityClass.
    pub fn default_priority_class(&self) -> Option<&str> {
        self.settings.default_priority_class.as_deref()
    }
}

fn owned(names: Vec<&str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}
