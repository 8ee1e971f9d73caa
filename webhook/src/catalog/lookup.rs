//! The sources of a snapshot, and whether they are what they were at the last compile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use sha2::{Digest, Sha256};

use super::snapshot::{ObjectData, ObjectKey, Snapshot, SourceInput};

/// One source, whatever its kind.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum SourceKey {
    ConfigMap(ObjectKey),
    Directory(String),
    Secret(ObjectKey),
}

/// Finds sources, and notes which ones a profile was compiled from.
pub(super) struct Lookup<'s> {
    snapshot: &'s Snapshot,
    used: BTreeSet<SourceKey>,
}

impl<'s> Lookup<'s> {
    pub(super) fn new(snapshot: &'s Snapshot) -> Self {
        Self { snapshot, used: BTreeSet::new() }
    }

    /// # Errors
    ///
    /// That there is none, or why it cannot be read.
    pub(super) fn config_map(&mut self, key: ObjectKey) -> Result<&'s ObjectData, String> {
        let found = object("ConfigMap", &key, self.snapshot.config_maps.get(&key));
        self.used.insert(SourceKey::ConfigMap(key));
        found
    }

    /// # Errors
    ///
    /// That there is none, or why it cannot be read.
    pub(super) fn secret(&mut self, key: ObjectKey) -> Result<&'s ObjectData, String> {
        let found = object("Secret", &key, self.snapshot.secrets.get(&key));
        self.used.insert(SourceKey::Secret(key));
        found
    }

    /// # Errors
    ///
    /// Why the directory could not be read.
    pub(super) fn directory(&mut self, path: &str) -> Result<&'s ObjectData, String> {
        self.used.insert(SourceKey::Directory(path.to_owned()));
        match self.snapshot.directories.get(path) {
            Some(found) => found.as_deref().map_err(Clone::clone),
            None => Err(format!("{path:?} was not read")),
        }
    }

    pub(super) fn into_used(self) -> Vec<SourceKey> {
        self.used.into_iter().collect()
    }
}

fn object<'s>(
    kind: &str,
    ObjectKey { namespace, name }: &ObjectKey,
    found: Option<&'s SourceInput>,
) -> Result<&'s ObjectData, String> {
    match found {
        Some(Ok(data)) => Ok(data),
        Some(Err(why)) => Err(format!("{kind} {name:?} in namespace {namespace} cannot be read: {why}")),
        None => Err(format!("there is no {kind} {name:?} in namespace {namespace}; create it there")),
    }
}

/// How a source looked at the last compile. Its content is not kept: a catalog holds it in its encoded form only.
#[derive(Clone, Debug)]
struct Seen {
    /// Weak, so that nothing is kept alive, and still no other object can come to lie at this address.
    pointer: Weak<ObjectData>,
    digest: [u8; 32],
}

impl Seen {
    fn of(data: &Arc<ObjectData>) -> Self {
        Self { pointer: Arc::downgrade(data), digest: digest(data) }
    }

    fn is(&self, data: &Arc<ObjectData>) -> bool {
        std::ptr::eq(self.pointer.as_ptr(), Arc::as_ptr(data))
    }
}

fn digest(data: &ObjectData) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        // Lengths keep the borders between names and contents.
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    for (name, content) in data {
        part(name.as_bytes());
        part(content);
    }
    hash.finalize().into()
}

fn find<'s>(snapshot: &'s Snapshot, key: &SourceKey) -> Option<&'s Arc<ObjectData>> {
    let found = match key {
        SourceKey::ConfigMap(key) => snapshot.config_maps.get(key),
        SourceKey::Directory(path) => snapshot.directories.get(path),
        SourceKey::Secret(key) => snapshot.secrets.get(key),
    };
    found?.as_ref().ok()
}

/// Every source that the profiles of a catalog were compiled from.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources(BTreeMap<SourceKey, Seen>);

impl Sources {
    /// What of these is still the same in a snapshot: by pointer, else by content, which is read once whatever the
    /// number of profiles that share it.
    pub(super) fn unchanged(&self, snapshot: &Snapshot) -> Self {
        let same = |(key, seen): (&SourceKey, &Seen)| {
            let data = find(snapshot, key)?;
            if seen.is(data) {
                return Some((key.clone(), seen.clone()));
            }
            let now = Seen::of(data);
            (now.digest == seen.digest).then(|| (key.clone(), now))
        };
        Self(self.0.iter().filter_map(same).collect())
    }

    pub(super) fn contains(&self, key: &SourceKey) -> bool {
        self.0.contains_key(key)
    }

    /// Notes a source as it is in a snapshot, unless it is known already.
    pub(super) fn note(&mut self, key: &SourceKey, snapshot: &Snapshot) {
        if let (false, Some(data)) = (self.0.contains_key(key), find(snapshot, key)) {
            self.0.insert(key.clone(), Seen::of(data));
        }
    }

    /// Forgets what no profile uses any more.
    pub(super) fn retain(&mut self, used: &BTreeSet<&SourceKey>) {
        self.0.retain(|key, _| used.contains(key));
    }
}
