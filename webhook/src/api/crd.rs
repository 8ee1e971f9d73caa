//! The CustomResourceDefinition as it is shipped.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::SparkProfile;

/// The CustomResourceDefinition of `SparkProfile`.
pub fn definition() -> CustomResourceDefinition {
    SparkProfile::crd()
}

/// The CustomResourceDefinition as YAML, the same bytes for the same build.
///
/// # Errors
///
/// When the definition cannot be written as YAML, which is a defect of this program.
pub fn yaml() -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(&definition())
}

/// Schema of the fields of a volume source: those of the pod API, checked by the compiler.
pub(super) fn any_fields(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}
