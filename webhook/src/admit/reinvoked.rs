//! A pod that was given something before: by this replica before a switch, or by another one that is a step apart.
//!
//! Until a moment ago another revision was right, and on another replica it still is. What a pod was given stays
//! valid as a whole, plan, init container, volumes and annotation: nothing is half of one and half of another. A
//! revision that nobody here has heard of may be a newer one: the API server is asked to try again, which it does
//! within its time-out.

use init_sync::MANIFEST_VARIABLE;
use serde::Deserialize;
use serde_json::Value;

use super::OPTED_OUT;
use super::pod::Pod;
use crate::api::Role;
use crate::api::names::{
    INIT_CONTAINER, INJECT_DISABLED, INJECT_LABEL, STATUS_ANNOTATION, VARIANT_LABEL, files_secret,
};
use crate::catalog::{CompiledProfile, NamespaceEntry};

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
    let containers = pod.spec()?.init_containers.as_deref()?;
    containers.iter().position(|container| container.name.as_deref() == Some(INIT_CONTAINER))
}

/// The status annotation, as far as it tells who was here.
#[derive(Deserialize)]
struct Status {
    profile: String,
    revision: String,
}

/// What a pod has that looks like a revision of its profile which nobody here has heard of.
#[derive(Debug)]
pub(super) struct Stranger {
    revision: String,
    init_container: usize,
}

impl Stranger {
    /// A pod that says so, and has an init container of our name.
    pub(super) fn of(entry: &NamespaceEntry<'_>, serving: &CompiledProfile, pod: &Pod<'_>) -> Option<Self> {
        let status: Status = serde_json::from_str(pod.annotation(STATUS_ANNOTATION)?).ok()?;
        let is_strange = status.profile == serving.name && !entry.knows_revision(&status.revision);
        let init_container = init_container(pod).filter(|_| is_strange)?;
        Some(Self { revision: status.revision, init_container })
    }

    /// Whether the init container is what a replica of ours would add for that revision: our image, and files that are
    /// told as ours are. Anything else of our name is somebody else's.
    pub(super) fn is_ours(&self, profile: &str, init_image: &str, init_containers: &Value) -> bool {
        let Some(container) = init_containers.get(self.init_container) else { return false };
        let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
        let env = || container.get("env").and_then(Value::as_array).into_iter().flatten();
        let is_manifest = |variable: &Value| {
            variable.get("name").is_some_and(|name| name == MANIFEST_VARIABLE)
                && variable.get("value").is_some_and(Value::is_string)
        };
        let secret = files_secret(profile, &self.revision);
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
