//! A profile ready to serve, and what the catalog says of a namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Problem;
use super::compose::ByRole;
use super::revisions::Revisions;
use super::secrets::SecretBody;
use crate::admit::plan::{Isolation, NodeSelector, Plan, Whitelist};
use crate::api::{Mode, Role};

/// A profile, compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct CompiledProfile {
    /// Name of the profile.
    pub name: String,
    /// Revision of what is delivered.
    pub revision: String,
    /// Fingerprint of everything else that pods are given; `plan` in the status annotation.
    pub fingerprint: String,
    /// Whether it acts.
    pub mode: Mode,
    /// Whether pods may opt out.
    pub allow_opt_out: bool,
    /// The whitelist of node selectors.
    pub allowed: Whitelist,
    /// What holds for every pod of its isolated namespaces, where its scope is AllPods.
    pub isolation: Option<Isolation>,
    /// What is no mistake, and may surprise its owner.
    pub(super) warnings: Vec<Problem>,
    pub(super) default_selector: NodeSelector,
    pub(super) plans: Arc<ByRole<RolePlans>>,
    /// Name of the pull secret.
    pub(super) pull_secret: Option<String>,
    pub(super) secrets: Vec<Arc<SecretBody>>,
}

/// The plans of one role.
#[derive(Debug, PartialEq)]
pub(super) struct RolePlans {
    pub(super) base: Plan,
    pub(super) variants: BTreeMap<String, Plan>,
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
        self.pull_secret.as_deref()
    }

    /// The same plans, without the payload that is delivered for them.
    pub(super) fn without_secrets(&self) -> Self {
        Self { secrets: Vec::new(), ..self.clone() }
    }
}

/// What serves a namespace.
#[derive(Clone, Copy, Debug)]
pub enum Service<'c> {
    /// A profile that does not compile, and never did.
    Broken {
        /// Name of the profile.
        profile: &'c str,
        /// Its first problem.
        problem: &'c str,
    },
    /// No profile claims it.
    None,
    /// A profile.
    Profile(&'c CompiledProfile),
}

/// What the catalog says of a namespace.
#[derive(Clone, Copy, Debug)]
pub struct NamespaceEntry<'c> {
    /// Whether the namespace carries the label.
    pub opted_in: bool,
    /// Whether the namespace carries the label that isolates it.
    pub isolated: bool,
    /// Mode of the profile that serves it.
    pub mode: Mode,
    /// What serves it.
    pub service: Service<'c>,
    /// Its node selector, with the profile that serves it.
    pub selector: &'c NodeSelector,
    /// Its annotation, which holds whatever the profile says.
    pub(super) annotation: Option<&'c NodeSelector>,
    pub(super) revisions: Option<&'c Revisions>,
}

impl<'c> NamespaceEntry<'c> {
    /// What the profile was or is about to be: other replicas may have given it to a pod. In another mode than Enforce
    /// nobody gave anything, and whoever says so has forged it.
    pub fn other_revisions(&self) -> impl Iterator<Item = &'c CompiledProfile> + use<'c> {
        let others = self.revisions.into_iter().flat_map(Revisions::others);
        others.filter(|profile| profile.mode == Mode::Enforce)
    }

    /// Its node selector under another revision of its profile.
    pub fn selector_under(&self, profile: &'c CompiledProfile) -> &'c NodeSelector {
        self.annotation.unwrap_or(&profile.default_selector)
    }

    /// Whether its profile is or was what a status annotation names; that of a pod that is isolated and nothing else
    /// names no revision.
    pub fn knows(&self, revision: Option<&str>, fingerprint: &str) -> bool {
        self.revisions.is_some_and(|revisions| revisions.knows(revision, fingerprint))
    }
}
