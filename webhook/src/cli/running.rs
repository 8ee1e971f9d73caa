//! Spark pods that run: which of them were injected, and with what.

use serde_json::{Value, json};

use super::check::served::Served;
use crate::api::names::{FILES_VOLUME, INIT_CONTAINER, NO_TOKEN_VOLUME, SPARK_ROLE_LABEL, STATUS_ANNOTATION};
use crate::catalog::Service;

/// The part of a path that lists the Spark pods of a namespace.
pub(super) const SPARK_PODS: &str = "labelSelector=spark-role%20in%20%28driver%2Cexecutor%29";

/// One pod, and how it was admitted.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Running {
    name: String,
    role: String,
    /// The revision that it was given, empty where there is none.
    revision: String,
    /// Whether it was given anything.
    injected: bool,
    /// Whether that is what a new pod would be given.
    current: bool,
    state: String,
}

/// What the pods of a namespace that have not ended were given, compared with what a new one would be.
pub(super) fn running(pods: &[Value], served: &Served, namespace: &str) -> Vec<Running> {
    let is_over = |pod: &&Value| {
        matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed"))
    };
    pods.iter().filter(|pod| !is_over(pod)).map(|pod| judge(pod, served, namespace)).collect()
}

fn judge(pod: &Value, served: &Served, namespace: &str) -> Running {
    let map =
        |field: &str, key: &str| pod.pointer(field).and_then(|map| map.get(key)).and_then(Value::as_str);
    let status = map("/metadata/annotations", STATUS_ANNOTATION);
    let status: Option<Value> = status.and_then(|status| serde_json::from_str(status).ok());
    let text = |field: &str| {
        let found = status.as_ref().and_then(|status| status.get(field)).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let (profile, revision) = (text("profile"), text("revision"));
    let serving = served.catalog.profile_of(namespace).unwrap_or_default();
    let known = served.status(serving);
    // Until its files are delivered, nothing of a new revision is given to pods.
    let is_settled = known.delivered_revision.is_none() || known.delivered_revision == known.revision;
    let newest = known.delivered_revision.or(known.revision).unwrap_or_default();
    let plan = match served.catalog.namespace(namespace).map(|entry| entry.service) {
        Some(Service::Profile(profile)) if is_settled => Some(profile.fingerprint.as_str()),
        _ => None,
    };
    let (current, state) = if status.is_none() {
        (false, "not injected".to_owned())
    } else if !text("skipped").is_empty() {
        (true, "opted out".to_owned())
    } else if profile != serving {
        (false, format!("injected by profile {profile}; the namespace is served by {serving} now"))
    } else if newest.is_empty() {
        (true, "injected; whether it is the newest revision cannot be told".to_owned())
    } else if revision != newest {
        (false, format!("old: the profile is at {newest}"))
    } else if plan.is_some_and(|plan| plan != text("plan")) {
        (false, "old: the profile has changed since, though its files have not".to_owned())
    } else {
        (true, "current".to_owned())
    };
    Running {
        name: map("/metadata", "name").unwrap_or_default().to_owned(),
        role: map("/metadata/labels", SPARK_ROLE_LABEL).unwrap_or_default().to_owned(),
        revision,
        injected: !profile.is_empty(),
        current,
        state,
    }
}

/// A table with a line for each pod.
pub(super) fn text(pods: &[Running]) -> String {
    if pods.is_empty() {
        return "no Spark pods run here\n".to_owned();
    }
    let width = |of: fn(&Running) -> &str| pods.iter().map(|pod| of(pod).len()).max().unwrap_or_default();
    let (name, revision) = (width(|pod| &pod.name), width(|pod| &pod.revision));
    let line = |pod: &Running| {
        format!("{:name$}  {:8}  {:revision$}  {}\n", pod.name, pod.role, pod.revision, pod.state)
    };
    let behind = pods.iter().filter(|pod| !pod.current).count();
    let table: String = pods.iter().map(line).collect();
    format!("{table}{} running, {behind} of them without injection or with an old one\n", pods.len())
}

/// The same for programs.
pub(super) fn json(pods: &[Running]) -> Value {
    let pods = pods.iter().map(|pod| {
        let Running { name, role, revision, injected: _, current, state } = pod;
        json!({ "pod": name, "role": role, "revision": revision, "current": current, "state": state })
    });
    pods.collect()
}

/// What has to be known before a pod is judged as if it were new.
pub(super) fn remarks(pod: &Running) -> Vec<String> {
    let table = text(std::slice::from_ref(pod));
    let mut remarks = vec![format!("now: {}", table.lines().next().unwrap_or_default())];
    if pod.injected && !pod.current {
        let kept = "what the profile added to it then counts below as its own; for a pod as spark-submit makes it, use --file";
        remarks.push(kept.to_owned());
    }
    remarks
}

/// A pod that exists, as its author may have written it: without what we have added, and without what the cluster has
/// said since.
pub(super) fn as_new(pod: &Value) -> Value {
    let mut pod = pod.clone();
    let is_ours = |item: &Value| {
        let name = item.get("name").and_then(Value::as_str);
        matches!(name, Some(INIT_CONTAINER | FILES_VOLUME | NO_TOKEN_VOLUME))
    };
    if let Some(object) = pod.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["managedFields", "resourceVersion", "uid", "creationTimestamp", "deletionTimestamp"] {
            metadata.remove(field);
        }
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.remove(STATUS_ANNOTATION);
        }
    }
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return pod };
    // The scheduler's word, and no longer the author's.
    spec.remove("nodeName");
    for field in ["initContainers", "volumes"] {
        if let Some(Value::Array(list)) = spec.get_mut(field) {
            list.retain(|item| !is_ours(item));
        }
    }
    for field in ["initContainers", "containers"] {
        for container in spec.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(Value::Array(mounts)) = container.get_mut("volumeMounts") {
                mounts.retain(|mount| !is_ours(mount));
            }
        }
    }
    pod
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::GROUP_VERSION;
    use crate::catalog::Settings;

    fn served() -> Served {
        let profile = json!({
            "apiVersion": GROUP_VERSION, "kind": "SparkProfile", "metadata": {"name": "team-a"},
            "spec": {"namespaces": {"names": ["team-a"]}}, "status": {"revision": "r3", "deliveredRevision": "r2"},
        });
        let labels = json!({"spark-injector.io/inject": "enabled"});
        Served::new(
            vec![profile],
            &[json!({"metadata": {"name": "team-a", "labels": labels}})],
            &Settings::default(),
        )
    }

    #[test]
    fn pods_without_injection_or_with_an_old_one_are_found() {
        let pod = |status: Option<&str>, phase: &str| {
            let mut pod = json!({"metadata": {"name": "p", "labels": {"spark-role": "driver"}}, "status": {"phase": phase}});
            if let Some(status) = status {
                pod["metadata"]["annotations"] = json!({STATUS_ANNOTATION: status});
            }
            pod
        };
        let pods = [
            pod(None, "Running"),
            pod(Some(r#"{"profile":"team-a","revision":"r2","role":"driver"}"#), "Pending"),
            pod(Some(r#"{"profile":"team-a","revision":"r1","role":"driver"}"#), "Running"),
            pod(Some(r#"{"profile":"team-b","revision":"r1","role":"driver"}"#), "Running"),
            pod(Some(r#"{"skipped":"opt_out"}"#), "Running"),
            pod(None, "Succeeded"),
        ];
        let found = running(&pods, &served(), "team-a");
        let states: Vec<(&str, bool)> = found.iter().map(|pod| (pod.state.as_str(), pod.current)).collect();
        let other = "injected by profile team-b; the namespace is served by team-a now";
        let expected = [
            ("not injected", false),
            ("current", true),
            ("old: the profile is at r2", false),
            (other, false),
            ("opted out", true),
        ];
        assert_eq!(states, expected);
        assert!(text(&found).ends_with("5 running, 3 of them without injection or with an old one\n"));
        assert_eq!(json(&found)[2]["revision"], "r1");
        assert_eq!(text(&[]), "no Spark pods run here\n");
    }

    #[test]
    fn a_pod_of_the_same_files_and_other_fields_is_an_old_one() {
        let labels = json!({"spark-injector.io/inject": "enabled"});
        let served = |spec: Value, status: Value| {
            let profile = json!({"apiVersion": GROUP_VERSION, "kind": "SparkProfile", "metadata": {"name": "team-a"},
                                 "spec": spec, "status": status});
            let namespace = json!({"metadata": {"name": "team-a", "labels": labels}});
            Served::new(vec![profile], &[namespace], &Settings::default())
        };
        let spec = |pool: &str| json!({"namespaces": {"names": ["team-a"]}, "nodeSelector": {"default": {"pool": pool}}});
        let before = served(spec("a"), json!({"revision": "r1"}));
        let plan = before.catalog.profiles().first().map(|profile| profile.fingerprint.clone()).unwrap();
        let status =
            json!({"profile": "team-a", "revision": "r1", "plan": plan, "role": "driver"}).to_string();
        let pod = json!({"metadata": {"name": "p", "annotations": {STATUS_ANNOTATION: status}}});
        let is_current = |served: &Served| running(std::slice::from_ref(&pod), served, "team-a")[0].current;
        assert!(is_current(&before));
        let changed = served(spec("b"), json!({"revision": "r1", "deliveredRevision": "r1"}));
        assert!(!is_current(&changed));
        let remarks = |served: &Served| remarks(&running(std::slice::from_ref(&pod), served, "team-a")[0]);
        assert_eq!(remarks(&before).len(), 1);
        let said = remarks(&changed).join("\n");
        assert!(said.contains("now: p") && said.contains("counts below as its own"), "{said}");
        let pending = json!({"revision": "r2", "deliveredRevision": "r1"});
        assert!(is_current(&served(spec("b"), pending)), "a new pod is given the same");
    }

    #[test]
    fn a_pod_that_exists_is_as_it_was_written() {
        let pod = json!({
            "metadata": {"name": "p", "uid": "u", "annotations": {STATUS_ANNOTATION: "{}", "own": "x"}},
            "spec": {
                "nodeName": "n", "initContainers": [{"name": INIT_CONTAINER}, {"name": "own"}],
                "volumes": [{"name": FILES_VOLUME}, {"name": "own"}],
                "containers": [{"name": "c", "volumeMounts": [{"name": FILES_VOLUME, "mountPath": "/f"}, {"name": "own", "mountPath": "/o"}]}],
            },
            "status": {"phase": "Running"},
        });
        let expected = json!({
            "metadata": {"name": "p", "annotations": {"own": "x"}},
            "spec": {
                "initContainers": [{"name": "own"}], "volumes": [{"name": "own"}],
                "containers": [{"name": "c", "volumeMounts": [{"name": "own", "mountPath": "/o"}]}],
            },
        });
        assert_eq!(as_new(&pod), expected);
    }
}
