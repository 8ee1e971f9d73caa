//! A SparkProfile as the API server has it: what is compiled, and what is only looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::api::DynamicObject;
use serde_json::{Map, Value, json};

use crate::api::{GROUP_VERSION, KIND, SparkProfileStatus};

/// A profile in its two parts, so that a status that was written does not lead to compiling anything again.
#[derive(Debug)]
pub(super) struct Profile {
    /// What the compiler reads.
    pub(super) object: Value,
    pub(super) observed: Observed,
}

/// Which object it is, and what was last written into its status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Unlike the name, not used again after a deletion.
    pub uid: String,
    /// Counts the changes of the spec.
    pub generation: i64,
    /// Version of the object, with status.
    pub resource_version: String,
    /// Whether it serves namespaces; otherwise it exists to be extended.
    pub claims_namespaces: bool,
    /// The status.
    pub status: SparkProfileStatus,
}

/// All profiles, by name.
pub type ObservedProfiles = Arc<BTreeMap<String, Arc<Observed>>>;

impl From<DynamicObject> for Profile {
    fn from(object: DynamicObject) -> Self {
        let DynamicObject { metadata, mut data, .. } = object;
        let mut identity = Map::new();
        identity.insert("name".to_owned(), metadata.name.into());
        if let Some(created) = metadata.creation_timestamp {
            // Of two equal claims the older one wins.
            identity.insert("creationTimestamp".to_owned(), json!(created));
        }
        // Who waits for `observedGeneration` waits for it also where a spec is back to what it was.
        identity.insert("generation".to_owned(), metadata.generation.into());
        let spec = data.get_mut("spec").map(Value::take).unwrap_or_default();
        let claims_namespaces = spec.get("namespaces").is_some_and(|claim| !claim.is_null());
        let status = data.get_mut("status").map(Value::take).unwrap_or_default();
        Self {
            object: json!({ "apiVersion": GROUP_VERSION, "kind": KIND, "metadata": identity, "spec": spec }),
            observed: Observed {
                uid: metadata.uid.unwrap_or_default(),
                generation: metadata.generation.unwrap_or_default(),
                resource_version: metadata.resource_version.unwrap_or_default(),
                claims_namespaces,
                // One that we cannot read is as good as none: it will be written anew.
                status: serde_json::from_value(status).unwrap_or_default(),
            },
        }
    }
}
