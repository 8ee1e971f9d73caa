//! The inputs at one moment, as a source read them. The compiler sees nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;

/// Keys of a ConfigMap or Secret, or paths below a directory, and their contents.
pub type ObjectData = BTreeMap<String, Vec<u8>>;

/// A source; or why it cannot be read although it is there.
pub type SourceInput = Result<Arc<ObjectData>, String>;

/// A namespaced object.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ObjectKey {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

/// Everything a catalog is compiled from.
///
/// Shared parts: a source that keeps a snapshot and replaces what changed makes the next compile cheap, because the
/// same pointer means the same content. Equal content behind another pointer is found too, at the price of reading it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When this was the state of things. The compiler has no clock of its own.
    pub taken: SystemTime,
    /// SparkProfiles, in the order in which they were read.
    pub profiles: Vec<ProfileInput>,
    /// Namespaces by name.
    pub namespaces: BTreeMap<String, Arc<NamespaceInput>>,
    /// `data` and `binaryData` of ConfigMaps.
    pub config_maps: BTreeMap<ObjectKey, SourceInput>,
    /// `data` and `stringData` of Secrets.
    pub secrets: BTreeMap<ObjectKey, SourceInput>,
    /// Directories below the files root, by the path that profiles give, with the paths of their files.
    pub directories: BTreeMap<String, SourceInput>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            taken: SystemTime::UNIX_EPOCH,
            profiles: Vec::new(),
            namespaces: BTreeMap::new(),
            config_maps: BTreeMap::new(),
            secrets: BTreeMap::new(),
            directories: BTreeMap::new(),
        }
    }
}

/// A SparkProfile as it was read: not yet known to be well-formed.
#[derive(Clone, Debug)]
pub struct ProfileInput {
    /// Where it came from, for messages.
    pub origin: String,
    /// The whole object.
    pub object: Arc<Value>,
    /// The revision whose Secrets are in every namespace of the profile, as its status says; none where nobody
    /// delivers.
    pub delivered: Option<String>,
}

/// What matters of a Namespace.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NamespaceInput {
    /// Where it came from, for messages.
    pub origin: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}
