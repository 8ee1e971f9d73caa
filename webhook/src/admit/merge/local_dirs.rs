//! Disks for Spark's local directories.
//!
//! Entry i gives its source to the i-th volume that Spark made for itself. Spark evaluated its own volumes before it
//! sent the pod, so a further directory needs a volume, a mount and a place in `SPARK_LOCAL_DIRS`.

use serde_json::Value;

use super::mounts::Ours;
use super::{Action, Denial, Merge};
use crate::admit::patch::{Json, quote};
use crate::admit::plan::LocalDirPlan;
use crate::admit::pod::{Volume, value_of};
use crate::admit::pointer::Pointer;
use crate::api::names::{LOCAL_DIR_PREFIX, LOCAL_DIRS_VARIABLE};

pub(super) fn local_dirs(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let plan = merge.plan;
    if plan.local_dirs.is_empty() {
        return Ok(());
    }
    let volumes = merge.target.spec.volumes.as_deref().unwrap_or_default();
    let mut of_spark = volumes.iter().enumerate().filter(|(_, volume)| is_local_dir(volume));
    let mut further = Vec::new();
    for dir in &plan.local_dirs {
        match of_spark.next() {
            Some((index, volume)) => replace_source(merge, dir, index, volume),
            None => further.push(dir),
        }
    }
    let mut added = Vec::new();
    for dir in further {
        if add_directory(merge, dir)? {
            added.push(dir);
        }
    }
    announce(merge, &added);
    Ok(())
}

fn is_local_dir(volume: &Volume<'_>) -> bool {
    volume.name.as_deref().is_some_and(|name| name.starts_with(LOCAL_DIR_PREFIX))
}

fn replace_source<'a>(merge: &mut Merge<'a>, dir: &'a LocalDirPlan, index: usize, volume: &'a Volume<'a>) {
    let wants_empty_dir = dir.source.get("emptyDir").is_some();
    // An emptyDir is not the disk that we would have put there: no need to look at it as a whole.
    let differs = volume.empty_dir.is_some() && !wants_empty_dir;
    let action = if !differs && merge.has_source(index, &dir.source) {
        Action::Unchanged
    } else if is_default_empty_dir(volume) {
        let volumes = Pointer::new("/spec/volumes");
        let volume = volumes.index(index);
        // The source alone: a field of the volume that nobody knows yet stays.
        if !wants_empty_dir {
            merge.patch.remove(volume.key("emptyDir"));
        }
        for source in &dir.source {
            merge.patch.add(volume.key(&source.key), &source.json);
        }
        Action::Replaced
    } else {
        Action::Kept
    };
    let name = volume.name.as_deref().unwrap_or_default();
    merge.note_value(action, "local directory", name, "", &dir.volume.origin);
}

/// What Spark makes where nobody asked for anything. `spark.kubernetes.local.dirs.tmpfs` sets a medium: a choice.
fn is_default_empty_dir(volume: &Volume<'_>) -> bool {
    let source = value_of(volume.empty_dir);
    source.is_object() && source.get("medium").and_then(Value::as_str).is_none_or(str::is_empty)
}

/// Whether the directory is ours, or the pod has something else at its path.
fn add_directory<'a>(merge: &mut Merge<'a>, dir: &'a LocalDirPlan) -> Result<bool, Denial> {
    let LocalDirPlan { volume, mount, .. } = dir;
    let mounted = merge.own_mounts.iter().find(|own| own.path == mount.key);
    let is_mounted = mounted.is_some();
    if mounted.is_some_and(|own| own.volume != volume.key) {
        merge.note_value(Action::Kept, "local directory", &mount.key, "", &mount.origin);
        return Ok(false);
    }
    let mut action = Action::Unchanged;
    match merge.volume_index(&volume.key) {
        None => {
            merge.volumes.push(&mut merge.patch, &volume.json);
            action = Action::Added;
        }
        Some(index) if merge.is_same_volume(index, &volume.value) => {}
        Some(_) => return Err(merge.other_volume(&volume.key, &volume.origin)),
    }
    if !is_mounted {
        merge.mounts.push(&mut merge.patch, &mount.json);
        action = Action::Added;
    }
    merge.our_mounts.push(Ours::writable(mount, !is_mounted));
    merge.note_value(action, "local directory", &mount.key, "", &mount.origin);
    Ok(true)
}

/// Names the further directories in Spark's own variable.
fn announce<'a>(merge: &mut Merge<'a>, added: &[&'a LocalDirPlan]) {
    let Some(origin) = added.first().map(|dir| &*dir.mount.origin) else { return };
    let paths: Vec<&str> = added.iter().map(|dir| dir.mount.key.as_str()).collect();
    let own = merge.target.spark.env.as_deref().unwrap_or_default();
    // Of several entries the last one counts in the container.
    let variable = own
        .iter()
        .enumerate()
        .rev()
        .find(|(_, variable)| super::env::is_named(variable, LOCAL_DIRS_VARIABLE));
    let Some((index, variable)) = variable else {
        let entry =
            format!("{{\"name\":{},\"value\":{}}}", quote(LOCAL_DIRS_VARIABLE), quote(&paths.join(",")));
        merge.env.push(&mut merge.patch, &entry);
        merge.note_value(Action::Added, "env", LOCAL_DIRS_VARIABLE, "", origin);
        return;
    };
    if variable.value_from.is_some() {
        merge.note_value(Action::Kept, "env", LOCAL_DIRS_VARIABLE, "", origin);
        return;
    }
    let known = variable.value.as_deref().unwrap_or_default();
    let mut all: Vec<&str> = known.split(',').filter(|path| !path.is_empty()).collect();
    let before = all.len();
    for path in &paths {
        if !all.contains(path) {
            all.push(path);
        }
    }
    if all.len() > before {
        let env = merge.target.spark_path.key("env");
        merge.patch.add(env.index(index).key("value"), Json::Text(&all.join(",")));
        merge.note_value(Action::Replaced, "env", LOCAL_DIRS_VARIABLE, "", origin);
    }
}
