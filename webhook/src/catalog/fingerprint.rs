//! The fingerprint of a profile: tells what its pods get from what they got before a change of anything but files,
//! whose fingerprint is the revision. In the status annotation it lets replicas that are one step apart know of each
//! other.
//!
//! Of the content alone: not of the lines that asked for it, and not of what `serve` was started with. What is not there
//! leaves no trace, so that a field that a later version of this program adds changes no fingerprint by itself.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::compose::Composed;
use crate::admit::plan::{Item, Keyed, LocalDirPlan, Overlay};
use crate::api::{Role, SelectorScope};

/// Bytes of a digest that are enough to tell apart what one profile ever was.
const SHORT: usize = 8;

/// The first 16 hex digits of a digest.
pub(super) fn short(hash: Sha256) -> String {
    hash.finalize().iter().take(SHORT).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The fingerprint of a composed profile.
pub(super) fn of(composed: &Composed) -> String {
    let Composed {
        // Decides whether a pod gets anything, not what.
        mode: _,
        // In the revision.
        delivery: _,
        files: _,
        pull_secret: _,
        allow_opt_out,
        default_selector,
        allowed,
        allowed_tolerations,
        scope,
        role_variable,
        layers,
        variants,
        local_dirs,
        enforced,
    } = composed;
    let mut print = Fingerprint(Sha256::new());
    if *allow_opt_out == Some(true) {
        print.part(&["allowOptOut"]);
    }
    for (key, value) in default_selector {
        print.part(&["default", key, value]);
    }
    if let Some(allowed) = allowed {
        print.part(&["allowed", &json!(allowed).to_string()]);
    }
    if let Some(tolerations) = allowed_tolerations {
        print.part(&["allowedTolerations", &json!(tolerations).to_string()]);
    }
    if *scope == Some(SelectorScope::AllPods) {
        print.part(&["AllPods"]);
    }
    if let Some(item) = role_variable {
        print.item(&["roleVariable"], item);
    }
    for LocalDirPlan { source, volume, mount } in local_dirs {
        print.list(&["localDirs", "source"], source);
        print.item(&["localDirs", "volume"], volume);
        print.item(&["localDirs", "mount"], mount);
    }
    for field in enforced {
        print.part(&["enforce", field]);
    }
    for role in Role::ALL {
        print.overlay("", role, layers.get(role));
    }
    for (name, layers) in variants {
        print.part(&["variant", name]);
        for role in Role::ALL {
            print.overlay(name, role, layers.get(role));
        }
    }
    short(print.0)
}

struct Fingerprint(Sha256);

impl Fingerprint {
    fn overlay(&mut self, variant: &str, role: Role, overlay: &Overlay) {
        for (name, list) in overlay.lists() {
            self.list(&[variant, role.as_str(), name], list);
        }
    }

    fn list(&mut self, place: &[&str], list: &Keyed) {
        for item in list {
            self.item(place, item);
        }
    }

    fn item(&mut self, place: &[&str], item: &Item) {
        self.part(&[place, &[&item.key, &item.json]].concat());
    }

    /// Numbers and lengths keep the borders between parts.
    fn part(&mut self, texts: &[&str]) {
        self.0.update((texts.len() as u64).to_be_bytes());
        for text in texts {
            self.0.update((text.len() as u64).to_be_bytes());
            self.0.update(text.as_bytes());
        }
    }
}
