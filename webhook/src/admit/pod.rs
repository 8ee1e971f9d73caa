//! A pod as the merge rules need it: borrowed from the request, only the needed fields, the rest skipped.
//!
//! Read-only. What is patched is the raw object, so nothing that is missing here can be lost. `null` and absent are
//! the same everywhere, as they are to the API server.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// Text that borrows from the request unless it holds escapes. (A plain `Option<Cow>` would always copy.)
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A map, in the order of the request.
#[derive(Clone, Debug)]
pub(super) struct Map<'a, V>(Vec<(Text<'a>, V)>);

/// A map of text to text.
pub(super) type TextMap<'a> = Map<'a, Option<Text<'a>>>;

impl<V> Map<'_, V> {
    /// The value of a key; the last one, as a decoder into a map would keep it.
    pub(super) fn find(&self, key: &str) -> Option<&V> {
        self.0.iter().rev().find(|(known, _)| &**known == key).map(|(_, value)| value)
    }
}

impl TextMap<'_> {
    /// The text of a key.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.find(key).map(|value| value.as_deref().unwrap_or_default())
    }

    /// Keys and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, value.as_deref().unwrap_or_default()))
    }
}

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Map<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = Map<'de, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Map(entries))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// The object of a request for a pod.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(super) struct Pod<'a> {
    /// What tells whether the rest is needed.
    pub metadata: Option<Metadata<'a>>,
    /// What is merged with a plan. Boxed: half a kilobyte that would move with every step of the decoder.
    pub spec: Option<Box<Spec<'a>>>,
}

/// `metadata` of a pod; managed fields, some two fifths of a request, are skipped.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Metadata<'a> {
    /// Name; absent where a controller creates the pod.
    pub name: Option<Text<'a>>,
    /// Prefix of the name that the API server will make.
    pub generate_name: Option<Text<'a>>,
    /// Labels.
    pub labels: Option<TextMap<'a>>,
    /// Annotations.
    pub annotations: Option<TextMap<'a>>,
}

/// `spec` of a pod.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Spec<'a> {
    /// Node that the pod is bound to without asking the scheduler.
    pub node_name: Option<Text<'a>>,
    /// Node selector.
    pub node_selector: Option<TextMap<'a>>,
    /// Volumes.
    pub volumes: Option<Vec<Volume<'a>>>,
    /// Init containers, by name.
    pub init_containers: Option<Vec<Named<'a>>>,
    /// Containers.
    pub containers: Option<Vec<Container<'a>>>,
    /// Host aliases.
    pub host_aliases: Option<&'a RawValue>,
    /// DNS configuration.
    pub dns_config: Option<&'a RawValue>,
    /// Tolerations.
    pub tolerations: Option<&'a RawValue>,
    /// Topology spread constraints.
    pub topology_spread_constraints: Option<&'a RawValue>,
    /// Image pull secrets.
    pub image_pull_secrets: Option<&'a RawValue>,
    /// Affinity.
    pub affinity: Option<&'a RawValue>,
    /// Security context.
    pub security_context: Option<&'a RawValue>,
    /// Priority class.
    pub priority_class_name: Option<Text<'a>>,
    /// Priority that the Priority plugin computed before us.
    pub priority: Option<IgnoredAny>,
    /// Preemption policy that the Priority plugin computed before us.
    pub preemption_policy: Option<IgnoredAny>,
    /// Whether the pod uses its node's network.
    pub host_network: Option<bool>,
    /// Scheduler.
    pub scheduler_name: Option<Text<'a>>,
    /// Runtime class.
    pub runtime_class_name: Option<Text<'a>>,
    /// DNS policy.
    pub dns_policy: Option<Text<'a>>,
    /// Service account.
    pub service_account_name: Option<Text<'a>>,
    /// Its deprecated alias.
    pub service_account: Option<Text<'a>>,
    /// Whether the containers share one process namespace.
    pub share_process_namespace: Option<bool>,
    /// Grace period, in seconds.
    pub termination_grace_period_seconds: Option<i64>,
    /// Operating system.
    pub os: Option<Named<'a>>,
}

/// Anything with a name.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(super) struct Named<'a> {
    /// The name.
    #[serde(default)]
    pub name: Option<Text<'a>>,
}

/// A volume, with what tells a read-only one.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Volume<'a> {
    /// The name.
    pub name: Option<Text<'a>>,
    /// Present on an emptyDir.
    pub empty_dir: Option<&'a RawValue>,
    /// Present on a ConfigMap volume.
    pub config_map: Option<IgnoredAny>,
    /// Present on a Secret volume.
    pub secret: Option<IgnoredAny>,
    /// Present on a projected volume.
    pub projected: Option<IgnoredAny>,
    /// Present on a downward API volume.
    #[serde(rename = "downwardAPI")]
    pub downward_api: Option<IgnoredAny>,
}

