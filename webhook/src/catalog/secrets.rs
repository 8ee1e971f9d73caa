//! The Secrets that profiles deliver: what is in them, and where they belong.

use std::sync::Arc;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::json;

use crate::api::names;

/// Everything of one profile that has to be in its namespaces.
#[derive(Clone, Debug)]
pub struct ProfileSecrets {
    /// Name of the profile.
    pub profile: String,
    /// The revision to deliver. Once its Secrets are everywhere, `status.deliveredRevision` names it, and pods refer
    /// to it.
    pub revision: String,
    /// The Secrets of that revision, and before them those of the revision that pods refer to until then.
    pub secrets: Vec<Arc<SecretBody>>,
    /// The opted-in namespaces that the profile serves, sorted.
    pub namespaces: Vec<String>,
}

/// A Secret without a namespace: immutable, the same in each.
#[derive(Debug)]
pub struct SecretBody {
    pub(super) name: String,
    pub(super) profile: String,
    pub(super) kind: &'static str,
    /// Keys and what they hold, before the base64 of the API.
    pub(super) data: Vec<(String, Arc<[u8]>)>,
}

impl SecretBody {
    /// Name of the Secret, the same in every namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The complete object for a namespace. Nothing is copied but by writing it.
    pub fn in_namespace<'s>(&'s self, namespace: &'s str) -> impl Serialize + 's {
        InNamespace { body: self, namespace }
    }
}

/// A Secret as the API server takes it.
struct InNamespace<'s> {
    body: &'s SecretBody,
    namespace: &'s str,
}

impl Serialize for InNamespace<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let SecretBody { name, profile, kind, data } = self.body;
        let mut map = serializer.serialize_map(Some(6))?;
        map.serialize_entry("apiVersion", "v1")?;
        map.serialize_entry("kind", "Secret")?;
        let metadata = json!({
            "name": name,
            "namespace": self.namespace,
            "labels": { names::MANAGED_BY_LABEL: names::DEFAULT_NAMESPACE, names::PROFILE_LABEL: profile },
        });
        map.serialize_entry("metadata", &metadata)?;
        map.serialize_entry("type", kind)?;
        map.serialize_entry("immutable", &true)?;
        map.serialize_entry("data", &Data(data))?;
        map.end()
    }
}

struct Data<'s>(&'s [(String, Arc<[u8]>)]);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, Encoded(value))))
    }
}

struct Encoded<'s>(&'s [u8]);

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}
