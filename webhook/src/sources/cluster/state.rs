//! The inputs as the watches have told them so far: a snapshot that is kept instead of being read again. What did not
//! change stays behind the same pointer, which is how the compiler knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;
use tokio::time::Instant;

use super::contents::Content;
use super::directories::Found;
use super::profiles::{Observed, ObservedProfiles, Profile};
use super::watches::{Change, Seen, pause_after};
use crate::catalog::{NamespaceInput, ObjectData, ObjectKey, ProfileInput, Snapshot};
use crate::sources::references::{self, SourceKind};

/// One kind of objects, in one namespace or in the cluster.
#[derive(Debug)]
struct Part<V> {
    items: BTreeMap<String, Arc<V>>,
    synced: bool,
}

/// What was read of a ConfigMap or Secret.
#[derive(Debug)]
struct Held {
    version: String,
    data: Arc<ObjectData>,
}

/// Why a source is not read again at once: the last answer was none, or not of the version that the watch tells of.
#[derive(Debug)]
struct Pause {
    /// The version that was to be read. Another one is worth an attempt.
    version: String,
    failures: u32,
    until: Instant,
}

pub(super) type SourceKey = (SourceKind, ObjectKey);

/// Everything that is known.
#[derive(Debug)]
pub(super) struct State {
    own_namespace: String,
    profiles: Part<Value>,
    observed: Part<Observed>,
    /// The revisions whose Secrets are everywhere, by profile: all of a status that is compiled.
    delivered: BTreeMap<String, String>,
    /// What the profiles name.
    sources: BTreeSet<SourceKey>,
    named_directories: BTreeSet<String>,
    namespaces: Part<NamespaceInput>,
    /// Versions, by kind and namespace.
    objects: BTreeMap<(SourceKind, String), Part<String>>,
    /// Content of what profiles name.
    contents: BTreeMap<SourceKey, Held>,
    /// What profiles name and cannot be read at its newest version, and why.
    unreadable: BTreeMap<SourceKey, String>,
    /// What was read in vain, and is read again later.
    paused: BTreeMap<SourceKey, Pause>,
    /// Directories that profiles name.
    directories: Part<Found>,
    /// Whether a source may be stale.
    unsure: bool,
    /// What changed since the last snapshot, for the log.
    changed: BTreeSet<String>,
}

impl State {
    /// Nothing yet, of profiles, namespaces, and the sources of these namespaces.
    pub(super) fn new(own_namespace: &str, source_namespaces: &[String]) -> Self {
        let parts = source_namespaces
            .iter()
            .flat_map(|namespace| SourceKind::ALL.map(|kind| ((kind, namespace.clone()), Part::default())));
        Self {
            own_namespace: own_namespace.to_owned(),
            profiles: Part::default(),
            observed: Part::default(),
            delivered: BTreeMap::new(),
            sources: BTreeSet::new(),
            named_directories: BTreeSet::new(),
            namespaces: Part::default(),
            objects: parts.collect(),
            contents: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            paused: BTreeMap::new(),
            directories: Part::default(),
            unsure: false,
            changed: BTreeSet::new(),
        }
    }

