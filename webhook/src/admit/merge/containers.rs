//! Init containers and sidecars. Ours is the first init container; the order of the pod's own never changes.

use serde_json::{Value, json};

use super::{Action, Denial, Merge};
use crate::admit::equal::{Kind, same};
use crate::admit::patch::{ListEdit, Piece};
use crate::admit::plan::FilesPlan;
use crate::admit::pod::{Named, value_of};
use crate::api::names::INIT_CONTAINER;

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
    let mut inserted: Vec<(usize, Vec<Piece<'_>>)> = Vec::new();
    // Where the next one goes: behind the last of ours that is there already, moved by another webhook or not.
    let mut next = 0;
    if let Some(files) = &plan.files {
        let security = security_context(merge).to_string();
        match position(known, INIT_CONTAINER) {
            None => {
                inserted.push((0, pieces(files, security)));
                merge.note_value(Action::Added, "init container", INIT_CONTAINER, "", &files.origin);
                next = 1;
            }
            Some(index) => {
                let ours: Value = serde_json::from_str(&whole(files, &security)).unwrap_or(Value::Null);
                require_same(merge, "initContainers", index, &ours, INIT_CONTAINER, &files.origin)?;
                merge.note_value(Action::Unchanged, "init container", INIT_CONTAINER, "", &files.origin);
                next = index + 1;
            }
        }
    }
    refuse_impostor(merge)?;
    for item in &plan.overlay.init_containers {
        match position(known, &item.key) {
            None => {
                inserted.push((next, vec![Piece::Text((&*item.json).into())]));
                merge.note(Action::Added, "init container", item);
                next += 1;
            }
            Some(index) => {
                require_same(merge, "initContainers", index, &item.value, &item.key, &item.origin)?;
                merge.note(Action::Unchanged, "init container", item);
                next = next.max(index + inserted.len() + 1);
            }
        }
    }
    if !inserted.is_empty() && present.is_none() {
        merge.patch.add("/spec/initContainers".to_owned(), "[]");
    }
    for (index, pieces) in inserted {
        merge.patch.add_pieces(format!("/spec/initContainers/{index}"), pieces);
    }
    Ok(())
}

fn position(known: &[Named<'_>], name: &str) -> Option<usize> {
    known.iter().position(|container| container.name.as_deref() == Some(name))
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
    if same(Kind::Container, ours, merge.target.object.at(&format!("/spec/{list}/{index}"))) {
        return Ok(());
    }
    Err(Denial::policy(
        "container_conflict",
        format!(
            "the pod already has a container {name} with other content than profile {} gives it ({origin}); rename the pod's container",
            merge.plan.profile
        ),
    ))
}

/// Our name belongs to the init container alone: a duplicate would be refused later, without a hint at us.
fn refuse_impostor(merge: &Merge<'_>) -> Result<(), Denial> {
    let containers = merge.target.spec.containers.as_deref().unwrap_or_default();
    if containers.iter().any(|container| container.name.as_deref() == Some(INIT_CONTAINER)) {
        return Err(Denial::policy(
            "container_conflict",
            format!(
                "the pod has a container named {INIT_CONTAINER}; that name belongs to spark-injector, rename it"
            ),
        ));
    }
    Ok(())
}

fn whole(files: &FilesPlan, security: &str) -> String {
    format!("{}\"securityContext\":{security},{}", files.head, files.tail.json())
}

fn pieces(files: &FilesPlan, security: String) -> Vec<Piece<'_>> {
    vec![
        Piece::Text((&*files.head).into()),
        Piece::Text("\"securityContext\":".into()),
        Piece::Text(security.into()),
        Piece::Text(",".into()),
        Piece::Constant(&files.tail),
    ]
}

/// What Pod Security `restricted` asks for, as the user who reads the files.
fn security_context(merge: &Merge<'_>) -> Value {
    let overlay = &merge.plan.overlay;
    let container = value_of(merge.target.spark.security_context);
    let pod = value_of(merge.target.spec.security_context);
    let own = |context: &Value, key: &str| context.get(key).and_then(Value::as_u64);
    let wanted = |key: &str| overlay.spark.security.get(key).and_then(|item| item.value.as_u64());
    let in_container = |key: &str| own(&container, key).or_else(|| wanted(key));
    let user = in_container("runAsUser")
        .or_else(|| own(&pod, "runAsUser"))
        .or_else(|| overlay.pod_security.get("runAsUser").and_then(|item| item.value.as_u64()))
        // Root may read whatever another user wrote, and must not be the user of a container that is to be non-root.
        .filter(|user| *user != 0)
        .unwrap_or(SPARK_USER);
    let mut context = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "runAsUser": user,
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    if let (Some(group), Some(map)) = (in_container("runAsGroup"), context.as_object_mut()) {
        map.insert("runAsGroup".to_owned(), group.into());
    }
    context
}

fn sidecars(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let plan = merge.plan;
    let known = merge.target.spec.containers.as_deref().unwrap_or_default();
    let mut edit = ListEdit::new("/spec/containers", true);
    for item in &plan.overlay.sidecars {
        let index = known.iter().position(|container| container.name.as_deref() == Some(item.key.as_str()));
        match index {
            None => {
                edit.push(&mut merge.patch, &*item.json);
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
