//! Every name that users, owners and other tools meet: labels, annotations, volumes, containers.

/// API group of the custom resource, and prefix of every label and annotation of ours.
pub const GROUP: &str = "spark-injector.io";

/// Version of the custom resource.
pub const VERSION: &str = "v1alpha1";

/// Label: on a namespace `enabled` switches injection on, on a pod `disabled` asks to be left alone.
pub const INJECT_LABEL: &str = "spark-injector.io/inject";

/// Value of [`INJECT_LABEL`] on a namespace that opted in.
pub const INJECT_ENABLED: &str = "enabled";

/// Value of [`INJECT_LABEL`] on a pod that opts out, where its profile allows it.
pub const INJECT_DISABLED: &str = "disabled";

/// Namespace label: `enabled` holds every pod of the namespace to its profile's node selector, where the profile's scope
/// is AllPods.
pub const ISOLATE_LABEL: &str = "spark-injector.io/isolate";

/// Value of [`ISOLATE_LABEL`] on an isolated namespace.
pub const ISOLATE_ENABLED: &str = "enabled";

/// Namespace label: `disabled` exempts from the policies that refuse pods which nobody looked at. They are manifests; this
/// program does not read it.
pub const BACKSTOP_LABEL: &str = "spark-injector.io/backstop";

/// Pod label by which a job chooses one of its profile's variants.
pub const VARIANT_LABEL: &str = "spark-injector.io/variant";

/// Pod annotation that we write: compact JSON with profile, revision, plan, role and variant.
pub const STATUS_ANNOTATION: &str = "spark-injector.io/status";

/// Namespace annotation with the node selector: key and grammar of the in-tree PodNodeSelector plugin.
pub const NODE_SELECTOR_ANNOTATION: &str = "scheduler.alpha.kubernetes.io/node-selector";

/// Pod label that Spark sets to `driver` or `executor`, and that it refuses to let users override.
pub const SPARK_ROLE_LABEL: &str = "spark-role";

/// Annotation that the kubelet puts on mirror pods of static pods. They cannot be changed.
pub const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// Name of the injected init container.
pub const INIT_CONTAINER: &str = "spark-injector-init";

/// Volume that the init container fills and the Spark container reads.
pub const FILES_VOLUME: &str = "spark-injector-files";

/// Empty volume that covers the service account token in the init container.
pub const NO_TOKEN_VOLUME: &str = "spark-injector-no-token";

/// Where the API server mounts the service account token.
pub const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Prefix of every object that we create in a namespace of a team.
pub const OBJECT_PREFIX: &str = "spark-injector-";

/// Label of every object that we create: who looks after it.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Label of every Secret that we create: the profile that it belongs to.
pub const PROFILE_LABEL: &str = "spark-injector.io/profile";

/// Name of the Secret with the files of a revision.
pub fn files_secret(profile: &str, revision: &str) -> String {
    format!("{OBJECT_PREFIX}{profile}-{revision}")
}

/// Name of the Secret with the registry credentials of a revision.
pub fn pull_secret(profile: &str, revision: &str) -> String {
    format!("{OBJECT_PREFIX}{profile}-pull-{revision}")
}

/// Prefix of the volumes that Spark makes for its local directories.
pub const LOCAL_DIR_PREFIX: &str = "spark-local-dir-";

/// Environment variable in which Spark lists its local directories, comma-separated.
pub const LOCAL_DIRS_VARIABLE: &str = "SPARK_LOCAL_DIRS";

/// Name in a template's `containers` that stands for the Spark container, whatever its name in the pod.
pub const SPARK_CONTAINER: &str = "spark";

/// Namespaces that are never touched: a mutating webhook that fails there can lock a cluster up.
pub const EXCLUDED_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Namespace of the injector itself, and of its sources, where none is given.
pub const DEFAULT_NAMESPACE: &str = "spark-injector";
