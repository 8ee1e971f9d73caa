//! From the pod to files on disk: the real `init-sync` with the environment that a kubelet would give it, and what
//! the Spark container then sees.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use acceptance::client::Api;
use acceptance::kubelet::{self, INIT_CONTAINER, Mount};

use super::additions::spark_container;
use super::bundle::Bundle;
use super::checks::Checks;

/// A file as the Spark container sees it.
#[derive(Debug)]
pub(super) struct Seen {
    /// Its path in the container.
    pub(super) path: String,
    /// Its permissions.
    pub(super) mode: u32,
    /// Its size.
    pub(super) size: usize,
    /// The beginning of the SHA-256 of its content, in hex.
    pub(super) digest: String,
    /// Where the bundle has the same bytes.
    pub(super) source: String,
}

/// Runs `init-sync` with exactly the environment of the pod's init container; `volume` stands for the pod's volume.
pub(super) fn write(pod: &Value, api: &Api, volume: &Path) -> usize {
    let environment = kubelet::environment(pod, INIT_CONTAINER, api)
        .unwrap_or_else(|error| panic!("the kubelet would report CreateContainerConfigError: {error}"));
    let finished = kubelet::run_init_sync(pod, &environment, volume);
    assert!(finished.status == 0, "init-sync ended with {}: {}", finished.status, finished.stderr);
    environment.len()
}

/// What the Spark container sees, compared with the bundle: every file that the role is to have, no other, with the
/// bytes and the mode that the profile says.
pub(super) fn look(
    pod: &Value,
    role: &str,
    volume: &Path,
    bundle: &Bundle,
    checks: &mut Checks,
) -> Vec<Seen> {
    let container = spark_container(role);
    let mounts = kubelet::mounts(pod, &container, volume);
    let mut expected: BTreeMap<String, (Vec<u8>, u32, String)> = BTreeMap::new();
    for mount in &mounts {
        let Some(entry) = bundle.entry(&mount.path, role) else { continue };
        for (name, content) in entry.files {
            let path = format!("{}/{name}", mount.path);
            expected.insert(path, (content, entry.mode, entry.source.clone()));
        }
        checks.holds(mount.read_only, || format!("{role}: the mount {} can be written to", mount.path));
        inner_mount_points(mount, &mounts, role, checks);
    }
    let mut seen = Vec::new();
    for (path, content) in kubelet::files(pod, &container, volume) {
        let metadata = std::fs::metadata(on_disk(&path, &mounts)).expect("a file that was just read");
        let mode = metadata.permissions().mode() & 0o7777;
        let (source, why) = match expected.remove(&path) {
            None => (String::new(), Some("nobody asked for it".to_owned())),
            Some((bytes, _, _)) if bytes != content => (String::new(), Some("other bytes".to_owned())),
            Some((_, wanted, _)) if wanted != mode => {
                (String::new(), Some(format!("mode {mode:o}, not {wanted:o}")))
            }
            Some((_, _, source)) => (source, None),
        };
        checks.holds(why.is_none(), || format!("{role}: {path}: {}", why.unwrap_or_default()));
        let digest = Sha256::digest(&content).iter().take(4).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        seen.push(Seen { path, mode, size: content.len(), digest, source });
    }
    checks.holds(expected.is_empty(), || format!("{role}: missing files: {:?}", expected.keys()));
    seen
}

/// The runtime cannot make a mount point inside a read-only mount: it has to be there.
fn inner_mount_points(outer: &Mount, mounts: &[Mount], role: &str, checks: &mut Checks) {
    for inner in mounts {
        if let Some(rest) = inner.path.strip_prefix(&format!("{}/", outer.path)) {
            let point = outer.source.join(rest);
            checks.holds(point.is_dir(), || {
                format!("{role}: no mount point for {} in {}", inner.path, outer.path)
            });
        }
    }
}

fn on_disk(path: &str, mounts: &[Mount]) -> PathBuf {
    let rest =
        |mount: &Mount| path.strip_prefix(&mount.path).map(|rest| rest.trim_start_matches('/').to_owned());
    let fits = mounts.iter().filter_map(|mount| rest(mount).map(|rest| (mount, rest)));
    let (mount, rest) = fits.max_by_key(|(mount, _)| mount.path.len()).expect("a mount above the file");
    if rest.is_empty() { mount.source.clone() } else { mount.source.join(rest) }
}
