//! Mounts of the Spark container, by cleaned path, and the rule for mounts inside mounts.
//!
//! The runtime makes a missing mount point inside an outer mount. In a read-only one it cannot, and the container
//! would fail to start with a message that nobody understands. So: what we know to fail is refused here, with both
//! paths; what lies inside one of our own mounts gets its mount point from init-sync.

use std::borrow::Cow;

use super::{Action, Denial, Merge};
use crate::admit::plan::{Item, Plan};
use crate::admit::pod::{Container, Mount, Volume, clean_path, is_below};
use crate::api::names::FILES_VOLUME;

/// A mount that the pod brings.
#[derive(Debug)]
pub(super) struct Own<'a> {
    /// Cleaned path.
    pub(super) path: Cow<'a, str>,
    /// Name of the volume.
    pub(super) volume: &'a str,
    sub_path: &'a str,
    sub_path_expr: &'a str,
    read_only: bool,
}

/// The mounts that the pod brings in its Spark container.
pub(super) fn own<'a>(spark: &'a Container<'a>) -> Vec<Own<'a>> {
    let own = |mount: &'a Mount<'a>| Own {
        path: clean_path(mount.mount_path.as_deref().unwrap_or_default()),
        volume: mount.name.as_deref().unwrap_or_default(),
        sub_path: mount.sub_path.as_deref().unwrap_or_default(),
        sub_path_expr: mount.sub_path_expr.as_deref().unwrap_or_default(),
        read_only: mount.read_only.unwrap_or_default(),
    };
    spark.volume_mounts.as_deref().unwrap_or_default().iter().map(own).collect()
}

/// A mount that this patch adds.
#[derive(Debug)]
pub(super) struct Added<'a> {
    path: &'a str,
    volume: &'a str,
    read_only: bool,
    origin: &'a str,
}

impl<'a> Added<'a> {
    /// A writable mount of a whole volume.
    pub(super) fn own(path: &'a str, volume: &'a str, origin: &'a str) -> Self {
        Self { path, volume, read_only: false, origin }
    }

    /// `read_only` where no mount point can be made in it, whatever the reason.
    fn of(item: &'a Item, read_only: bool) -> Self {
        Self { path: &item.key, volume: volume_of(item), read_only, origin: &item.origin }
    }
}

fn is_read_only(item: &Item) -> bool {
    item.value.get("readOnly").and_then(serde_json::Value::as_bool).unwrap_or_default()
}

/// Whether the profile's volume is of a kind that the kubelet mounts read-only.
fn has_read_only_source(plan: &Plan, volume: &str) -> bool {
    let kinds = ["configMap", "secret", "projected", "downwardAPI"];
    let volume = plan.overlay.volumes.get(volume);
    volume.is_some_and(|item| kinds.iter().any(|kind| item.value.get(kind).is_some()))
}

fn volume_of(item: &Item) -> &str {
    text_of(item, "name")
}

fn text_of<'v>(item: &'v Item, key: &str) -> &'v str {
    item.value.get(key).and_then(serde_json::Value::as_str).unwrap_or_default()
}

pub(super) fn mounts(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let plan = merge.plan;
    let of_files = plan.files.iter().flat_map(|files| &files.mounts);
    for item in plan.overlay.spark.mounts.iter().chain(of_files) {
        // The API server takes one path in two spellings for two mounts, and the runtime lays one over the other.
        let mut there = merge.own_mounts.iter().filter(|own| own.path == item.key);
        match there.next() {
            None => {
                merge.mounts.push(&mut merge.patch, &item.json);
                let read_only = is_read_only(item) || has_read_only_source(plan, volume_of(item));
                merge.added_mounts.push(Added::of(item, read_only));
                merge.note(Action::Added, "mount", item);
            }
            Some(own) if is_equal(own, item) && there.all(|own| is_equal(own, item)) => {
                merge.note(Action::Unchanged, "mount", item);
            }
            Some(_) => merge.differs("volumeMounts", "mount", item)?,
        }
    }
    check_nesting(merge)
}

