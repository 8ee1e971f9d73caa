//! The merge rules: how a plan meets a pod.
//!
//! The user's pod wins unless the profile enforces the field. One rule per kind of field, in one ordered list; adding
//! a field is one function. A rule reads the pod as it was sent and appends operations; none reads what another
//! one appended, except through the lists that they share.

#![allow(clippy::unnecessary_wraps, reason = "every rule has the one signature of `Rule`")]

mod containers;
mod env;
mod isolation;
mod lists;
mod local_dirs;
mod metadata;
mod mounts;
mod network;
mod resources;
mod scalars;
mod scheduling;
mod security;
mod selector;
mod volumes;

use std::cell::OnceCell;

use serde_json::Value;

pub(crate) use isolation::covers;
pub(super) use isolation::isolate;

use super::decision::Denial;
use super::outcome::{Action, Note};
use super::patch::{ListEdit, Patch};
use super::plan::{Item, NodeSelector, Plan, Whitelist};
use super::pod::{Container, Pod, Spec, value_of};
use super::pointer::Pointer;
use super::review::{MAX_WARNING_CHARS, cut, raw_object};
use crate::api::names::STATUS_ANNOTATION;

/// The pod of a request, and its raw text for the rare look at what stands there already.
#[derive(Debug)]
pub(super) struct Target<'a> {
    /// The needed fields.
    pub pod: &'a Pod<'a>,
    /// `spec`.
    pub spec: &'a Spec<'a>,
    /// The Spark container.
    pub spark: &'a Container<'a>,
    /// Where it is.
    pub spark_path: Pointer<'static>,
    /// The raw object, decoded as a whole on first use.
    pub object: LazyObject<'a>,
}

/// The raw object in the body of a request. Most pods are never decoded as a whole.
#[derive(Debug)]
pub(super) struct LazyObject<'a> {
    body: &'a [u8],
    value: OnceCell<Value>,
}

impl<'a> LazyObject<'a> {
    /// The object of a request that was decoded from this body.
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { body, value: OnceCell::new() }
    }

    /// A part of the object, null if absent.
    pub(super) fn at(&self, pointer: &str) -> &Value {
        let value = self.value.get_or_init(|| value_of(raw_object(self.body)));
        value.pointer(pointer).unwrap_or(&Value::Null)
    }
}

/// What the namespace adds to the plan of its profile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placement<'a> {
    /// Name of the profile.
    pub profile: &'a str,
    /// Name of the namespace.
    pub namespace: &'a str,
    /// Node selector of the namespace.
    pub selector: &'a NodeSelector,
    /// The profile's whitelist.
    pub allowed: &'a Whitelist,
    /// The cluster's default PriorityClass: a pod that has it did not choose it.
    pub default_priority_class: Option<&'a str>,
}

/// What came out: operations, and what happened to which field.
#[derive(Debug)]
pub(super) struct Merged<'a> {
    /// The patch.
    pub patch: Patch<'a>,
    notes: Vec<NoteRef<'a>>,
}

#[derive(Debug)]
struct NoteRef<'a> {
    action: Action,
    field: &'static str,
    key: &'a str,
    value: &'a str,
    origin: &'a str,
}

impl Merged<'_> {
    /// One warning for each value of the user that was kept although the profile says otherwise.
    pub(super) fn warnings(&self) -> Vec<String> {
        let kept = self.notes.iter().filter(|note| note.action == Action::Kept);
        kept.map(|note| {
            let text = format!(
                "spark-injector kept the pod's own {}; {} says otherwise",
                note.subject(),
                note.origin
            );
            cut(&text, MAX_WARNING_CHARS).to_owned()
        })
        .collect()
    }

    /// Whether nothing of the pod changes but its status annotation.
    pub(super) fn only_signs(&self) -> bool {
        let path = Pointer::new("/metadata/annotations").key(STATUS_ANNOTATION).to_string();
        let operations = self.patch.to_json();
        operations.as_array().into_iter().flatten().all(|operation| operation["path"] == path)
    }

    /// Everything that happened, for a person.
    pub(super) fn notes(&self) -> Vec<Note> {
        let owned = |note: &NoteRef<'_>| Note {
            action: note.action,
            field: note.subject(),
            value: note.value.to_owned(),
            origin: note.origin.to_owned(),
        };
        self.notes.iter().map(owned).collect()
    }
}

impl NoteRef<'_> {
    fn subject(&self) -> String {
        subject(self.field, self.key)
    }
}

