//! Objects that somebody else has read, as a snapshot; and which objects those would be.

use serde_json::Value;

use super::directory::Load;
use super::objects::Collector;
use super::references;
use crate::catalog::ObjectKey;

/// Sorts objects, or lists of them, into a snapshot. ConfigMaps and Secrets that name no namespace are in `own`.
pub fn collect(documents: &[Value], own: &str) -> Load {
    let mut collector = Collector::new(own);
    for document in documents {
        collector.take("", document);
    }
    let Collector { snapshot, problems, warnings, .. } = collector;
    Load { snapshot, problems, warnings, files: 0, digest: [0; 32] }
}

/// A ConfigMap or Secret that a profile names.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Source {
    /// As messages call it: `ConfigMap`, `Secret`.
    pub kind: &'static str,
    /// As the API server's paths call it.
    pub plural: &'static str,
    /// Which one.
    pub key: ObjectKey,
}

/// What a profile reads from the cluster, for its files and its pull secret.
pub fn sources(profile: &Value, own: &str) -> Vec<Source> {
    let source = |(kind, key): (references::SourceKind, ObjectKey)| Source {
        kind: kind.as_str(),
        plural: kind.plural(),
        key,
    };
    references::objects(profile, own).map(source).collect()
}
