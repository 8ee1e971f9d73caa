//! `SparkProfile` as its owner writes it. Every level here is checked by the schema *and* by the compiler.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::status::SparkProfileStatus;
use super::template::Template;

/// What Spark drivers and executors of some namespaces are given.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[kube(
    group = "spark-injector.io",
    version = "v1alpha1",
    kind = "SparkProfile",
    plural = "sparkprofiles",
    singular = "sparkprofile",
    shortname = "sprof",
    status = "SparkProfileStatus",
    doc = "What Spark drivers and executors of some namespaces are given: node selector, files, volumes, DNS, tolerations, priority.",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status","description":"Whether pods are given what the spec says"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name":"Namespaces","type":"integer","jsonPath":".status.namespaces.served","description":"Namespaces that opted in and that the profile serves"}"#,
    printcolumn = r#"{"name":"Revision","type":"string","jsonPath":".status.revision","description":"Revision of the files"}"#,
    printcolumn = r#"{"name":"Delivered","type":"string","priority":1,"jsonPath":".status.deliveredRevision","description":"Revision of the files that pods are given"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    validation = Rule::new("self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')")
        .message("metadata.name becomes part of names and labels: at most 63 lower-case letters, digits or '-'")
)]
#[serde(rename_all = "camelCase")]
pub struct SparkProfileSpec {
    /// Whether the profile acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,

    /// Profiles to build upon, in order; later ones win, and this profile wins over all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)))]
    pub extends: Vec<String>,

    /// The namespaces this profile serves. Without it the profile exists only to be extended. Never inherited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<NamespaceClaim>,

    /// Where pods may be scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<NodeSelectorPolicy>,

    /// Files to place in the Spark container, one mount per entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub files: Vec<FilesEntry>,

    /// How files travel: Env, Secret, or Auto (the default): Env for at most 16 KiB without secrets, else Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,

    /// A variable that is set on executors and absent on drivers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_role: Option<ExecutorRole>,

    /// Pod fields for drivers and executors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common: Option<Overlay>,

    /// Pod fields for drivers; they win over `common`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<Overlay>,

    /// Pod fields for executors; they win over `common`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<Overlay>,

    /// Named overlays of which a job may choose one by the pod label `spark-injector.io/variant`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub variants: BTreeMap<String, Variant>,

    /// Disks for Spark's local directories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub local_dirs: Vec<LocalDir>,

    /// Fields that users may not choose otherwise: set when unset, refused when different.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub enforce: Vec<String>,

    /// Whether a pod labelled `spark-injector.io/inject: disabled` is left alone (true) or refused (false).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_opt_out: Option<bool>,

    /// Registry credentials for the init container's image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<PullSecret>,
}

/// Enforce (the default) injects and refuses; Audit decides, logs and warns but patches and refuses nothing; "Off" is as
/// if the namespace had not opted in. Write "Off" in quotes: to kubectl a bare Off is a boolean.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Mode {
    /// Decide, log, count and warn; patch nothing, refuse nothing.
    Audit,
    /// Inject and refuse.
    #[default]
    Enforce,
    /// As if the namespace had not opted in.
    Off,
}

/// How files reach the init container: Env as values in the pod itself, Secret as one Secret per revision in each
/// namespace, Auto (the default) Env for at most 16 KiB without secrets, else Secret.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Delivery {
    /// Env for at most 16 KiB of files that are not secret, else Secret.
    #[default]
    Auto,
    /// As values in the pod itself.
    Env,
    /// As one Secret per revision in each namespace, to which the pod refers.
    Secret,
}

/// The two kinds of pods that Spark makes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The pod that runs the application's main method.
    Driver,
    /// A pod that runs tasks.
    Executor,
}

impl Role {
    /// Both roles, in the order in which they are reported.
    pub const ALL: [Self; 2] = [Self::Driver, Self::Executor];

    /// The value of the label `spark-role`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Executor => "executor",
        }
    }

    /// The role that a value of the label `spark-role` stands for, if it is one of ours.
    pub fn from_label(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == value)
    }
}

