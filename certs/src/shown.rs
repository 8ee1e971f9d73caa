//! What one replica serves, and whether the API server would take it.

use std::time::SystemTime;

use crate::rotation::{Rules, View};
use crate::{Leaf, Published};

/// The leaf that this replica serves.
#[derive(Debug, Default)]
pub struct Shown(Option<Leaf>);

/// Why the API server would not take what is served.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Trouble {
    /// There is nothing to serve yet.
    #[error("there is no serving certificate yet")]
    Nothing,
    /// It does not count at this moment.
    #[error("the serving certificate is expired or not valid yet")]
    Invalid,
    /// The configuration has no entry, or is not there.
    #[error("the webhook configuration is not there or has no webhooks")]
    Unpublished,
    /// An entry does not take it.
    #[error(
        "the caBundle of the webhook that calls {0} does not verify the serving certificate for that name"
    )]
    Untrusted(String),
}

impl Shown {
    /// Takes over the leaf of the Secret if that is safe; says whether it did.
    ///
    /// A leaf that clients take stays until the authority of the new one has been published for long enough; one
    /// that they do not take stays only where the new one is no better. So each replica keeps the order of a rotation
    /// by itself, whatever somebody put into the Secret.
    pub fn adopt(&mut self, rules: &Rules, view: &View<'_>) -> bool {
        let Some(leaf) = view.stored.leaf().filter(|leaf| leaf.is_valid(view.now)) else { return false };
        let is_better = match &self.0 {
            None => true,
            Some(served) if served.certificate == leaf.certificate => false,
            Some(served) => {
                let is_taken = view.published.verifies(leaf, view.now);
                if view.published.verifies(served, view.now) {
                    is_taken && view.sightings.confirmed(leaf, rules.confirm, view.elapsed)
                } else {
                    is_taken || !served.is_valid(view.now)
                }
            }
        };
        if is_better {
            self.0 = Some(leaf.clone());
        }
        is_better
    }

    /// What is served.
    pub fn leaf(&self) -> Option<&Leaf> {
        self.0.as_ref()
    }

    /// Why the API server would not take it, if so.
    pub fn trouble(&self, published: &Published, now: SystemTime) -> Option<Trouble> {
        let Some(leaf) = &self.0 else { return Some(Trouble::Nothing) };
        if !leaf.is_valid(now) {
            return Some(Trouble::Invalid);
        }
        if published.entries.is_empty() {
            return Some(Trouble::Unpublished);
        }
        published.refusing(leaf, now).map(|entry| Trouble::Untrusted(entry.host.clone()))
    }
}
