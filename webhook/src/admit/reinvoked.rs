//! A pod that was given something before: by this replica before a switch, or by another one that is a step apart.
//!
//! Until a moment ago another revision was right, and on another replica it still is. What a pod was given stays
//! valid as a whole, plan, init container, volumes and annotation: nothing is half of one and half of another. What
//! nobody here has heard of may be newer: the API server is asked to try again, which it does within its time-out, and
//! no longer. Whoever forges it fails as well, a few seconds later.

use init_sync::MANIFEST_VARIABLE;
use serde::Deserialize;
use serde_json::Value;

use super::OPTED_OUT;
use super::decision::Question;
use super::merge::LazyObject;
use super::pod::Pod;
use crate::api::names::{
    INIT_CONTAINER, INJECT_DISABLED, INJECT_LABEL, STATUS_ANNOTATION, VARIANT_LABEL, files_secret,
};
use crate::api::{Mode, Role};
use crate::catalog::{CompiledProfile, NamespaceEntry, Service};

/// The revisions by which a pod is judged: the one that serves, or those that may have given the pod what it has, the
/// best first.
pub(super) fn revisions<'c>(
    entry: &NamespaceEntry<'c>,
    serving: &'c CompiledProfile,
    pod: &Pod<'_>,
    role: Role,
) -> (&'c CompiledProfile, Vec<&'c CompiledProfile>) {
    let Some(status) = pod.annotation(STATUS_ANNOTATION) else { return (serving, Vec::new()) };
    let gave = |profile: &&CompiledProfile| may_have_given(profile, status, pod, role);
    let mut givers = [serving].into_iter().chain(entry.other_revisions()).filter(gave);
    match givers.next() {
        Some(first) => (first, givers.collect()),
        None => (serving, Vec::new()),
    }
}

/// Whether a revision writes this very annotation; and a copied annotation without the init container is no gift.
fn may_have_given(profile: &CompiledProfile, status: &str, pod: &Pod<'_>, role: Role) -> bool {
    if pod.label(INJECT_LABEL) == Some(INJECT_DISABLED) {
        return profile.allow_opt_out && status == OPTED_OUT;
    }
    profile.plan(role, pod.label(VARIANT_LABEL)).is_ok_and(|plan| {
        plan.status.text() == status && (plan.files.is_none() || init_container(pod).is_some())
    })
}

/// Position of what has the name of our init container.
fn init_container(pod: &Pod<'_>) -> Option<usize> {
    let containers = pod.spec.as_ref()?.init_containers.as_deref()?;
    containers.iter().position(|container| container.name.as_deref() == Some(INIT_CONTAINER))
}

/// What other revisions may have given a pod that is held to its nodes. The one that serves is asked before them: what
/// it adds only narrows where the pod may run.
pub(super) fn isolators<'c>(
    entry: &NamespaceEntry<'c>,
    pod: &Pod<'_>,
    role: Option<Role>,
) -> Vec<&'c CompiledProfile> {
    let Some(status) = pod.annotation(STATUS_ANNOTATION) else { return Vec::new() };
    let signed = |profile: &CompiledProfile| {
        profile.isolation.as_ref().is_some_and(|isolation| isolation.status.text() == status)
    };
    let gave = |profile: &&CompiledProfile| {
        // Opting out names no revision: those that isolate nothing have not let it anywhere.
        let counts = status != OPTED_OUT || profile.isolation.is_some();
        signed(profile) || counts && role.is_some_and(|role| may_have_given(profile, status, pod, role))
    };
    entry.other_revisions().filter(gave).collect()
}

/// The status annotation, as far as it tells who was here.
#[derive(Deserialize)]
struct Status {
    profile: String,
    #[serde(default)]
    revision: Option<String>,
    #[serde(default)]
    plan: String,
}

/// What a pod has that looks like a plan of ours which nobody here has heard of.
#[derive(Debug)]
pub(super) struct Stranger {
    profile: String,
    revision: String,
    /// Where what has the name of our init container is.
    init_container: Option<usize>,
}

impl Stranger {
    /// What a pod says of itself where that is not known here: a plan of the profile that serves its namespace; or, if it
    /// has an init container of our name, of any profile, since the namespace may have another one by now. In mode Audit
    /// there is none: nobody is asked to wait.
    pub(super) fn of(entry: &NamespaceEntry<'_>, question: Question, pod: &Pod<'_>) -> Option<Self> {
        if entry.mode == Mode::Audit {
            return None;
        }
        let text = pod.annotation(STATUS_ANNOTATION)?;
        if text == OPTED_OUT && pod.label(INJECT_LABEL) == Some(INJECT_DISABLED) {
            // Some replica allowed it. Where the pod may run is another question.
            return matches!(question, Question::Injection(_)).then(|| Self {
                profile: String::new(),
                revision: String::new(),
                init_container: None,
            });
        }
        let Status { profile, revision, plan } = serde_json::from_str(text).ok()?;
        let init_container = init_container(pod);
        let serves = matches!(entry.service, Service::Profile(serving) if serving.name == profile);
        let is_strange =
            if serves { !entry.knows(revision.as_deref(), &plan) } else { init_container.is_some() };
        let revision = revision.unwrap_or_default();
        is_strange.then_some(Self { profile, revision, init_container })
    }

    /// Whether there is an init container of our name.
    pub(super) fn has_init_container(&self) -> bool {
        self.init_container.is_some()
    }

    /// Whether the init container, if there is one, is what a replica of ours would add for that revision: our image,
    /// and files that are told as ours are. Anything else of our name is somebody else's.
    pub(super) fn is_plausible(&self, init_image: &str, object: &LazyObject<'_>) -> bool {
        let Some(index) = self.init_container else { return true };
        let Some(container) = object.at("/spec/initContainers").get(index) else { return false };
        let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
        let env = || container.get("env").and_then(Value::as_array).into_iter().flatten();
        let is_manifest = |variable: &Value| {
            variable.get("name").is_some_and(|name| name == MANIFEST_VARIABLE)
                && variable.get("value").is_some_and(Value::is_string)
        };
        let secret = files_secret(&self.profile, &self.revision);
        let mut secrets = env().filter_map(|variable| variable.pointer("/valueFrom/secretKeyRef/name"));
        is_same_repository(image, init_image) && env().any(is_manifest) && secrets.all(|name| *name == secret)
    }
}

/// Whether two images differ in their tag or digest at most. What lies in the repository is its owner's doing: during
/// a roll-out, one replica names a newer image of it than the other.
pub(super) fn is_same_repository(one: &str, other: &str) -> bool {
    !one.is_empty() && repository(one) == repository(other)
}

fn repository(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    // A colon before the last slash is that of a port.
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_one_repository_differ_in_tag_and_digest_alone() {
        let ours = "r.example:5000/spark/init-sync:1.0";
        for same in ["", ":1.1", ":latest", "@sha256:00", ":1.1@sha256:00"] {
            assert!(is_same_repository(ours, &format!("r.example:5000/spark/init-sync{same}")), "{same}");
        }
        for other in
            ["", "init-sync:1.0", "r.example/spark/init-sync:1.0", "r.example:5000/spark/init-sync/x:1.0"]
        {
            assert!(!is_same_repository(ours, other), "{other}");
        }
        assert!(!is_same_repository("", ""));
    }
}