    /// Takes what a watch saw.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Unwatched => {}
            Change::Profiles(seen) => {
                let (objects, observed) = seen.split(|profile| {
                    let Profile { object, observed } = *profile;
                    (object, observed)
                });
                let changed = self.profiles.apply(objects);
                if !changed.is_empty() {
                    self.follow_references();
                }
                self.note("SparkProfile", changed);
                let touched = self.observed.apply(observed);
                self.follow_deliveries(touched);
            }
            Change::Namespaces(seen) => {
                let changed = self.namespaces.apply(seen);
                self.note("Namespace", changed);
            }
            Change::Objects(kind, namespace, seen) => {
                if let Some(part) = self.objects.get_mut(&(kind, namespace)) {
                    // Whether it matters is seen when the sources are compared with what is held.
                    self.unsure |= !part.apply(seen).is_empty();
                }
            }
            Change::Directories(seen) => {
                let changed = self.directories.apply(seen);
                self.note("directory", changed);
            }
        }
    }

    fn note(&mut self, kind: &str, names: Vec<String>) {
        self.changed.extend(names.into_iter().map(|name| format!("{kind} {name}")));
    }

    fn follow_references(&mut self) {
        let profiles = || self.profiles.items.values();
        self.sources =
            profiles().flat_map(|profile| references::objects(profile, &self.own_namespace)).collect();
        self.named_directories =
            profiles().flat_map(|profile| references::directories(profile)).map(ToOwned::to_owned).collect();
        self.unsure = true;
    }

    /// The rest of a status is nothing that is compiled: to write it must not lead to compiling.
    fn follow_deliveries(&mut self, profiles: Vec<String>) {
        for name in profiles {
            let now = self.observed.items.get(&name).and_then(|seen| seen.status.delivered_revision.clone());
            if self.delivered.get(&name) != now.as_ref() {
                self.changed.insert(format!("delivered revision of SparkProfile {name}"));
            }
            match now {
                Some(revision) => drop(self.delivered.insert(name, revision)),
                None => drop(self.delivered.remove(&name)),
            }
        }
    }

    /// Whether every watch has told everything at least once, and something was told of every directory.
    pub(super) fn is_synced(&self) -> bool {
        let is_told = |path: &String| self.directories.items.contains_key(path);
        self.profiles.synced
            && self.namespaces.synced
            && self.objects.values().all(|part| part.synced)
            && self.named_directories.iter().all(is_told)
    }

    /// The profiles as they were last seen.
    pub(super) fn observed(&self) -> ObservedProfiles {
        Arc::new(self.observed.items.clone())
    }

    /// Forgets the sources that are gone or that nobody names any more; returns those whose content is not known, or
    /// known at another version, and that may be read now.
    pub(super) fn stale(&mut self, now: Instant) -> Vec<SourceKey> {
        if !std::mem::take(&mut self.unsure) && self.paused.values().all(|pause| pause.until > now) {
            return Vec::new();
        }
        let objects = &self.objects;
        let mut gone = Vec::new();
        let mut stays = |source: &SourceKey| {
            let (is_named, is_there) = (self.sources.contains(source), version_of(objects, source).is_some());
            if is_named && !is_there {
                gone.push(title(source));
            }
            is_named && is_there
        };
        self.contents.retain(|source, _| stays(source));
        self.unreadable.retain(|source, _| stays(source));
        self.paused.retain(|source, _| stays(source));
        self.changed.extend(gone);
        let is_stale = |source: &&SourceKey| {
            let (held, pause) = (self.contents.get(source), self.paused.get(source));
            version_of(objects, source).is_some_and(|version| {
                held.is_none_or(|held| held.version != version)
                    && pause.is_none_or(|pause| pause.until <= now || pause.version != version)
            })
        };
        self.sources.iter().filter(is_stale).cloned().collect()
    }

    /// Whether the last attempt to read this source failed.
    pub(super) fn is_unreadable(&self, source: &SourceKey) -> bool {
        self.unreadable.contains_key(source)
    }

    /// Whether the last attempt to read a source failed, whichever.
    pub(super) fn has_unreadable(&self) -> bool {
        !self.unreadable.is_empty()
    }

    /// Takes why a source cannot be read; says whether that is new. What it held before stays, and is no news to anybody
    /// but the log: a moment's trouble of the API server would otherwise be in the status of every profile.
    pub(super) fn fail(&mut self, key: &SourceKey, why: &str) -> bool {
        self.postpone(key);
        if self.unreadable.get(key).is_some_and(|known| known == why) {
            return false;
        }
        if !self.contents.contains_key(key) {
            self.changed.insert(title(key));
        }
        self.unreadable.insert(key.clone(), why.to_owned());
        true
    }

    /// Takes what a source holds; nothing means that it went away after the watch had told of it.
    pub(super) fn fill(&mut self, key: SourceKey, content: Option<Content>) {
        let was_unreadable = self.unreadable.remove(&key).is_some();
        // It may be another one again by now, or the watch is behind.
        let is_newest = content.as_ref().map(|content| &*content.version) == version_of(&self.objects, &key);
        if is_newest {
            self.paused.remove(&key);
        } else {
            self.postpone(&key);
        }
        let Some(Content { version, data }) = content else {
            if self.contents.remove(&key).is_some() || was_unreadable {
                self.changed.insert(title(&key));
            }
            return;
        };
        let before = self.contents.get(&key).map(|held| &held.data);
        let data = if let Some(same) = before.filter(|before| ***before == data) {
            Arc::clone(same)
        } else {
            self.changed.insert(title(&key));
            Arc::new(data)
        };
        self.contents.insert(key, Held { version, data });
    }

    /// Reads a source again after a while: an API server that answers at once is not asked thousands of times a second.
    fn postpone(&mut self, key: &SourceKey) {
        let version = version_of(&self.objects, key).unwrap_or_default().to_owned();
        let failures = self.paused.get(key).map_or(0, |pause| pause.failures + 1);
        let pause = Pause { version, failures, until: Instant::now() + pause_after(failures) };
        self.paused.insert(key.clone(), pause);
        self.unsure = true;
    }

    /// Paths of the directories that profiles name.
    pub(super) fn named_directories(&self) -> &BTreeSet<String> {
        &self.named_directories
    }

    /// What changed since the last call, sorted.
    pub(super) fn take_changes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.changed).into_iter().collect()
    }

    /// What the compiler reads.
    pub(super) fn snapshot(&self) -> Snapshot {
        let profile = |(name, object): (&String, &Arc<Value>)| ProfileInput {
            origin: String::new(),
            object: Arc::clone(object),
            delivered: self.delivered.get(name).cloned(),
        };
        let directory = |(path, found): (&String, &Arc<Found>)| (path.clone(), Found::clone(found));
        let of_kind = |wanted: SourceKind| {
            let unreadable = self.unreadable.iter().map(|(source, why)| (source, Err(why.clone())));
            let held = self.contents.iter().map(|(source, held)| (source, Ok(Arc::clone(&held.data))));
            // What is held comes last, and stays.
            let all = unreadable.chain(held).filter(|((kind, _), _)| *kind == wanted);
            all.map(|((_, key), input)| (key.clone(), input)).collect()
        };
        Snapshot {
            taken: SystemTime::now(),
            profiles: self.profiles.items.iter().map(profile).collect(),
            namespaces: self.namespaces.items.clone(),
            config_maps: of_kind(SourceKind::ConfigMap),
            secrets: of_kind(SourceKind::Secret),
            directories: self.directories.items.iter().map(directory).collect(),
        }
    }
}

