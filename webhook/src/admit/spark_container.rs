//! Which of the containers of a pod runs Spark.

use super::decision::Denial;
use super::plan::Plan;
use super::pod::{Container, Pod};
use crate::api::Role;

/// The Spark container. Never "the first one": with a pod template Spark appends its own last.
pub(super) fn find_spark_container(pod: &Pod<'_>, plan: &Plan) -> Result<usize, Denial> {
    let role = plan.role;
    let containers = pod.spec.as_ref().and_then(|spec| spec.containers.as_deref()).unwrap_or_default();
    let by_argument = |container: &Container<'_>| {
        let first = container.args.as_deref().and_then(<[_]>::first);
        first.is_some_and(|argument| is_role_argument(role, argument))
    };
    let by_name =
        |container: &Container<'_>| container.name.as_deref().is_some_and(|name| is_role_name(role, name));
    let candidates = indexes(containers, by_argument);
    match candidates.as_slice() {
        [index] => return Ok(*index),
        [] => {}
        [..] => {
            let named: Vec<usize> =
                candidates.into_iter().filter(|index| containers.get(*index).is_some_and(by_name)).collect();
            return only(&named, containers, role);
        }
    }
    match indexes(containers, by_name).as_slice() {
        [index] => Ok(*index),
        // The only one, but for the sidecars that we have added ourselves.
        [] => {
            let is_ours = |container: &Container<'_>| {
                container.name.as_deref().is_some_and(|name| plan.overlay.sidecars.get(name).is_some())
            };
            only(&indexes(containers, |container| !is_ours(container)), containers, role)
        }
        named => only(named, containers, role),
    }
}

/// First arguments by which the entry point of Spark's images tells a role; 2.4 has its own for Python and R.
fn is_role_argument(role: Role, argument: &str) -> bool {
    match role {
        Role::Driver => matches!(argument, "driver" | "driver-py" | "driver-r"),
        Role::Executor => argument == "executor",
    }
}

/// Names that Spark gives its container where no pod template names one; the last is 2.4's.
fn is_role_name(role: Role, name: &str) -> bool {
    match role {
        Role::Driver => name == "spark-kubernetes-driver",
        Role::Executor => matches!(name, "spark-kubernetes-executor" | "executor"),
    }
}

fn indexes(containers: &[Container<'_>], test: impl Fn(&Container<'_>) -> bool) -> Vec<usize> {
    containers.iter().enumerate().filter_map(|(index, container)| test(container).then_some(index)).collect()
}

fn only(candidates: &[usize], containers: &[Container<'_>], role: Role) -> Result<usize, Denial> {
    if let [index] = candidates {
        return Ok(*index);
    }
    let names: Vec<&str> = containers.iter().filter_map(|container| container.name.as_deref()).collect();
    Err(Denial::unprocessable(
        "spark_container_unknown",
        format!(
            "cannot tell which container runs Spark among {}; exactly one must have the first argument {} or be named spark-kubernetes-{}",
            if names.is_empty() { "none".to_owned() } else { names.join(", ") },
            role.as_str(),
            role.as_str()
        ),
    ))
}
