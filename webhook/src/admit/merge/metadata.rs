//! Labels and annotations: added where absent. Spark's own labels cannot be in a plan.

use super::{Action, Denial, Merge, NoteRef};
use crate::admit::patch::{MapEdit, Patch};
use crate::admit::plan::{Item, Keyed};
use crate::admit::pod::{Pod, TextMap};
use crate::api::names::STATUS_ANNOTATION;

pub(super) fn labels(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let present = merge.target.pod.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
    let mut edit = MapEdit::new("/metadata/labels", present.is_some());
    add_absent(merge, &mut edit, &merge.plan.overlay.labels, present, "label", "labels")?;
    edit.finish(&mut merge.patch);
    Ok(())
}

pub(super) fn annotations(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let plan = merge.plan;
    let present = merge.target.pod.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref());
    let mut edit = MapEdit::new("/metadata/annotations", present.is_some());
    add_absent(merge, &mut edit, &plan.overlay.annotations, present, "annotation", "annotations")?;
    status(merge.target.pod, &plan.status, &mut edit, &mut merge.patch, &mut merge.notes);
    edit.finish(&mut merge.patch);
    Ok(())
}

/// Writes the status annotation and nothing else.
pub(super) fn sign<'a>(
    pod: &'a Pod<'a>,
    item: &'a Item,
    patch: &mut Patch<'a>,
    notes: &mut Vec<NoteRef<'a>>,
) {
    let present = pod.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref());
    let mut edit = MapEdit::new("/metadata/annotations", present.is_some());
    status(pod, item, &mut edit, patch, notes);
    edit.finish(patch);
}

/// Authoritative: a pod that brings a status of its own would otherwise claim what it was not given.
fn status<'a>(
    pod: &'a Pod<'a>,
    item: &'a Item,
    edit: &mut MapEdit<'a>,
    patch: &mut Patch<'a>,
    notes: &mut Vec<NoteRef<'a>>,
) {
    let known = pod.annotation(STATUS_ANNOTATION);
    if known == Some(item.text()) {
        return;
    }
    edit.set(patch, &item.key, &item.json);
    let action = if known.is_none() { Action::Added } else { Action::Replaced };
    notes.push(NoteRef {
        action,
        field: "annotation",
        key: &item.key,
        value: item.text(),
        origin: &item.origin,
    });
}

fn add_absent<'a>(
    merge: &mut Merge<'a>,
    edit: &mut MapEdit<'a>,
    wanted: &'a Keyed,
    present: Option<&TextMap<'_>>,
    field: &'static str,
    enforced_as: &str,
) -> Result<(), Denial> {
    for item in wanted {
        match present.and_then(|present| present.get(&item.key)) {
            None => {
                edit.set(&mut merge.patch, &item.key, &item.json);
                merge.note(Action::Added, field, item);
            }
            Some(value) if value == item.text() => merge.note(Action::Unchanged, field, item),
            Some(_) => merge.differs(enforced_as, field, item)?,
        }
    }
    Ok(())
}
