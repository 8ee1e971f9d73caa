//! Security contexts, field by field, of the pod and of its Spark container.
//!
//! A pod may also say by an annotation what is a field by now: the one for `AppArmor` is copied into a container without
//! the field once all webhooks are done, and a field beside an annotation that says otherwise is refused
//! (`applyAppArmorVersionSkew` and `ValidatePodSpec` of Kubernetes).

use serde_json::{Map, Value, json};

use super::scalars::Fields;
use super::{Action, Denial, Merge};
use crate::admit::equal::{Kind, same};
use crate::admit::patch::MapEdit;
use crate::admit::plan::{Item, Keyed};
use crate::admit::pod::value_of;

/// Annotations for a container, by the field that they are; the container's name follows.
const OF_CONTAINER: [(&str, &str); 2] = [
    ("appArmorProfile", "container.apparmor.security.beta.kubernetes.io/"),
    ("seccompProfile", "container.seccomp.security.alpha.kubernetes.io/"),
];

/// The same for the pod.
const OF_POD: (&str, &str) = ("seccompProfile", "seccomp.security.alpha.kubernetes.io/pod");

pub(super) fn security(merge: &mut Merge<'_>) -> Result<(), Denial> {
    pod_security(merge)?;
    overridden(merge)?;
    spark_security(merge)
}

fn pod_security(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let wanted = &merge.plan.overlay.pod_security;
    if wanted.is_empty() {
        return Ok(());
    }
    let mut known = value_of(merge.target.spec.security_context);
    let edit = MapEdit::new("/spec/securityContext", known.is_object());
    let (field, annotation) = OF_POD;
    if wanted.get(field).is_some() {
        add_annotated(merge, &mut known, field, annotation);
    }
    let fields = Fields { kind: Kind::Plain, enforced_as: "securityContext", field: "pod securityContext" };
    fields.set_in(merge, edit, wanted.iter(), &known)
}

/// What the Spark container says of these fields, by an annotation too.
fn of_container(merge: &Merge<'_>, wanted: &Keyed) -> Value {
    let mut known = value_of(merge.target.spark.security_context);
    let name = merge.target.spark.name.as_deref().unwrap_or_default();
    for (field, prefix) in OF_CONTAINER.into_iter().filter(|(field, _)| wanted.get(field).is_some()) {
        add_annotated(merge, &mut known, field, &format!("{prefix}{name}"));
    }
    known
}

/// Adds what an annotation says as the field that it is, unless the field stands there.
fn add_annotated(merge: &Merge<'_>, known: &mut Value, field: &str, annotation: &str) {
    if known.get(field).is_some_and(|value| !value.is_null()) {
        return;
    }
    let Some(text) = merge.target.pod.annotation(annotation) else { return };
    let profile = match (text, text.strip_prefix("localhost/")) {
        ("unconfined", _) => json!({ "type": "Unconfined" }),
        ("runtime/default" | "docker/default", _) => json!({ "type": "RuntimeDefault" }),
        (_, Some(name)) => json!({ "type": "Localhost", "localhostProfile": name }),
        _ => json!({ "type": text }),
    };
    if !known.is_object() {
        *known = Value::Object(Map::new());
    }
    known[field] = profile;
}

/// Fields of a pod's security context that a container may say for itself.
const IN_CONTAINER: [&str; 7] = [
    "appArmorProfile",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "seLinuxOptions",
    "seccompProfile",
    "windowsOptions",
];

/// What the profile says of the pod, and the Spark container says otherwise: there the container's counts.
fn overridden(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let overlay = &merge.plan.overlay;
    let is_overridable = |item: &&Item| {
        IN_CONTAINER.contains(&item.key.as_str()) && overlay.spark.security.get(&item.key).is_none()
    };
    let mut wanted = overlay.pod_security.iter().filter(is_overridable).peekable();
    if wanted.peek().is_none() {
        return Ok(());
    }
    let own = of_container(merge, &overlay.pod_security);
    for item in wanted {
        let differs = |own: &Value| !own.is_null() && !same(Kind::Plain, &item.value, own);
        if own.get(&item.key).is_some_and(differs) {
            merge.differs("securityContext", "securityContext", item)?;
        }
    }
    Ok(())
}

/// The security context of the Spark container.
fn spark_security(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let wanted = &merge.plan.overlay.spark.security;
    if wanted.is_empty() {
        return Ok(());
    }
    let known = of_container(merge, wanted);
    let security = Fields { kind: Kind::Plain, enforced_as: "securityContext", field: "securityContext" };
    let is_there = merge.target.spark.security_context.is_some_and(|raw| raw.get().starts_with('{'));
    let edit = MapEdit::new(merge.target.spark_path.key("securityContext"), is_there);
    let possible = wanted.iter().filter(|item| contradiction(item, &known).is_none());
    security.set_in(merge, edit, possible, &known)?;
    for (item, own) in wanted.iter().filter_map(|item| Some((item, contradiction(item, &known)?))) {
        merge.give_way("securityContext", || {
            format!(
                "the pod sets its own securityContext {own}, which cannot stand beside the {} that profile {} enforces ({}); leave it out of the pod",
                item.key, merge.plan.profile, item.origin
            )
        })?;
        merge.note_value(Action::Kept, "securityContext", own, &item.json, &item.origin);
    }
    Ok(())
}

/// What the pod says that the API server takes no such field beside: who is privileged may escalate.
fn contradiction(item: &Item, known: &Value) -> Option<&'static str> {
    let (own, refused) = match (item.key.as_str(), item.value.as_bool()?) {
        ("allowPrivilegeEscalation", false) => ("privileged", true),
        ("privileged", true) => ("allowPrivilegeEscalation", false),
        _ => return None,
    };
    let is_unset = known.get(&item.key).is_none_or(Value::is_null);
    (is_unset && known.get(own).is_some_and(|own| *own == refused)).then_some(own)
}
