//! What the operator decides at start and every profile shares.

use crate::api::names;

/// Settings of the compiler; the same flags give them to `serve`, `inject` and `validate`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Image of the init container.
    pub init_image: String,
    /// CPU request and limit of the init container, as a Kubernetes quantity.
    pub init_cpu: String,
    /// Memory request and limit of the init container, as a Kubernetes quantity.
    pub init_memory: String,
    /// The injector's own namespace: never injected, and where sources live by default.
    pub namespace: String,
    /// Further namespaces from which sources may be read.
    pub source_namespaces: Vec<String>,
    /// The cluster's default PriorityClass: a pod that has it did not choose it.
    pub default_priority_class: Option<String>,
    /// Whether callers prove that they are the API server; without it no Secret travels in a patch.
    pub client_authentication: bool,
    /// Whether Secrets are delivered by a controller, which takes its time: a profile then keeps serving its old
    /// revision until the new one is everywhere. Without a controller (offline, in a directory) nobody would say so.
    pub switch_after_delivery: bool,
    /// Whether profiles are held to the bounds of the custom resource's schema. Those that come from a cluster have been:
    /// its API server takes no others, and the schema need not be made.
    pub schema_bounds: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            init_image: concat!("spark-injector/init-sync:", env!("CARGO_PKG_VERSION")).to_owned(),
            init_cpu: "100m".to_owned(),
            init_memory: "32Mi".to_owned(),
            namespace: names::DEFAULT_NAMESPACE.to_owned(),
            source_namespaces: Vec::new(),
            default_priority_class: None,
            client_authentication: false,
            switch_after_delivery: false,
            schema_bounds: true,
        }
    }
}
