//! What the injector says of a profile. Two writers share it, each with a field manager of its own: the status writer,
//! and the delivery of Secrets, which owns `deliveredRevision`, `superseded`, the condition `Delivered`, the counts
//! `delivered` and `failed`, and the names of failures.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the injector last saw of a profile.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SparkProfileStatus {
    /// `Ready`: pods are given what the spec says. `SourcesFound`: every ConfigMap, Secret and directory is there.
    /// `Conflict`: another profile claims a namespace equally. `Warnings`: something may surprise. `Delivered`: the
    /// Secrets are in the namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,

    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Revision of the files that the profile describes; of the last usable ones while it is not Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub revision: Option<String>,

    /// Revision of the files that pods are given: it follows `revision` once the Secrets are delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub delivered_revision: Option<String>,

    /// Revisions that were delivered before and are still kept, because an init container may run again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 256),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["revision"])
    )]
    pub superseded: Vec<SupersededRevision>,

    /// Numbers of namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<NamespaceCounts>,

    /// The first namespaces to which the Secrets could not be delivered, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub failed_namespaces: Vec<FailedNamespace>,
}

/// A revision that pods are no longer given.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SupersededRevision {
    /// The revision.
    #[schemars(length(max = 63))]
    pub revision: String,

    /// When another one took its place.
    pub since: Time,
}

/// Numbers of namespaces of a profile.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceCounts {
    /// Namespaces that opted in and that this profile serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<i64>,

    /// Those of them that have the Secrets of `revision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<i64>,

    /// Those of them to which the Secrets could not be delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<i64>,
}

/// A namespace without the Secrets that it should have.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedNamespace {
    /// Name of the namespace.
    #[schemars(length(max = 63))]
    pub name: String,

    /// Why, in one word for programs.
    #[schemars(length(max = 63))]
    pub reason: String,

    /// Why, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}
