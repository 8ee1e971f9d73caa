//! Labels and annotations: added where absent. Spark's own labels cannot be in a plan.

use super::{Action, Denial, Merge};
use crate::admit::patch::{MapEdit, quote};
use crate::admit::plan::Keyed;
use crate::admit::pod::TextMap;
use crate::api::names::STATUS_ANNOTATION;

pub(super) fn labels(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let present = merge.target.pod.metadata().and_then(|metadata| metadata.labels.as_ref());
    let mut edit = MapEdit::new("/metadata/labels", present.is_some());
    add_absent(merge, &mut edit, &merge.plan.overlay.labels, present, "label", "labels")?;
    edit.finish(&mut merge.patch);
    Ok(())
}

pub(super) fn annotations(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let plan = merge.plan;
    let present = merge.target.pod.metadata().and_then(|metadata| metadata.annotations.as_ref());
    let mut edit = MapEdit::new("/metadata/annotations", present.is_some());
    add_absent(merge, &mut edit, &plan.overlay.annotations, present, "annotation", "annotations")?;
    // Authoritative: a pod that brings a status of its own would otherwise claim what it was not given.
    let status = merge.target.pod.annotation(STATUS_ANNOTATION);
    if status != Some(plan.status.as_str()) {
        let action = if status.is_none() { Action::Added } else { Action::Replaced };
        edit.set(&mut merge.patch, STATUS_ANNOTATION, quote(&plan.status));
        merge.note_value(action, "annotation", STATUS_ANNOTATION, &plan.status, "spark-injector");
    }
    edit.finish(&mut merge.patch);
    Ok(())
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
                edit.set(&mut merge.patch, &item.key, &*item.json);
                merge.note(Action::Added, field, item);
            }
            Some(value) if value == item.text() => merge.note(Action::Unchanged, field, item),
            Some(_) => merge.differs(enforced_as, field, item)?,
        }
    }
    Ok(())
}
