//! A profile ready to serve, and what the catalog says of a namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Problem;
use super::compose::ByRole;
use crate::admit::plan::{NodeSelector, Plan, Whitelist};
use crate::api::{Mode, NamespaceClaim, Role, names};

/// A profile, compiled.
#[derive(Debug)]
pub struct CompiledProfile {
    /// Name of the profile.
    pub name: String,
    /// Revision of its files.
    pub revision: String,
    /// Whether it acts.
    pub mode: Mode,
    /// Whether pods may opt out.
    pub allow_opt_out: bool,
    /// The whitelist of node selectors.
    pub allowed: Whitelist,
    pub(super) claim: Option<NamespaceClaim>,
    /// What is no mistake, and may surprise its owner.
    pub(super) warnings: Vec<Problem>,
    pub(super) default_selector: BTreeMap<String, String>,
    pub(super) plans: ByRole<RolePlans>,
    pub(super) secret: Option<SecretBody>,
    pub(super) pull_secret: Option<SecretBody>,
}

/// The plans of one role.
#[derive(Debug)]
pub(super) struct RolePlans {
    pub(super) base: Plan,
    pub(super) variants: BTreeMap<String, Plan>,
}

/// A Secret as it is delivered to each namespace; its values are base64 already.
#[derive(Debug)]
pub(super) struct SecretBody {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) data: Vec<(String, String)>,
}

impl CompiledProfile {
    /// The plan of a role.
    ///
    /// # Errors
    ///
    /// The names of the variants, where the chosen one is not among them.
    pub fn plan(&self, role: Role, variant: Option<&str>) -> Result<&Plan, Vec<&str>> {
        let plans = self.plans.get(role);
        match variant {
            None => Ok(&plans.base),
            Some(name) => {
                plans.variants.get(name).ok_or_else(|| plans.variants.keys().map(String::as_str).collect())
            }
        }
    }

    /// Name of the pull secret that is delivered with this profile.
    pub fn pull_secret_name(&self) -> Option<&str> {
        self.pull_secret.as_ref().map(|secret| secret.name.as_str())
    }

    /// The Secrets of this profile as objects of a namespace.
    pub(super) fn secrets(&self, namespace: &str) -> impl Iterator<Item = Value> {
        self.secret.iter().chain(&self.pull_secret).map(move |secret| {
            let data: serde_json::Map<String, Value> =
                secret.data.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
            json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": secret.name,
                    "namespace": namespace,
                    "labels": {
                        "app.kubernetes.io/managed-by": names::DEFAULT_NAMESPACE,
                        "spark-injector.io/profile": self.name,
                    },
                },
                "type": secret.kind,
                "immutable": true,
                "data": data,
            })
        })
    }
}

/// What serves a namespace.
#[derive(Clone, Debug)]
pub enum Service {
    /// A profile that does not compile, and never did.
    Broken {
        /// Name of the profile.
        profile: String,
        /// Its first problem.
        problem: String,
    },
    /// No profile claims it.
    None,
    /// A profile.
    Profile(Arc<CompiledProfile>),
}

/// What the catalog says of a namespace.
#[derive(Clone, Debug)]
pub struct NamespaceEntry {
    /// Whether the namespace carries the label.
    pub opted_in: bool,
    /// Mode of the profile that serves it.
    pub mode: Mode,
    /// What serves it.
    pub service: Service,
    /// Its node selector.
    pub selector: NodeSelector,
}
