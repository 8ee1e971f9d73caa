//! The plan: what to add to a pod, in Kubernetes words, with the line of the profile that asks for it.
//!
//! One plan per profile, role and variant, shared by all namespaces of the profile. No JSON pointers here: where
//! things go depends on the pod, and `merge` decides it.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Toleration;
use serde_json::Value;

use super::patch::Fragment;
use crate::api::Role;
use crate::api::names::STATUS_ANNOTATION;

/// Which line of which profile asked for something: `platform-base: spec.common.template.spec.tolerations[0]`.
pub type Origin = Arc<str>;

/// One thing to add, under the key by which the merge rules tell it from others.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Name, path, ip or whatever the field's merge rule compares; for lists without a key, the value itself.
    pub key: String,
    /// The value as the pod API writes it.
    pub value: Value,
    /// The value, serialised once.
    pub json: String,
    /// Who asked for it.
    pub origin: Origin,
}

impl Item {
    /// An item under a key.
    pub fn new(key: impl Into<String>, value: Value, origin: &Origin) -> Self {
        Self { key: key.into(), json: value.to_string(), value, origin: Arc::clone(origin) }
    }

    /// The status annotation, as we alone write it.
    pub fn status(status: &Value) -> Self {
        Self::new(STATUS_ANNOTATION, Value::from(status.to_string()), &Origin::from("spark-injector"))
    }

    /// The value as text, where it is a string.
    pub fn text(&self) -> &str {
        self.value.as_str().unwrap_or_default()
    }
}

/// Limits of the pod API on `dnsConfig`.
pub const MAX_NAMESERVERS: usize = 3;
/// As [`MAX_NAMESERVERS`].
pub const MAX_SEARCHES: usize = 32;

/// Texts of a topology spread constraint: the API server takes no two that have both in common.
pub const SPREAD_KEY: &[&str] = &["topologyKey", "whenUnsatisfiable"];
/// The same of the ports of a container; of those without a name there may be any number.
pub const PORT_KEY: &[&str] = &["name"];

/// The texts by which an entry of a list is told from others; none where it lacks one.
pub fn unique_key(entry: &Value, fields: &[&str]) -> Option<String> {
    let text = |field: &&str| entry.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let texts: Vec<&str> = fields.iter().map(text).collect::<Option<_>>()?;
    (!texts.is_empty()).then(|| texts.join(" "))
}

/// Items in the order in which they were first named; a later item of the same key takes the place of an earlier one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keyed(Vec<Item>);

impl Keyed {
    /// Adds an item, or replaces the one of the same key in its place.
    pub fn put(&mut self, item: Item) {
        match self.0.iter_mut().find(|known| known.key == item.key) {
            Some(known) => *known = item,
            None => self.0.push(item),
        }
    }

    /// Puts every item of a later layer.
    pub fn put_all(&mut self, later: &Self) {
        for item in &later.0 {
            self.put(item.clone());
        }
    }

    /// The item of a key.
    pub fn get(&self, key: &str) -> Option<&Item> {
        self.0.iter().find(|item| item.key == key)
    }

    /// The items in order, as a slice.
    pub fn as_slice(&self) -> &[Item] {
        &self.0
    }

