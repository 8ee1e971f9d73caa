//! The inputs at one moment, as a source read them. The compiler sees nothing else.

use std::collections::BTreeMap;

use serde_json::Value;

/// Keys of a ConfigMap or Secret, or paths below a directory, and their contents.
pub type ObjectData = BTreeMap<String, Vec<u8>>;

/// A namespaced object.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ObjectKey {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

/// Everything a catalog is compiled from.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// SparkProfiles, in the order in which they were read.
    pub profiles: Vec<ProfileInput>,
    /// Namespaces by name.
    pub namespaces: BTreeMap<String, NamespaceInput>,
    /// `data` and `binaryData` of ConfigMaps.
    pub config_maps: BTreeMap<ObjectKey, ObjectData>,
    /// `data` and `stringData` of Secrets.
    pub secrets: BTreeMap<ObjectKey, ObjectData>,
    /// Directories below the files root, by the path that profiles give, with the paths of their files; or why
    /// one could not be read.
    pub directories: BTreeMap<String, Result<ObjectData, String>>,
}

/// A SparkProfile as it was read: not yet known to be well-formed.
#[derive(Clone, Debug)]
pub struct ProfileInput {
    /// Where it came from, for messages.
    pub origin: String,
    /// The whole object.
    pub object: Value,
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
