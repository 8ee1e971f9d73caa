//! Where the ledger is kept: one ConfigMap in the injector's own namespace, a key for each profile. It holds names only.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Map, Value, json};

use super::ledger::Ledger;
use crate::api::names;

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
    /// The API server said no, or nothing.
    #[error("the ConfigMap {NAME}: {0}")]
    Request(#[from] kube::Error),
}

impl Store {
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
        let written = written.map_err(|error| match error {
            kube::Error::Api(status) if matches!(status.code, 404 | 409) => StoreError::Changed,
            kube::Error::Api(status) if matches!(status.code, 413 | 422) => StoreError::TooLarge,
            error => StoreError::Request(error),
        })?;
        self.version = written.metadata.resource_version.unwrap_or_default();
        self.data = next;
        Ok(())
    }
}

fn empty() -> ConfigMap {
    let labels = BTreeMap::from([(names::MANAGED_BY_LABEL.to_owned(), names::DEFAULT_NAMESPACE.to_owned())]);
    let metadata = ObjectMeta { name: Some(NAME.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
    ConfigMap { metadata, ..ConfigMap::default() }
}