impl<V: PartialEq> Part<V> {
    /// Takes what was seen; returns the names of what is different now.
    fn apply(&mut self, seen: Seen<V>) -> Vec<String> {
        match seen {
            Seen::All(items) => {
                self.synced = true;
                let gone = self.items.keys().filter(|name| !items.contains_key(*name)).cloned();
                let mut changed: Vec<String> = gone.collect();
                self.items.retain(|name, _| items.contains_key(name));
                changed.extend(items.into_iter().filter_map(|(name, value)| self.set(name, value)));
                changed
            }
            Seen::One(name, value) => self.set(name, value).into_iter().collect(),
            Seen::Gone(name) => self.items.remove(&name).map(|_| name).into_iter().collect(),
        }
    }

    fn set(&mut self, name: String, value: V) -> Option<String> {
        if self.items.get(&name).is_some_and(|known| **known == value) {
            return None;
        }
        self.items.insert(name.clone(), Arc::new(value));
        Some(name)
    }
}

impl<V> Default for Part<V> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), synced: false }
    }
}

impl<V> Seen<V> {
    fn split<A, B>(self, apart: impl Fn(V) -> (A, B)) -> (Seen<A>, Seen<B>) {
        match self {
            Self::All(items) => {
                let pairs = items.into_iter().map(|(name, value)| (name, apart(value)));
                let (one, other) =
                    pairs.map(|(name, (one, other))| ((name.clone(), one), (name, other))).unzip();
                (Seen::All(one), Seen::All(other))
            }
            Self::One(name, value) => {
                let (one, other) = apart(value);
                (Seen::One(name.clone(), one), Seen::One(name, other))
            }
            Self::Gone(name) => (Seen::Gone(name.clone()), Seen::Gone(name)),
        }
    }
}

/// The newest version of a source that the watch has told of.
fn version_of<'o>(
    objects: &'o BTreeMap<(SourceKind, String), Part<String>>,
    (kind, key): &SourceKey,
) -> Option<&'o str> {
    let version = objects.get(&(*kind, key.namespace.clone()))?.items.get(&key.name)?;
    Some(version.as_str())
}

/// A source as messages call it.
pub(super) fn title((kind, key): &SourceKey) -> String {
    format!("{} {}/{}", kind.as_str(), key.namespace, key.name)
}
