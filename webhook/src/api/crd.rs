//! The CustomResourceDefinition as it is shipped.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::SparkProfile;

/// The CustomResourceDefinition of `SparkProfile`.
pub fn definition() -> CustomResourceDefinition {
    let mut definition = SparkProfile::crd();
    for version in &mut definition.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            drop_nulls(schema);
        }
    }
    definition
}

/// A null where null is not allowed is dropped by the API server: then a field that is null is absent for every rule
/// and every reader. `Option` alone would allow it.
fn drop_nulls(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.properties.iter_mut().flatten().for_each(|(_, property)| drop_nulls(property));
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        drop_nulls(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        drop_nulls(values);
    }
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

/// Schema of a set of labels.
pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 63 }
    })
}

/// Schema of labels, each with the values that are allowed.
pub(super) fn label_choices(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {
            "type": "array",
            "maxItems": 256,
            "items": { "type": "string", "maxLength": 63 }
        }
    })
}

/// Schema of files that are written into the profile: etcd takes no object that is much larger.
pub(super) fn inline_files(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 256,
        "additionalProperties": { "type": "string", "maxLength": 1_048_576 }
    })
}