/// Which namespaces a profile serves.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.selector) || (has(self.names) && self.names.size() > 0)",
    "message": "write names or a selector; an empty selector means every namespace; leave namespaces out where the profile is only extended"
}]))]
pub struct NamespaceClaim {
    /// Namespaces by name; a name wins over every selector.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 4096),
        inner(length(min = 1, max = 63)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub names: Vec<String>,

    /// Namespaces by label; an empty selector makes this profile the default of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// Where pods may be scheduled.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelectorPolicy {
    /// The selector of namespaces without the annotation `scheduler.alpha.kubernetes.io/node-selector`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::crd::labels")]
    pub default: BTreeMap<String, String>,

    /// The whitelist: every key of the merged selector must be here, with one of these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::crd::label_choices")]
    pub allowed: BTreeMap<String, Vec<String>>,

    /// The tolerations that pods of isolated namespaces may have, beside those of this profile's own templates and those
    /// that Kubernetes itself gives to pods; without it every one. `[]` permits no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub allowed_tolerations: Option<Vec<Toleration>>,

    /// Whether the selector holds for Spark pods or for every pod of an isolated namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<SelectorScope>,
}

/// For which pods a node selector holds: SparkPods (the default) for drivers and executors, AllPods for every pod of the
/// namespaces that are labelled `spark-injector.io/isolate: enabled`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum SelectorScope {
    /// Drivers and executors.
    #[default]
    SparkPods,
    /// Every pod of the namespaces that are labelled `spark-injector.io/isolate: enabled`.
    AllPods,
}

/// One mount of files, and where the files come from: exactly one source.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "[has(self.configMap), has(self.secret), has(self.directory), has(self.inline)].filter(given, given).size() == 1",
    "message": "write exactly one of configMap, secret, directory, inline"
}]))]
pub struct FilesEntry {
    /// Where the Spark container finds them; absolute. A directory, or the file itself where `file` is given.
    #[schemars(length(min = 2, max = 1024), regex(pattern = "^/"))]
    pub mount_path: String,

    /// One file of the source, mounted at `mountPath` itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub file: Option<String>,

    /// Who gets them; default both, for a secret source drivers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2))]
    pub roles: Option<Vec<Role>>,

    /// Permissions as an octal string; default "0444", from a Secret "0440".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^0?[0-7]{3}$"))]
    pub mode: Option<String>,

    /// Files from a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ObjectSource>,

    /// Files from a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<ObjectSource>,

    /// Files from the injector's own disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<DirectorySource>,

    /// Files written here: name to content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::crd::inline_files")]
    pub inline: Option<BTreeMap<String, String>>,
}

/// A ConfigMap or Secret in the injector's namespace.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectSource {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Namespace of the object, if it is not the injector's own; the injector's owner has to list it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,

    /// Which keys become which files; default all, each under its own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub items: Option<Vec<KeyToPath>>,
}

/// One key of an object as a file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyToPath {
    /// Key in the object.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,

    /// Path of the file below `mountPath`; default the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub path: Option<String>,

    /// Permissions as an octal string; default those of the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^0?[0-7]{3}$"))]
    pub mode: Option<String>,
}

/// A directory on the injector's disk, below its files root.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectorySource {
    /// Path below the files root; relative. Names that start with `..` are skipped, subdirectories are kept.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
}

/// The variable that tells an executor it is one.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutorRole {
    /// Name of the environment variable.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Its value.
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// Pod fields, in the schema of Spark's own pod template files.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overlay {
    /// A partial PodTemplateSpec; the container named `spark` stands for the Spark container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
}

/// An overlay that a job may choose by name.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Variant {
    /// Pod fields for drivers and executors; short for `common.template`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,

    /// Pod fields for drivers and executors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common: Option<Overlay>,

    /// Pod fields for drivers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<Overlay>,

    /// Pod fields for executors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<Overlay>,
}

/// A disk for one of Spark's local directories.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalDir {
    /// Where a directory that Spark did not ask for itself is mounted; default `/var/data/spark-injector-<i>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1024), regex(pattern = "^/"))]
    pub mount_path: Option<String>,

    /// The volume source, as in a pod: `hostPath`, `emptyDir`, `ephemeral`, …
    #[serde(flatten)]
    #[schemars(schema_with = "super::crd::any_fields")]
    pub source: Map<String, Value>,
}

/// Registry credentials that are delivered to the namespaces of a profile.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PullSecret {
    /// A Secret of type `kubernetes.io/dockerconfigjson` in the injector's namespace.
    pub secret: PullSecretSource,
}

/// Which Secret holds the registry credentials.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PullSecretSource {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Its namespace, if it is not the injector's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}
