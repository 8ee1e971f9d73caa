//! Init containers and sidecars. Ours is the first init container; the order of the pod's own never changes.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Action, Denial, Merge};
use crate::admit::equal::{Kind, differing_fields, same};
use crate::admit::patch::ListEdit;
use crate::admit::plan::{FilesPlan, Item, Keyed};
use crate::admit::pod::Named;
use crate::admit::pointer::Pointer;
use crate::admit::reinvoked::is_same_repository;
use crate::api::names::INIT_CONTAINER;

const INIT_CONTAINERS: Pointer<'static> = Pointer::new("/spec/initContainers");

/// The user of Apache's Spark images.
const SPARK_USER: u64 = 185;

pub(super) fn containers(merge: &mut Merge<'_>) -> Result<(), Denial> {
    init_containers(merge)?;
    sidecars(merge)
}

fn init_containers(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let plan = merge.plan;
    let present = merge.target.spec.init_containers.as_deref();
    let known = present.unwrap_or_default();
    let mut inserted = 0;
    // Where the next one goes: behind the last of ours that is there already, moved by another webhook or not.
    let mut next = 0;
    if let Some(files) = &plan.files {
        let identity = Identity::of_files(merge);
        match position(known, INIT_CONTAINER) {
            None => {
                begin_insertion(merge, &mut inserted);
                let start = [&*files.head, "\"securityContext\":", &identity.security_context(), ","];
                merge.patch.add_ending(INIT_CONTAINERS.index(0), &start, &files.tail);
                merge.note_value(Action::Added, "init container", INIT_CONTAINER, "", &files.origin);
                next = 1;
            }
            Some(index) => {
                keep_init_container(merge, files, index, identity)?;
                next = index + 1;
            }
        }
    }
    refuse_impostor(merge)?;
    for item in &plan.overlay.init_containers {
        match position(known, &item.key) {
            None => {
                refuse_if(has_container(merge, &item.key), merge, item, "a container")?;
                begin_insertion(merge, &mut inserted);
                merge.patch.add(INIT_CONTAINERS.index(next), &item.json);
                merge.note(Action::Added, "init container", item);
                next += 1;
            }
            Some(index) => {
                require_same(merge, "initContainers", index, &item.value, &item.key, &item.origin)?;
                merge.note(Action::Unchanged, "init container", item);
                next = next.max(index + inserted + 1);
            }
        }
    }
    Ok(())
}

/// One more is about to be inserted; the first one may need a list.
fn begin_insertion(merge: &mut Merge<'_>, inserted: &mut usize) {
    if *inserted == 0 && merge.target.spec.init_containers.is_none() {
        merge.patch.add(INIT_CONTAINERS, "[]");
    }
    *inserted += 1;
}

fn position(known: &[Named<'_>], name: &str) -> Option<usize> {
    known.iter().position(|container| container.name.as_deref() == Some(name))
}

/// Ours is there already. Another webhook may have changed the pod's user since: then the init container follows it,
/// or the Spark container could not read the files.
fn keep_init_container<'a>(
    merge: &mut Merge<'a>,
    files: &'a FilesPlan,
    index: usize,
    wanted: Identity,
) -> Result<(), Denial> {
    let path = format!("/spec/initContainers/{index}");
    let security = merge.target.object.at(&format!("{path}/securityContext"));
    let theirs = Identity::deserialize(security).unwrap_or_default();
    // Root is nobody's wish for this container: it stays a difference.
    let as_theirs = if theirs.run_as_user.is_some_and(|user| user != 0) { theirs } else { wanted };
    let mut ours: Value = serde_json::from_str(&whole(files, as_theirs)).unwrap_or(Value::Null);
    accept_step_apart(&mut ours, merge.target.object.at(&path));
    require_same(merge, "initContainers", index, &ours, INIT_CONTAINER, &files.origin)?;
    if theirs == wanted {
        merge.note_value(Action::Unchanged, "init container", INIT_CONTAINER, "", &files.origin);
        return Ok(());
    }
    merge.patch.add(INIT_CONTAINERS.index(index).key("securityContext"), &wanted.security_context());
    merge.note_value(Action::Replaced, "init container", INIT_CONTAINER, "", &files.origin);
    Ok(())
}

/// Takes over what a replica with other flags or of another version gives to its init container: another image of the
/// same repository, and other amounts. Neither decides what runs with which files: the repository is the owner's, and a
/// pod has its own quota.
fn accept_step_apart(ours: &mut Value, theirs: &Value) {
    let Some(ours) = ours.as_object_mut() else { return };
    let image = |container: &Value| container.get("image").and_then(Value::as_str).map(str::to_owned);
    let own = ours.get("image").and_then(Value::as_str).unwrap_or_default();
    if let Some(image) = image(theirs).filter(|image| is_same_repository(image, own)) {
        ours.insert("image".to_owned(), image.into());
    }
    match theirs.get("resources") {
        Some(resources) => ours.insert("resources".to_owned(), resources.clone()),
        None => ours.remove("resources"),
    };
}