    /// The items in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Item> {
        self.0.iter()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a> IntoIterator for &'a Keyed {
    type Item = &'a Item;
    type IntoIter = std::slice::Iter<'a, Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// Pod fields of one or more merged layers of a profile. Every list is keyed as its merge rule compares it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overlay {
    /// Labels by key.
    pub labels: Keyed,
    /// Annotations by key.
    pub annotations: Keyed,
    /// Node selector by key.
    pub node_selector: Keyed,
    /// Volumes by name.
    pub volumes: Keyed,
    /// Init containers of the profile's own, by name.
    pub init_containers: Keyed,
    /// Sidecars by name.
    pub sidecars: Keyed,
    /// Host aliases by ip; the value is the whole entry.
    pub host_aliases: Keyed,
    /// DNS servers.
    pub nameservers: Keyed,
    /// DNS search domains.
    pub searches: Keyed,
    /// DNS resolver options by name.
    pub dns_options: Keyed,
    /// Tolerations by value.
    pub tolerations: Keyed,
    /// Topology spread constraints by [`SPREAD_KEY`].
    pub topology_spread: Keyed,
    /// Image pull secrets by value.
    pub pull_secrets: Keyed,
    /// Fields of the pod that hold one value, by name: `priorityClassName`, `affinity`, `dnsPolicy`, …
    pub scalars: Keyed,
    /// Fields of the pod's security context.
    pub pod_security: Keyed,
    /// Fields of the Spark container.
    pub spark: SparkOverlay,
}

/// Fields of the Spark container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparkOverlay {
    /// Environment by name.
    pub env: Keyed,
    /// Environment sources by value.
    pub env_from: Keyed,
    /// Ports by [`PORT_KEY`], those without a name by value.
    pub ports: Keyed,
    /// Mounts by cleaned path.
    pub mounts: Keyed,
    /// Resource requests by name.
    pub requests: Keyed,
    /// Resource limits by name.
    pub limits: Keyed,
    /// Lifecycle hooks by name.
    pub lifecycle: Keyed,
    /// Fields of the container's security context.
    pub security: Keyed,
}

/// Every list of a borrowed [`Overlay`] with the name of its field, as borrowed as the overlay. The one place that names
/// them all: a field that is left out does not compile.
macro_rules! lists {
    ($overlay:expr) => {{
        let Overlay {
            labels,
            annotations,
            node_selector,
            volumes,
            init_containers,
            sidecars,
            host_aliases,
            nameservers,
            searches,
            dns_options,
            tolerations,
            topology_spread,
            pull_secrets,
            scalars,
            pod_security,
            spark: SparkOverlay { env, env_from, ports, mounts, requests, limits, lifecycle, security },
        } = $overlay;
        [
            ("labels", labels),
            ("annotations", annotations),
            ("nodeSelector", node_selector),
            ("volumes", volumes),
            ("initContainers", init_containers),
            ("sidecars", sidecars),
            ("hostAliases", host_aliases),
            ("nameservers", nameservers),
            ("searches", searches),
            ("dnsOptions", dns_options),
            ("tolerations", tolerations),
            ("topologySpreadConstraints", topology_spread),
            ("imagePullSecrets", pull_secrets),
            ("scalars", scalars),
            ("podSecurity", pod_security),
            ("env", env),
            ("envFrom", env_from),
            ("ports", ports),
            ("mounts", mounts),
            ("requests", requests),
            ("limits", limits),
            ("lifecycle", lifecycle),
            ("security", security),
        ]
    }};
}

impl Overlay {
    /// Merges a later layer over this one: keyed items replace, scalars replace, host names of one ip unite.
    pub fn merge(&mut self, later: &Self) {
        let aliases = united(&self.host_aliases, &later.host_aliases);
        for ((_, list), (_, later)) in lists!(self).into_iter().zip(later.lists()) {
            list.put_all(later);
        }
        self.host_aliases = aliases;
    }