/// A field in words: `env HADOOP_CONF_DIR`, `toleration`, `priorityClassName`.
fn subject(field: &str, key: &str) -> String {
    match (field, key) {
        ("", key) => key.to_owned(),
        (field, "") => field.to_owned(),
        (field, key) => format!("{field} {key}"),
    }
}

/// The value of an enforced field in a refusal, which goes into the log and to whoever creates the pod. A variable, an
/// annotation or a command may hold a password: of those only the place is told, where the profile's readers find it.
fn tellable<'a>(field: &str, item: &'a Item) -> &'a str {
    let is_plain = !matches!(item.value, Value::Object(_) | Value::Array(_)) && field != "annotation";
    if is_plain { cut(&item.json, 200) } else { "its own" }
}

/// The state of one merge.
struct Merge<'a> {
    plan: &'a Plan,
    target: &'a Target<'a>,
    place: Placement<'a>,
    patch: Patch<'a>,
    volumes: ListEdit<'a>,
    mounts: ListEdit<'a>,
    env: ListEdit<'a>,
    notes: Vec<NoteRef<'a>>,
    /// The pod's own mounts in the Spark container.
    own_mounts: Vec<mounts::Own<'a>>,
    /// What the profile has mounted there: found, or added.
    our_mounts: Vec<mounts::Ours<'a>>,
}

type Rule = for<'a> fn(&mut Merge<'a>) -> Result<(), Denial>;

/// Every rule, in the order in which their operations stand in the patch.
const RULES: [Rule; 17] = [
    metadata::labels,
    metadata::annotations,
    scheduling::node_selector,
    scheduling::tolerations,
    scheduling::topology_spread,
    scheduling::affinity,
    scheduling::priority_class,
    scalars::pod_fields,
    security::security,
    scalars::spark_container,
    network::host_aliases,
    network::dns_config,
    volumes::volumes,
    // Before `env`, which may remove variables: it names one by its place.
    local_dirs::local_dirs,
    env::env,
    mounts::mounts,
    containers::containers,
];

/// What a patch of an ordinary profile takes without its payload.
const PATCH_BYTES: usize = 4 * 1024;

/// Merges a plan into a pod.
///
/// # Errors
///
/// When the profile and the pod contradict each other where neither may give way.
pub(super) fn merge<'a>(
    plan: &'a Plan,
    target: &'a Target<'a>,
    place: Placement<'a>,
) -> Result<Merged<'a>, Denial> {
    let spark = &target.spark_path;
    let mut merge = Merge {
        plan,
        target,
        place,
        patch: Patch::with_capacity(PATCH_BYTES),
        volumes: ListEdit::new("/spec/volumes", target.spec.volumes.is_some()),
        mounts: ListEdit::new(spark.key("volumeMounts"), target.spark.volume_mounts.is_some()),
        env: ListEdit::new(spark.key("env"), target.spark.env.is_some()),
        notes: Vec::with_capacity(32),
        own_mounts: mounts::own(target.spark),
        our_mounts: Vec::new(),
    };
    for rule in RULES {
        rule(&mut merge)?;
    }
    let Merge { mut patch, volumes, mounts, env, notes, .. } = merge;
    volumes.finish(&mut patch);
    mounts.finish(&mut patch);
    env.finish(&mut patch);
    Ok(Merged { patch, notes })
}

impl<'a> Merge<'a> {
    fn note(&mut self, action: Action, field: &'static str, item: &'a Item) {
        self.notes.push(NoteRef { action, field, key: &item.key, value: &item.json, origin: &item.origin });
    }

    fn note_value(
        &mut self,
        action: Action,
        field: &'static str,
        key: &'a str,
        value: &'a str,
        origin: &'a str,
    ) {
        self.notes.push(NoteRef { action, field, key, value, origin });
    }

    /// The pod has a value of its own that differs: refused where the field is enforced, else kept and noted.
    fn differs(&mut self, enforced_as: &str, field: &'static str, item: &'a Item) -> Result<(), Denial> {
        self.give_way(enforced_as, || {
            format!(
                "the pod sets its own {}, but profile {} enforces {} ({}); leave it out of the pod",
                subject(field, &item.key),
                self.plan.profile,
                tellable(field, item),
                item.origin
            )
        })?;
        self.note(Action::Kept, field, item);
        Ok(())
    }

    /// The profile gives way to the pod, unless it enforces the field.
    fn give_way(&self, enforced_as: &str, refusal: impl FnOnce() -> String) -> Result<(), Denial> {
        if self.plan.enforced.contains(enforced_as) {
            return Err(Denial::policy("enforced", refusal()));
        }
        Ok(())
    }
}