impl Volume<'_> {
    /// The kind of a volume in which the runtime cannot make a mount point.
    pub(super) fn read_only_kind(&self) -> Option<&'static str> {
        let kinds = [
            (self.config_map.is_some(), "ConfigMap"),
            (self.secret.is_some(), "Secret"),
            (self.projected.is_some(), "projected"),
            (self.downward_api.is_some(), "downward API"),
        ];
        kinds.into_iter().find_map(|(present, kind)| present.then_some(kind))
    }
}

/// A container.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Container<'a> {
    /// The name.
    pub name: Option<Text<'a>>,
    /// Arguments; the first one tells the Spark container.
    pub args: Option<Vec<Text<'a>>>,
    /// Environment.
    pub env: Option<Vec<EnvVar<'a>>>,
    /// Environment sources.
    pub env_from: Option<&'a RawValue>,
    /// Ports.
    pub ports: Option<&'a RawValue>,
    /// Mounts.
    pub volume_mounts: Option<Vec<Mount<'a>>>,
    /// Resources.
    pub resources: Option<&'a RawValue>,
    /// Lifecycle hooks.
    pub lifecycle: Option<&'a RawValue>,
    /// Security context.
    pub security_context: Option<&'a RawValue>,
}

/// An environment variable.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct EnvVar<'a> {
    /// The name.
    pub name: Option<Text<'a>>,
    /// The value, unless it comes from elsewhere.
    pub value: Option<Text<'a>>,
    /// Where the value comes from.
    pub value_from: Option<&'a RawValue>,
}

/// A mount.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Mount<'a> {
    /// Name of the volume.
    pub name: Option<Text<'a>>,
    /// Where it is mounted.
    #[allow(clippy::struct_field_names, reason = "the name in the pod API")]
    pub mount_path: Option<Text<'a>>,
    /// Which part of the volume.
    pub sub_path: Option<Text<'a>>,
    /// The same, with variables.
    pub sub_path_expr: Option<Text<'a>>,
    /// Whether it cannot be written.
    pub read_only: Option<bool>,
    /// Whether mounts in it that are made later are seen on the other side.
    #[allow(clippy::struct_field_names, reason = "the name in the pod API")]
    pub mount_propagation: Option<Text<'a>>,
    /// Whether what is mounted in it cannot be written either.
    pub recursive_read_only: Option<Text<'a>>,
}

impl Pod<'_> {
    /// Name, or the prefix from which the API server will make one.
    pub(super) fn display_name(&self) -> &str {
        let metadata = self.metadata.as_ref();
        let name = metadata.and_then(|metadata| metadata.name.as_deref()).filter(|name| !name.is_empty());
        name.or_else(|| metadata.and_then(|metadata| metadata.generate_name.as_deref())).unwrap_or_default()
    }

    /// A label.
    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.metadata.as_ref()?.labels.as_ref()?.get(key)
    }

    /// An annotation.
    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.as_ref()?.annotations.as_ref()?.get(key)
    }
}

/// A raw part of the request as a value. The request was valid JSON, so this cannot fail on one that was decoded.
pub(super) fn value_of(raw: Option<&RawValue>) -> Value {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or(Value::Null)
}

/// A path as the runtime compares it: no `.`, no `..`, no doubled or trailing slash.
pub fn clean_path(path: &str) -> Cow<'_, str> {
    // `/.` may as well begin the name of a hidden file: taken apart below, it stays what it is.
    let is_suspect = |pair: &[u8]| matches!(pair, b"//" | b"/.");
    if path.starts_with('/') && !path.ends_with('/') && !path.as_bytes().windows(2).any(is_suspect) {
        return path.into();
    }
    let mut cleaned = String::with_capacity(path.len());
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => cleaned.truncate(cleaned.rfind('/').unwrap_or_default()),
            part => {
                cleaned.push('/');
                cleaned.push_str(part);
            }
        }
    }
    if cleaned.is_empty() {
        cleaned.push('/');
    }
    cleaned.into()
}

/// Whether a cleaned path lies strictly below another one.
pub fn is_below(inner: &str, outer: &str) -> bool {
    outer == "/" && inner != "/" || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::{TextMap, clean_path};

    /// A caller may send a million of them in one review.
    #[test]
    fn an_empty_map_takes_no_memory() {
        let map: TextMap<'_> = serde_json::from_str("{}").unwrap();
        assert_eq!(map.0.capacity(), 0);
    }

    #[test]
    fn paths_are_cleaned_as_the_runtime_does_it() {
        for (path, cleaned) in [
            ("/a/b", "/a/b"),
            ("/a/.b/..c", "/a/.b/..c"),
            ("/a/b/", "/a/b"),
            ("/a//b", "/a/b"),
            ("/a/./b/.", "/a/b"),
            ("/a/../b", "/b"),
            ("/../..", "/"),
            ("/", "/"),
            ("", "/"),
            ("a", "/a"),
        ] {
            assert_eq!(clean_path(path), cleaned, "{path:?}");
        }
    }
}
