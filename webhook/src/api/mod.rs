//! The custom resource `SparkProfile`: its types, its schema, and the words of the public contract.
//!
//! Nothing here knows how a profile is compiled or applied.

pub mod crd;
pub mod names;
pub mod profile;
pub mod status;
pub mod template;

pub use profile::*;
pub use status::{FailedNamespace, NamespaceCounts, SparkProfileStatus, SupersededRevision};

/// Kind of the custom resource.
pub const KIND: &str = "SparkProfile";

/// Group and version of the custom resource, as `apiVersion` gives them.
pub const GROUP_VERSION: &str = "spark-injector.io/v1alpha1";
