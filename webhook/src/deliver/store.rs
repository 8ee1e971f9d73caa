//! Where the ledger is kept: one ConfigMap in the injector's own namespace, a key for each profile. It holds names only.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::{Api, Client};
use serde_json::{Map, Value, json};

use super::ledger::Ledger;
use crate::api::names;
use crate::cluster::refusal::denier;
use crate::cluster::{describe, server_time};

/// Name of the ConfigMap.
const NAME: &str = "spark-injector-ledger";

/// The ledger as it is stored.
#[derive(Debug)]
pub(super) struct Store {
    api: Api<ConfigMap>,
    version: String,
    data: BTreeMap<String, String>,
}

/// Why the ledger was not read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// Somebody else wrote it: another replica leads, or a person changed it.
    #[error("the ConfigMap {NAME} was changed by somebody else")]
    Changed,
    /// What is there cannot be read, so nothing may be written over it.
    #[error(
        "the ConfigMap {NAME} has an unreadable entry {0:?}; mend it, or remove it and delete by hand what it named"
    )]
    Unreadable(String),
    /// The API server takes no more.
    #[error("the ConfigMap {NAME} is too large")]
    TooLarge,
    /// Somebody's policy takes no change of it.
    #[error("the ConfigMap {NAME} cannot be written: {0} refuses it")]
    Refused(String),
    /// The API server said no, or nothing.
    #[error("the ConfigMap {NAME}: {}", describe(.0))]
    Request(#[from] kube::Error),
}

impl Store {
    /// The time by the clock of the API server; by our own where it does not say.
    pub(super) async fn server_time(&self) -> Timestamp {
        // Not through `Api`, which drops the headers.
        let path = format!("{}/{NAME}", self.api.resource_url());
        let answer = match http::Request::get(path).body(Body::empty()) {
            Ok(request) => self.api.clone().into_client().send(request).await.ok(),
            Err(_) => None,
        };
        let told = answer.as_ref().and_then(server_time);
        told.and_then(|told| Timestamp::try_from(told).ok()).unwrap_or_else(Timestamp::now)
    }

    /// Reads the ledger, or begins one.
    pub(super) async fn open(client: Client, namespace: &str) -> Result<(Self, Ledger), StoreError> {
        let api: Api<ConfigMap> = Api::namespaced(client, namespace);
        let stored = match api.get_opt(NAME).await? {
            Some(stored) => stored,
            None => api.create(&PostParams::default(), &empty()).await?,
        };
        let data = stored.data.unwrap_or_default();
        let mut ledger = Ledger::default();
        for (profile, text) in &data {
            let entry = serde_json::from_str(text).map_err(|_| StoreError::Unreadable(profile.clone()))?;
            ledger.entries.insert(profile.clone(), entry);
        }
        let version = stored.metadata.resource_version.unwrap_or_default();
        Ok((Self { api, version, data }, ledger))
    }

    /// Stores what changed, over the very version that was read.
    pub(super) async fn write(&mut self, ledger: &Ledger) -> Result<(), StoreError> {
        let mut changes = Map::new();
        let mut next = BTreeMap::new();
        for (profile, entry) in &ledger.entries {
            let text = serde_json::to_string(entry).map_err(kube::Error::SerdeError)?;
            if self.data.get(profile) != Some(&text) {
                changes.insert(profile.clone(), text.clone().into());
            }
            next.insert(profile.clone(), text);
        }
        for profile in self.data.keys().filter(|profile| !ledger.entries.contains_key(*profile)) {
            changes.insert(profile.clone(), Value::Null);
        }
        if changes.is_empty() {
            return Ok(());
        }
        let patch = json!({ "metadata": { "resourceVersion": self.version }, "data": changes });
        let params =
            PatchParams { field_manager: Some(super::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let written = self.api.patch_metadata(NAME, &params, &Patch::Merge(&patch)).await;
        let written = written.map_err(not_written)?;
        self.version = written.metadata.resource_version.unwrap_or_default();
        self.data = next;
        Ok(())
    }
}

fn not_written(error: kube::Error) -> StoreError {
    match error {
        kube::Error::Api(status) if matches!(status.code, 404 | 409) => StoreError::Changed,
        // The code of a policy that gives no reason is the one of an object that is too large.
        kube::Error::Api(status) if matches!(status.code, 413 | 422) => {
            denier(&status.message).map_or(StoreError::TooLarge, StoreError::Refused)
        }
        // A policy with a reason of its own, a quota, or RBAC.
        kube::Error::Api(status) if status.code == 403 => StoreError::Refused(
            denier(&status.message)
                .unwrap_or_else(|| "an admission plugin of the cluster, or RBAC".to_owned()),
        ),
        error => StoreError::Request(error),
    }
}

fn empty() -> ConfigMap {
    let labels = BTreeMap::from([(names::MANAGED_BY_LABEL.to_owned(), names::DEFAULT_NAMESPACE.to_owned())]);
    let metadata = ObjectMeta { name: Some(NAME.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
    ConfigMap { metadata, ..ConfigMap::default() }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_policy_is_not_taken_for_a_limit() {
        let said = |code, message: &str| {
            not_written(kube::Error::Api(Status::failure(message, "Invalid").with_code(code).boxed()))
                .to_string()
        };
        let limit = "ConfigMap \"spark-injector-ledger\" is invalid: []: Too long: may not be more than 1048576 bytes";
        assert!(said(422, limit).ends_with("is too large"));
        let policy = "configmaps \"spark-injector-ledger\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: x";
        for code in [403, 422] {
            assert!(said(code, policy).ends_with("the ValidatingAdmissionPolicy p refuses it"));
        }
        assert!(said(403, "exceeded quota: x").ends_with("or RBAC refuses it"));
        assert!(said(409, policy).ends_with("changed by somebody else"));
    }
}
