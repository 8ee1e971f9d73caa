//! `template`: a partial PodTemplateSpec that is kept as it was written.
//!
//! A typed PodTemplateSpec would make the custom resource larger than `kubectl apply` can store, and a pruning
//! schema would drop a misspelt field without a word. So the schema keeps every field, and the compiler names
//! those that it does not support.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Pod fields in the schema of Spark's own `podTemplateFile`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Template(pub Map<String, Value>);

impl JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A partial PodTemplateSpec. The container named `spark` stands for the Spark container \
                whatever its name; other containers are sidecars. A field that is not supported is an error that names it.",
            "type": "object",
            "properties": {
                "metadata": {
                    "description": "labels and annotations, added where absent",
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": true
                },
                "spec": {
                    "description": "affinity, containers, dnsConfig, dnsPolicy, hostAliases, hostNetwork, imagePullSecrets, \
                        initContainers, nodeSelector, priorityClassName, runtimeClassName, schedulerName, securityContext, \
                        serviceAccountName, shareProcessNamespace, terminationGracePeriodSeconds, tolerations, \
                        topologySpreadConstraints, volumes",
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": true
                }
            },
            "x-kubernetes-preserve-unknown-fields": true
        })
    }
}