    /// All that is in it, by the names of its fields.
    pub fn lists(&self) -> [(&'static str, &Keyed); 23] {
        lists!(self)
    }
}

/// Host aliases of two layers.
fn united(earlier: &Keyed, later: &Keyed) -> Keyed {
    let mut united = earlier.clone();
    for alias in later {
        let alias = match earlier.get(&alias.key) {
            Some(known) => unite_aliases(known, alias),
            None => alias.clone(),
        };
        united.put(alias);
    }
    united
}

/// The host names of a host alias entry.
pub fn hostnames(alias: &Value) -> impl Iterator<Item = &str> {
    alias.get("hostnames").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn unite_aliases(known: &Item, later: &Item) -> Item {
    let mut names: Vec<&str> = hostnames(&known.value).collect();
    for name in hostnames(&later.value) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Item::new(later.key.clone(), serde_json::json!({ "ip": later.key, "hostnames": names }), &later.origin)
}

/// Fields that may stand in `enforce`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Enforced(Vec<String>);

impl Enforced {
    /// Every field that can be enforced, in the order of the documentation.
    pub const FIELDS: [&'static str; 16] = [
        "affinity",
        "annotations",
        "dnsPolicy",
        "env",
        "hostNetwork",
        "labels",
        "lifecycle",
        "priorityClassName",
        "resources",
        "runtimeClassName",
        "schedulerName",
        "securityContext",
        "serviceAccountName",
        "shareProcessNamespace",
        "terminationGracePeriodSeconds",
        "volumeMounts",
    ];

    /// Adds a field to the set.
    pub fn insert(&mut self, field: &str) {
        if !self.contains(field) {
            self.0.push(field.to_owned());
        }
    }

    /// Whether users may not choose this field otherwise.
    pub fn contains(&self, field: &str) -> bool {
        self.0.iter().any(|known| known == field)
    }
}

/// What one role of one profile gets, with or without a variant.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Name of the profile.
    pub profile: String,
    /// Role of the pods it is for.
    pub role: Role,
    /// Variant, if a job chose one.
    pub variant: Option<String>,
    /// Pod fields.
    pub overlay: Overlay,
    /// Fields that users may not choose otherwise.
    pub enforced: Enforced,
    /// Files, where the role has any.
    pub files: Option<FilesPlan>,
    /// The variable that tells an executor it is one: set on executors, absent on drivers.
    pub role_variable: Option<Item>,
    /// Disks for Spark's local directories.
    pub local_dirs: Vec<LocalDirPlan>,
    /// The status annotation: compact JSON, the same bytes for the same plan.
    pub status: Item,
}

/// The init container, its volumes, and what the Spark container mounts of them.
#[derive(Clone, Debug, PartialEq)]
pub struct FilesPlan {
    /// The init container but for its security context: `{"name":…,"image":…,`
    pub head: String,
    /// The rest of the init container, with the payload: `"env":[…],…}`.
    pub tail: Arc<Fragment>,
    /// The volumes of the init container.
    pub volumes: Vec<Item>,
    /// Mounts in the Spark container, by cleaned path.
    pub mounts: Vec<Item>,
    /// Absolute paths below our mounts at which init-sync makes mount points.
    pub mount_points: Vec<String>,
    /// Names of the Secrets that hold the payload.
    pub secrets: Vec<String>,
    /// Who asked for files at all.
    pub origin: Origin,
}

/// One disk for Spark's local directories.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalDirPlan {
    /// Fields of the volume source, by name: `hostPath`.
    pub source: Keyed,
    /// The volume, by name, where Spark did not ask for so many directories itself.
    pub volume: Item,
    /// Its mount, by cleaned path.
    pub mount: Item,
}

/// The node selector of a namespace: its annotation, else its profile's default.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSelector {
    /// The selector, or why the annotation cannot be read.
    pub selector: Result<BTreeMap<String, String>, String>,
    /// Where it comes from, for messages.
    pub origin: String,
}

/// The whitelist of node selectors: each key with the values that are allowed. None allows everything.
pub type Whitelist = Option<BTreeMap<String, Vec<String>>>;

/// What holds for every pod of the isolated namespaces of a profile, beside the node selector.
#[derive(Clone, Debug, PartialEq)]
pub struct Isolation {
    /// Tolerations that pods may have, those of the profile's templates among them. None allows every one.
    pub tolerations: Option<Vec<Toleration>>,
    /// Expressions of the required node affinity in the profile's own templates: not a pod's own wish.
    pub expressions: Vec<Value>,
    /// The status annotation of a pod that is isolated and nothing else.
    pub status: Item,
}
