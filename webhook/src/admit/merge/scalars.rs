//! Fields with one value: set where unset, field by field. What the API server fills in before us counts as unset.

use serde_json::Value;
use serde_json::value::RawValue;

use super::lists::{List, append_unequal};
use super::{Action, Denial, Merge, resources};
use crate::admit::equal::{Kind, same};
use crate::admit::patch::MapEdit;
use crate::admit::plan::{Item, Keyed, PORT_KEY};
use crate::admit::pod::value_of;
use crate::admit::pointer::Pointer;

/// What a pod says about a field, in the eyes of a merge rule.
enum Own {
    /// Absent, or the default that the API server filled in.
    Unset,
    /// What we would set.
    Same,
    /// The user's own choice.
    Other,
}

pub(super) fn pod_fields(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let plan = merge.plan;
    let spec = merge.target.spec;
    for item in &plan.overlay.scalars {
        let own = match item.key.as_str() {
            "dnsPolicy" => text(spec.dns_policy.as_deref(), item, "ClusterFirst"),
            // Absent is what `false` means, and how the API server stores it.
            "hostNetwork" => match spec.host_network.unwrap_or_default() {
                own if item.value == own => Own::Same,
                true => Own::Other,
                false => Own::Unset,
            },
            "runtimeClassName" => text(spec.runtime_class_name.as_deref(), item, ""),
            "schedulerName" => text(spec.scheduler_name.as_deref(), item, "default-scheduler"),
            "serviceAccountName" => {
                let own = spec.service_account_name.as_ref().or(spec.service_account.as_ref());
                text(own.map(|own| &**own), item, "default")
            }
            "shareProcessNamespace" => flag(spec.share_process_namespace, item),
            "terminationGracePeriodSeconds" => match spec.termination_grace_period_seconds {
                Some(seconds) if item.value == seconds => Own::Same,
                None | Some(DEFAULT_GRACE_SECONDS) => Own::Unset,
                Some(_) => Own::Other,
            },
            // Rules of their own.
            _ => continue,
        };
        match own {
            Own::Unset => set_pod_field(merge, item),
            Own::Same => merge.note(Action::Unchanged, "", item),
            Own::Other => merge.differs(&item.key, "", item)?,
        }
    }
    Ok(())
}

/// `terminationGracePeriodSeconds` of a pod that does not say.
const DEFAULT_GRACE_SECONDS: i64 = 30;

fn text(own: Option<&str>, item: &Item, default: &str) -> Own {
    match own {
        Some(own) if own == item.text() => Own::Same,
        None => Own::Unset,
        Some(own) if own.is_empty() || own == default => Own::Unset,
        Some(_) => Own::Other,
    }
}

fn flag(own: Option<bool>, item: &Item) -> Own {
    match own {
        Some(own) if item.value == own => Own::Same,
        None => Own::Unset,
        Some(_) => Own::Other,
    }
}

fn set_pod_field<'a>(merge: &mut Merge<'a>, item: &'a Item) {
    merge.patch.add(Pointer::new("/spec").key(&item.key), &item.json);
    merge.note(Action::Added, "", item);
    if item.key == "serviceAccountName" && merge.target.spec.service_account.is_some() {
        // The deprecated alias, which Spark writes too, must say the same.
        merge.patch.add("/spec/serviceAccount", &item.json);
    }
    let says_policy = merge.plan.overlay.scalars.get("dnsPolicy").is_some();
    let own_policy = merge.target.spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    if item.key == "hostNetwork" && item.value == true && !says_policy && own_policy == "ClusterFirst" {
        // With ClusterFirst a pod on its node's network resolves no name of the cluster.
        let policy = "\"ClusterFirstWithHostNet\"";
        merge.patch.add("/spec/dnsPolicy", policy);
        merge.note_value(Action::Added, "dnsPolicy", "", policy, &item.origin);
    }
}

pub(super) fn spark_container(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let overlay = &merge.plan.overlay;
    let target = merge.target;
    let spark = &target.spark_path;
    let lifecycle = Fields { kind: Kind::Plain, enforced_as: "lifecycle", field: "lifecycle" };
    lifecycle.set(merge, spark.key("lifecycle"), &overlay.spark.lifecycle, target.spark.lifecycle)?;
    let ports = merge.target.spark.ports;
    append_unequal(merge, spark.key("ports"), &overlay.spark.ports, ports, List("port", PORT_KEY));
    resources::resources(merge)
}

/// A map of which each field is set where unset.
pub(super) struct Fields {
    pub(super) kind: Kind,
    pub(super) enforced_as: &'static str,
    pub(super) field: &'static str,
}

impl Fields {
    fn set<'a>(
        &self,
        merge: &mut Merge<'a>,
        path: Pointer<'a>,
        wanted: &'a Keyed,
        present: Option<&RawValue>,
    ) -> Result<(), Denial> {
        if wanted.is_empty() {
            return Ok(());
        }
        let known = value_of(present);
        self.set_in(merge, MapEdit::new(path, known.is_object()), wanted.iter(), &known)
    }

    pub(super) fn set_in<'a>(
        &self,
        merge: &mut Merge<'a>,
        mut edit: MapEdit<'_>,
        wanted: impl Iterator<Item = &'a Item>,
        known: &Value,
    ) -> Result<(), Denial> {
        for item in wanted {
            match known.get(&item.key).filter(|value| !value.is_null()) {
                // The API server does not write an empty list back: it would be set at every call.
                None if item.value.as_array().is_some_and(Vec::is_empty) => {
                    merge.note(Action::Unchanged, self.field, item);
                }
                None => {
                    edit.set(&mut merge.patch, &item.key, &item.json);
                    merge.note(Action::Added, self.field, item);
                }
                Some(value) if same(self.kind, &item.value, value) => {
                    merge.note(Action::Unchanged, self.field, item);
                }
                Some(_) => merge.differs(self.enforced_as, self.field, item)?,
            }
        }
        edit.finish(&mut merge.patch);
        Ok(())
    }
}
