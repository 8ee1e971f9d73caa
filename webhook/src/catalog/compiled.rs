//! A profile ready to serve, and what the catalog says of a namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Problem;
use super::compose::ByRole;
use super::secrets::SecretBody;
use crate::admit::plan::{Isolation, NodeSelector, Plan, Whitelist};
use crate::api::{Mode, NamespaceClaim, Role};

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
    /// What holds for every pod of its isolated namespaces, where its scope is AllPods.
    pub isolation: Option<Isolation>,
    pub(super) claim: Option<NamespaceClaim>,
    /// What is no mistake, and may surprise its owner.
    pub(super) warnings: Vec<Problem>,
    pub(super) default_selector: BTreeMap<String, String>,
    pub(super) plans: ByRole<RolePlans>,
    pub(super) secret: Option<Arc<SecretBody>>,
    pub(super) pull_secret: Option<Arc<SecretBody>>,
}

/// The plans of one role.
#[derive(Debug)]
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
        self.pull_secret.as_ref().map(|secret| secret.name())
    }

    /// The Secrets of this profile.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Arc<SecretBody>> {
        self.secret.iter().chain(&self.pull_secret)
    }
}

/// What the catalog knows of a profile that compiled at least once.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// What pods are given.
    pub(super) serving: Arc<CompiledProfile>,
    /// What they are given as soon as its Secrets are delivered.
    pub(super) pending: Option<Arc<CompiledProfile>>,
}

impl Known {
    /// The revision that is to be delivered.
    pub(super) fn wanted(&self) -> &Arc<CompiledProfile> {
        self.pending.as_ref().unwrap_or(&self.serving)
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
    /// Its node selector.
    pub selector: &'c NodeSelector,
}

/// What a namespace got at the last compile.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) opted_in: bool,
    pub(super) isolated: bool,
    pub(super) mode: Mode,
    pub(super) server: Server,
    pub(super) selector: NodeSelector,
}

/// What serves a namespace, as the catalog keeps it.
#[derive(Debug)]
pub(super) enum Server {
    Broken { profile: String, problem: String },
    None,
    Profile(Arc<CompiledProfile>),
}

impl Entry {
    pub(super) fn view(&self) -> NamespaceEntry<'_> {
        let service = match &self.server {
            Server::Broken { profile, problem } => Service::Broken { profile, problem },
            Server::None => Service::None,
            Server::Profile(profile) => Service::Profile(profile),
        };
        let Self { opted_in, isolated, mode, .. } = *self;
        NamespaceEntry { opted_in, isolated, mode, service, selector: &self.selector }
    }
}
