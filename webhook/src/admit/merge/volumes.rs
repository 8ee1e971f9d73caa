//! Volumes by name: absent, add; equal, keep; different, refuse.

use serde_json::Value;

use super::lists::{List, append_unequal};
use super::{Action, Denial, Merge};
use crate::admit::equal::{Kind, same};
use crate::admit::plan::{Item, Keyed};

pub(super) fn volumes(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let plan = merge.plan;
    let of_files = plan.files.iter().flat_map(|files| &files.volumes);
    for item in plan.overlay.volumes.iter().chain(of_files) {
        add_volume(merge, &item.key, &item.value, item)?;
    }
    let pull = merge.target.spec.image_pull_secrets;
    let path = "/spec/imagePullSecrets";
    append_unequal(merge, path, &plan.overlay.pull_secrets, pull, List("imagePullSecret", &[]));
    Ok(())
}

fn add_volume<'a>(merge: &mut Merge<'a>, name: &str, ours: &Value, item: &'a Item) -> Result<(), Denial> {
    match merge.volume_index(name) {
        None => {
            merge.volumes.push(&mut merge.patch, &item.json);
            merge.note(Action::Added, "volume", item);
            Ok(())
        }
        Some(index) if merge.is_same_volume(index, ours) => {
            merge.note(Action::Unchanged, "volume", item);
            Ok(())
        }
        Some(_) => Err(merge.other_volume(name, &item.origin)),
    }
}

impl Merge<'_> {
    /// Position of a volume of the pod.
    pub(super) fn volume_index(&self, name: &str) -> Option<usize> {
        let volumes = self.target.spec.volumes.as_deref().unwrap_or_default();
        volumes.iter().position(|volume| volume.name.as_deref() == Some(name))
    }

    /// Whether a volume of the pod is what we would add.
    pub(super) fn is_same_volume(&self, index: usize, ours: &Value) -> bool {
        same(Kind::Volume, ours, self.target.object.at(&format!("/spec/volumes/{index}")))
    }

    /// Whether a volume of the pod has the source that we would give it; other fields of it do not matter.
    pub(super) fn has_source(&self, index: usize, ours: &Keyed) -> bool {
        let theirs = self.target.object.at(&format!("/spec/volumes/{index}"));
        ours.iter().all(|source| {
            let only = |value: &Value| Value::from_iter([(source.key.clone(), value.clone())]);
            theirs
                .get(&source.key)
                .is_some_and(|theirs| same(Kind::Volume, &only(&source.value), &only(theirs)))
        })
    }

    /// The refusal of a volume that has a name of ours.
    pub(super) fn other_volume(&self, name: &str, origin: &str) -> Denial {
        Denial::policy(
            "volume_conflict",
            format!(
                "the pod already has a volume {name} with other content than profile {} gives it ({origin}); rename the pod's volume",
                self.plan.profile
            ),
        )
    }
}
