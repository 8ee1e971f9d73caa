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
    propagation: &'a str,
    recursive_read_only: &'a str,
}

/// The mounts that the pod brings in its Spark container.
pub(super) fn own<'a>(spark: &'a Container<'a>) -> Vec<Own<'a>> {
    let own = |mount: &'a Mount<'a>| Own {
        path: clean_path(mount.mount_path.as_deref().unwrap_or_default()),
        volume: mount.name.as_deref().unwrap_or_default(),
        sub_path: mount.sub_path.as_deref().unwrap_or_default(),
        sub_path_expr: mount.sub_path_expr.as_deref().unwrap_or_default(),
        read_only: mount.read_only.unwrap_or_default(),
        propagation: mount.mount_propagation.as_deref().unwrap_or_default(),
        recursive_read_only: mount.recursive_read_only.as_deref().unwrap_or_default(),
    };
    spark.volume_mounts.as_deref().unwrap_or_default().iter().map(own).collect()
}

/// A mount of the profile's, which the pod has or is about to get.
#[derive(Debug)]
pub(super) struct Ours<'a> {
    path: &'a str,
    volume: &'a str,
    /// Whether no mount point can be made in it, whatever the reason.
    read_only: bool,
    origin: &'a str,
    /// Whether this patch adds it.
    added: bool,
}

impl<'a> Ours<'a> {
    /// A writable mount of a whole volume.
    pub(super) fn writable(item: &'a Item, added: bool) -> Self {
        Self { path: &item.key, volume: volume_of(item), read_only: false, origin: &item.origin, added }
    }

    fn new(item: &'a Item, plan: &Plan, added: bool) -> Self {
        let read_only = is_read_only(item) || has_read_only_source(plan, volume_of(item));
        Self { read_only, ..Self::writable(item, added) }
    }

    /// Whether the runtime can make no mount point in it.
    fn is_closed(&self) -> bool {
        self.volume == FILES_VOLUME || self.read_only
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
                merge.our_mounts.push(Ours::new(item, plan, true));
                merge.note(Action::Added, "mount", item);
            }
            Some(own) if is_equal(own, item) && there.all(|own| is_equal(own, item)) => {
                merge.our_mounts.push(Ours::new(item, plan, false));
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
        && or(own.propagation, "None") == or(text_of(item, "mountPropagation"), "None")
        && or(own.recursive_read_only, "Disabled") == or(text_of(item, "recursiveReadOnly"), "Disabled")
}

fn or<'t>(text: &'t str, default: &'t str) -> &'t str {
    if text.is_empty() { default } else { text }
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
    for ours in &merge.our_mounts {
        if ours.added {
            check_ours_inside(merge, ours)?;
        }
        if ours.is_closed() {
            check_own_inside(merge, ours)?;
        }
    }
    Ok(())
}

/// Ours inside another mount.
fn check_ours_inside(merge: &Merge<'_>, ours: &Ours<'_>) -> Result<(), Denial> {
    let of_pod = merge.own_mounts.iter().map(|own| Outer {
        path: &own.path,
        volume: own.volume,
        read_only: own.read_only,
        owner: "the pod's own",
    });
    let of_profile = merge.our_mounts.iter().map(|outer| Outer {
        path: outer.path,
        volume: outer.volume,
        read_only: outer.read_only,
        owner: outer.origin,
    });
    // The innermost mount around a path is the one in which its mount point is made.
    let around = of_pod.chain(of_profile).filter(|outer| is_below(ours.path, outer.path));
    let Some(outer) = around.max_by_key(|outer| outer.path.len()) else { return Ok(()) };
    if outer.volume == FILES_VOLUME && is_mount_point(merge, ours.path) {
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
            describe(ours),
            ours.path,
            ours.origin,
            outer.owner,
            outer.volume,
            outer.path
        ),
    ))
}

/// The pod's inside ours, which can be closer to ours than any other mount.
fn check_own_inside(merge: &Merge<'_>, outer: &Ours<'_>) -> Result<(), Denial> {
    let of_pod = merge.own_mounts.iter().map(|own| (&*own.path, Some(own)));
    let of_profile = merge.our_mounts.iter().map(|ours| (ours.path, None));
    let mut inside: Vec<_> =
        of_pod.chain(of_profile).filter(|(path, _)| is_below(path, outer.path)).collect();
    // A mount comes before what lies in it, so that one look at each tells the outermost: a pod may bring tens of
    // thousands. Ours before the pod's own of the same path, which is the same mount.
    inside.sort_by(|(a, a_own), (b, b_own)| {
        a.split('/').cmp(b.split('/')).then(a_own.is_some().cmp(&b_own.is_some()))
    });
    let mut outermost = None;
    for (path, own) in inside {
        if outermost.is_some_and(|outermost| path == outermost || is_below(path, outermost)) {
            continue;
        }
        outermost = Some(path);
        let Some(own) = own.filter(|own| !is_mount_point(merge, &own.path)) else { continue };
        return Err(Denial::unprocessable(
            "nested_mount",
            format!(
                "the pod mounts volume {} at {}, inside {} which {} mounts read-only at {}; mount it elsewhere or ask the owner of profile {}",
                own.volume,
                own.path,
                describe(outer),
                outer.origin,
                outer.path,
                merge.plan.profile
            ),
        ));
    }
    Ok(())
}

fn is_mount_point(merge: &Merge<'_>, path: &str) -> bool {
    merge.plan.files.as_ref().is_some_and(|files| files.mount_points.iter().any(|point| point == path))
}

fn describe(ours: &Ours<'_>) -> String {
    if ours.volume == FILES_VOLUME { "a files entry".to_owned() } else { format!("volume {}", ours.volume) }
}
