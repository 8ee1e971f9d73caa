//! Environment of the Spark container: added where absent, order kept. The role variable is authoritative.

use super::lists::{List, append_unequal};
use super::{Action, Denial, Merge};
use crate::admit::equal::{Kind, same};
use crate::admit::plan::Item;
use crate::admit::pod::{EnvVar, value_of};
use crate::api::Role;

pub(super) fn env(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let plan = merge.plan;
    let own = merge.target.spark.env.as_deref().unwrap_or_default();
    let role_name = plan.role_variable.as_ref().map(|item| item.key.as_str());
    for item in plan.overlay.spark.env.iter().filter(|item| Some(item.key.as_str()) != role_name) {
        // Of several entries the last one counts in the container.
        match own.iter().rfind(|variable| is_named(variable, &item.key)) {
            None => {
                merge.env.push(&mut merge.patch, &item.json);
                merge.note(Action::Added, "env", item);
            }
            Some(variable) if is_equal(variable, item) => merge.note(Action::Unchanged, "env", item),
            Some(_) => merge.differs("env", "env", item)?,
        }
    }
    if let Some(item) = &plan.role_variable {
        refuse_many(merge, item)?;
        match plan.role {
            Role::Executor => set_role(merge, item),
            Role::Driver => unset_role(merge, item),
        }
    }
    let path = merge.target.spark_path.key("envFrom");
    let present = merge.target.spark.env_from;
    append_unequal(merge, path, &plan.overlay.spark.env_from, present, List("envFrom", &[]));
    Ok(())
}

pub(super) fn is_named(variable: &EnvVar<'_>, name: &str) -> bool {
    variable.name.as_deref() == Some(name)
}

fn is_equal(variable: &EnvVar<'_>, item: &Item) -> bool {
    match item.value.get("valueFrom") {
        Some(wanted) => same(Kind::Plain, wanted, &value_of(variable.value_from)),
        None => variable.value_from.is_none() && value_text(variable) == item_text(item),
    }
}

fn value_text<'v>(variable: &'v EnvVar<'_>) -> &'v str {
    variable.value.as_deref().unwrap_or_default()
}

fn item_text(item: &Item) -> &str {
    item.value.get("value").and_then(serde_json::Value::as_str).unwrap_or_default()
}

/// How often a pod may bring the role variable. Each entry takes an operation, and for each that removes one the API server
/// copies the list: a pod of 130,000 entries would keep it busy for half a minute.
const MAX_ROLE_ENTRIES: usize = 16;

fn refuse_many(merge: &Merge<'_>, item: &Item) -> Result<(), Denial> {
    let own = merge.target.spark.env.as_deref().unwrap_or_default();
    let entries = own.iter().filter(|variable| is_named(variable, &item.key)).count();
    if entries <= MAX_ROLE_ENTRIES {
        return Ok(());
    }
    Err(Denial::unprocessable(
        "role_variable_repeated",
        format!(
            "the environment variable {}, which profile {} sets ({}), stands {entries} times in the Spark container, and may stand {MAX_ROLE_ENTRIES} times; leave it out of the pod",
            item.key, merge.plan.profile, item.origin
        ),
    ))
}

/// Every entry of that name is ours: of several, the last one wins in the container.
fn set_role<'a>(merge: &mut Merge<'a>, item: &'a Item) {
    let own = merge.target.spark.env.as_deref().unwrap_or_default();
    let path = merge.target.spark_path.key("env");
    let mut action = Action::Added;
    for (index, variable) in own.iter().enumerate().filter(|(_, variable)| is_named(variable, &item.key)) {
        if is_equal(variable, item) {
            action = if action == Action::Replaced { action } else { Action::Unchanged };
        } else {
            merge.patch.replace(path.index(index), &item.json);
            action = Action::Replaced;
        }
    }
    if action == Action::Added {
        merge.env.push(&mut merge.patch, &item.json);
    }
    merge.note(action, "env", item);
}

/// A driver that says it is an executor would act as one.
fn unset_role<'a>(merge: &mut Merge<'a>, item: &'a Item) {
    let own = merge.target.spark.env.as_deref().unwrap_or_default();
    let path = merge.target.spark_path.key("env");
    // From the last one, so that the indexes of the others stay.
    for (index, variable) in own.iter().enumerate().rev() {
        if is_named(variable, &item.key) {
            merge.patch.remove(path.index(index));
            merge.note(Action::Removed, "env", item);
        }
    }
}