/// A container of the pod that has a name of ours must be ours in content.
fn require_same(
    merge: &Merge<'_>,
    list: &str,
    index: usize,
    ours: &Value,
    name: &str,
    origin: &str,
) -> Result<(), Denial> {
    let theirs = merge.target.object.at(&format!("/spec/{list}/{index}"));
    if same(Kind::Container, ours, theirs) {
        return Ok(());
    }
    Err(Denial::policy(
        "container_conflict",
        format!(
            "the pod already has a container {name} whose {} is not what profile {} gives it ({origin}); rename the pod's container, or, if another webhook changed ours, let it leave {name} alone",
            differing_fields(ours, theirs).join(", "),
            merge.plan.profile
        ),
    ))
}

/// A name may stand once among containers and init containers together: the API server would refuse the pod.
fn refuse_if(is_taken: bool, merge: &Merge<'_>, item: &Item, what: &str) -> Result<(), Denial> {
    if !is_taken {
        return Ok(());
    }
    Err(Denial::policy(
        "container_conflict",
        format!(
            "the pod has {what} named {}, which is the name of one that profile {} adds ({}); rename the pod's",
            item.key, merge.plan.profile, item.origin
        ),
    ))
}

fn has_container(merge: &Merge<'_>, name: &str) -> bool {
    let containers = merge.target.spec.containers.as_deref().unwrap_or_default();
    containers.iter().any(|container| container.name.as_deref() == Some(name))
}

/// Our name belongs to the init container alone: a duplicate would be refused later, without a hint at us.
fn refuse_impostor(merge: &Merge<'_>) -> Result<(), Denial> {
    if has_container(merge, INIT_CONTAINER) {
        return Err(Denial::policy(
            "container_conflict",
            format!(
                "the pod has a container named {INIT_CONTAINER}; that name belongs to spark-injector, rename it"
            ),
        ));
    }
    Ok(())
}

fn whole(files: &FilesPlan, identity: Identity) -> String {
    format!("{}\"securityContext\":{},{}", files.head, identity.security_context(), files.tail.json())
}

/// Who a security context says that runs.
#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(default, rename_all = "camelCase")]
struct Identity {
    run_as_user: Option<u64>,
    run_as_group: Option<u64>,
}

impl Identity {
    /// A pod's own; what does not decode is the API server's to refuse.
    fn own(context: Option<&RawValue>) -> Self {
        context.and_then(|context| serde_json::from_str(context.get()).ok()).unwrap_or_default()
    }

    fn wanted(context: &Keyed) -> Self {
        let number = |key: &str| context.get(key).and_then(|item| item.value.as_u64());
        Self { run_as_user: number("runAsUser"), run_as_group: number("runAsGroup") }
    }

    fn or(self, other: Self) -> Self {
        Self {
            run_as_user: self.run_as_user.or(other.run_as_user),
            run_as_group: self.run_as_group.or(other.run_as_group),
        }
    }

    /// The user who reads the files: the Spark container's after the overlay, else the pod's, else that of Apache's
    /// images.
    fn of_files(merge: &Merge<'_>) -> Self {
        let Merge { plan, target, .. } = merge;
        let container =
            Self::own(target.spark.security_context).or(Self::wanted(&plan.overlay.spark.security));
        let pod = Self::own(target.spec.security_context).or(Self::wanted(&plan.overlay.pod_security));
        // Root may read whatever another user wrote, and the init container has to be non-root.
        let user = container.or(pod).run_as_user.filter(|user| *user != 0).unwrap_or(SPARK_USER);
        // The pod's own group holds for our container as well.
        Self { run_as_user: Some(user), run_as_group: container.run_as_group }
    }

    /// What Pod Security `restricted` asks for, as this user.
    fn security_context(self) -> String {
        let mut context = String::with_capacity(256);
        context.push_str(
            "{\"allowPrivilegeEscalation\":false,\"capabilities\":{\"drop\":[\"ALL\"]},\"readOnlyRootFilesystem\":true,\
             \"runAsNonRoot\":true",
        );
        for (key, id) in [("runAsUser", self.run_as_user), ("runAsGroup", self.run_as_group)] {
            if let Some(id) = id {
                // Writing to a String does not fail.
                let _ = write!(context, ",\"{key}\":{id}");
            }
        }
        context.push_str(",\"seccompProfile\":{\"type\":\"RuntimeDefault\"}}");
        context
    }
}

fn sidecars(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let plan = merge.plan;
    let known = merge.target.spec.containers.as_deref().unwrap_or_default();
    let mut edit = ListEdit::new("/spec/containers", true);
    for item in &plan.overlay.sidecars {
        let index = known.iter().position(|container| container.name.as_deref() == Some(item.key.as_str()));
        match index {
            None => {
                let others = merge.target.spec.init_containers.as_deref().unwrap_or_default();
                refuse_if(position(others, &item.key).is_some(), merge, item, "an init container")?;
                edit.push(&mut merge.patch, &item.json);
                merge.note(Action::Added, "sidecar", item);
            }
            Some(index) => {
                require_same(merge, "containers", index, &item.value, &item.key, &item.origin)?;
                merge.note(Action::Unchanged, "sidecar", item);
            }
        }
    }
    edit.finish(&mut merge.patch);
    Ok(())
}
