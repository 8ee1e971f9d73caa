//! The Secrets that profiles deliver: what is in them, and where they belong.

use std::sync::Arc;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::json;

use super::compose::Composed;
use super::encode::Encoded;
use super::lookup::Lookup;
use super::payload::{Payload, Value};
use super::report::Report;
use super::snapshot::ObjectKey;
use super::{ProblemKind, Settings};
use crate::admit::plan::{Item, Origin};
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
#[derive(Debug, Eq, PartialEq)]
pub struct SecretBody {
    pub(super) name: String,
    pub(super) profile: String,
    pub(super) kind: &'static str,
    /// Keys and what they hold, before the base64 of the API.
    pub(super) data: Vec<(String, SecretValue)>,
}

/// What one key holds.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct SecretValue {
    pub(super) content: Arc<Encoded>,
    pub(super) chunk: usize,
}

impl SecretBody {
    /// Name of the Secret, the same in every namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Secret with the files of a revision: its keys are the variables, their values what the variables hold. None
    /// where there are no files.
    pub(super) fn of_files(name: String, profile: &str, payload: &Payload) -> Option<Self> {
        let value = |value: Value<'_>| SecretValue { content: Arc::clone(value.content), chunk: value.chunk };
        let variables = payload.variables().into_iter();
        let data: Vec<(String, SecretValue)> =
            variables.map(|(name, content)| (name.to_owned(), value(content))).collect();
        (!data.is_empty()).then(|| Self { name, profile: profile.to_owned(), kind: "Opaque", data })
    }

    /// The complete object for a namespace. Nothing is copied but by writing it.
    pub fn in_namespace<'s>(&'s self, namespace: &'s str) -> impl Serialize + 's {
        InNamespace { body: self, namespace: Some(namespace) }
    }

    /// The object without a namespace, for requests that have it in their path: the same bytes for every namespace.
    pub fn anywhere(&self) -> impl Serialize + '_ {
        InNamespace { body: self, namespace: None }
    }
}

/// The key of a Secret with registry credentials, and its type.
const DOCKER_CONFIG: &str = ".dockerconfigjson";
const DOCKER_CONFIG_TYPE: &str = "kubernetes.io/dockerconfigjson";

/// Registry credentials that are delivered with the files.
pub(super) struct PullSecret<'s> {
    pub(super) content: &'s str,
    origin: &'s Origin,
}

impl<'s> PullSecret<'s> {
    /// The credentials that a profile names, if it names any; mistakes go to the report.
    pub(super) fn find<'d: 's>(
        composed: &'s Composed,
        lookup: &mut Lookup<'d>,
        settings: &Settings,
        report: &mut Report,
    ) -> Option<Self> {
        let (source, origin) = composed.pull_secret.as_ref()?;
        let namespace = source.namespace.clone().unwrap_or_else(|| settings.namespace.clone());
        let path = "spec.pullSecret.secret";
        if namespace != settings.namespace && !settings.source_namespaces.contains(&namespace) {
            let message =
                format!("{namespace:?} is not a namespace of sources; name it with --source-namespace");
            report.at(format!("{path}.namespace"), message);
            return None;
        }
        let key = ObjectKey { namespace: namespace.clone(), name: source.name.clone() };
        let data = report.source(format!("{path}.name"), lookup.secret(key))?;
        let Some(content) = data.get(DOCKER_CONFIG) else {
            let message = format!("Secret {:?} has no key {DOCKER_CONFIG}", source.name);
            report.kind(ProblemKind::Source, format!("{path}.name"), message);
            return None;
        };
        // The API server would refuse the copies.
        let text =
            std::str::from_utf8(content).ok().filter(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
        if text.is_none() {
            let message = format!("key {DOCKER_CONFIG} of Secret {:?} does not hold JSON", source.name);
            report.kind(ProblemKind::Source, format!("{path}.name"), message);
        }
        Some(Self { content: text?, origin })
    }

    /// The Secret, and how pods refer to it.
    pub(super) fn render(&self, profile: &str, revision: &str) -> (SecretBody, Item) {
        let name = names::pull_secret(profile, revision);
        let item = Item::new(name.clone(), json!({ "name": name }), self.origin);
        let value = SecretValue { content: Arc::new(Encoded::verbatim(self.content.to_owned())), chunk: 0 };
        let data = vec![(DOCKER_CONFIG.to_owned(), value)];
        (SecretBody { name, profile: profile.to_owned(), kind: DOCKER_CONFIG_TYPE, data }, item)
    }
}

/// A Secret as the API server takes it.
struct InNamespace<'s> {
    body: &'s SecretBody,
    namespace: Option<&'s str>,
}

impl Serialize for InNamespace<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let SecretBody { name, profile, kind, data } = self.body;
        let mut map = serializer.serialize_map(Some(6))?;
        map.serialize_entry("apiVersion", "v1")?;
        map.serialize_entry("kind", "Secret")?;
        let labels =
            json!({ names::MANAGED_BY_LABEL: names::DEFAULT_NAMESPACE, names::PROFILE_LABEL: profile });
        let metadata = match self.namespace {
            Some(namespace) => json!({ "name": name, "namespace": namespace, "labels": labels }),
            None => json!({ "name": name, "labels": labels }),
        };
        map.serialize_entry("metadata", &metadata)?;
        map.serialize_entry("type", kind)?;
        map.serialize_entry("immutable", &true)?;
        map.serialize_entry("data", &Data(data))?;
        map.end()
    }
}

struct Data<'s>(&'s [(String, SecretValue)]);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, Base64(value))))
    }
}

struct Base64<'s>(&'s SecretValue);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let SecretValue { content, chunk } = self.0;
        let text = content.values.get(*chunk).map(String::as_bytes).unwrap_or_default();
        serializer.collect_str(&Base64Display::new(text, &STANDARD))
    }
}