fn is_equal(own: &Own<'_>, item: &Item) -> bool {
    own.volume == volume_of(item)
        && own.sub_path == text_of(item, "subPath")
        && own.sub_path_expr == text_of(item, "subPathExpr")
        && own.read_only == is_read_only(item)
}

/// A mount around another one, whoever it belongs to.
struct Outer<'o> {
    path: &'o str,
    volume: &'o str,
    read_only: bool,
    /// `the pod's own`, or the line of the profile.
    owner: &'o str,
}

/// Refuses a mount point that the runtime could not make, where we are one of the two.
fn check_nesting(merge: &Merge<'_>) -> Result<(), Denial> {
    for added in &merge.added_mounts {
        let of_pod = merge.own_mounts.iter().map(|own| Outer {
            path: &own.path,
            volume: own.volume,
            read_only: own.read_only,
            owner: "the pod's own",
        });
        let of_profile = merge.added_mounts.iter().map(|outer| Outer {
            path: outer.path,
            volume: outer.volume,
            read_only: outer.read_only,
            owner: outer.origin,
        });
        // The innermost mount around a path is the one in which its mount point is made.
        let around = of_pod.chain(of_profile).filter(|outer| is_below(added.path, outer.path));
        if let Some(outer) = around.max_by_key(|outer| outer.path.len()) {
            check_ours_inside(merge, added, &outer)?;
        }
        if added.volume == FILES_VOLUME || added.read_only {
            check_own_inside(merge, added)?;
        }
    }
    Ok(())
}

/// Ours inside another mount.
fn check_ours_inside(merge: &Merge<'_>, added: &Added<'_>, outer: &Outer<'_>) -> Result<(), Denial> {
    if outer.volume == FILES_VOLUME && is_mount_point(merge, added.path) {
        return Ok(());
    }
    let volumes = merge.target.spec.volumes.as_deref().unwrap_or_default();
    let kind = volumes
        .iter()
        .find(|volume| volume.name.as_deref() == Some(outer.volume))
        .and_then(Volume::read_only_kind);
    let Some(kind) = kind.or(outer.read_only.then_some("read-only")) else { return Ok(()) };
    Err(Denial::unprocessable(
        "nested_mount",
        format!(
            "{} is to be mounted at {} ({}), inside {} {kind} mount of volume {} at {}, where no mount point can be made; mount one of them elsewhere",
            describe(added),
            added.path,
            added.origin,
            outer.owner,
            outer.volume,
            outer.path
        ),
    ))
}

/// The pod's inside ours.
fn check_own_inside(merge: &Merge<'_>, added: &Added<'_>) -> Result<(), Denial> {
    for inner in merge.own_mounts.iter().filter(|own| is_below(&own.path, added.path)) {
        let closer = |path: &str| is_below(&inner.path, path) && is_below(path, added.path);
        let shielded = merge.own_mounts.iter().any(|own| closer(&own.path))
            || merge.added_mounts.iter().any(|other| closer(other.path));
        if shielded || is_mount_point(merge, &inner.path) {
            continue;
        }
        return Err(Denial::unprocessable(
            "nested_mount",
            format!(
                "the pod mounts volume {} at {}, inside {} which {} mounts read-only at {}; mount it elsewhere or ask the owner of profile {}",
                inner.volume,
                inner.path,
                describe(added),
                added.origin,
                added.path,
                merge.plan.profile
            ),
        ));
    }
    Ok(())
}

fn is_mount_point(merge: &Merge<'_>, path: &str) -> bool {
    merge.plan.files.as_ref().is_some_and(|files| files.mount_points.iter().any(|point| point == path))
}

fn describe(added: &Added<'_>) -> String {
    if added.volume == FILES_VOLUME { "a files entry".to_owned() } else { format!("volume {}", added.volume) }
}
