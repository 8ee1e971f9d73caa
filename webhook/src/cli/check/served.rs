//! Profiles and namespaces: who serves whom, and what the injector says of it. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::finding::Finding;
use super::installed::{list, text};
use crate::api::{GROUP_VERSION, Mode, SparkProfileStatus};
use crate::catalog::{Catalog, NamespaceInput, Service, Settings, Snapshot};
use crate::sources::collected::collect;

/// Profiles and namespaces as the API server has them, compiled without the files: those are the injector's to read.
pub(in crate::cli) struct Served {
    pub(in crate::cli) catalog: Catalog,
    pub(super) snapshot: Snapshot,
    pub(in crate::cli) profiles: BTreeMap<String, Value>,
}

impl Served {
    pub(in crate::cli) fn new(profiles: Vec<Value>, namespaces: &[Value], settings: &Settings) -> Self {
        let stripped: Vec<Value> = profiles.iter().map(without_files).collect();
        let documents = [
            json!({ "kind": "SparkProfileList", "apiVersion": GROUP_VERSION, "items": stripped }),
            json!({ "kind": "NamespaceList", "apiVersion": "v1", "items": namespaces }),
        ];
        let snapshot = collect(&documents, &settings.namespace).snapshot;
        let catalog = Catalog::compile(&snapshot, settings, None);
        let profiles = profiles.into_iter().map(|profile| (name(&profile).to_owned(), profile)).collect();
        Self { catalog, snapshot, profiles }
    }

    /// The namespaces that ask for something by a label, and are there to stay.
    pub(super) fn asking(&self, label: &str, only: &[String]) -> BTreeMap<&str, &BTreeMap<String, String>> {
        let asks = |input: &NamespaceInput| input.labels.get(label).is_some_and(|value| value == "enabled");
        let namespaces = self.snapshot.namespaces.iter().filter(|(name, input)| {
            asks(input) && !self.catalog.excludes(name) && (only.is_empty() || only.contains(name))
        });
        namespaces.map(|(name, input)| (name.as_str(), &input.labels)).collect()
    }

    /// What the injector says of a profile, as far as it can be read.
    pub(in crate::cli) fn status(&self, profile: &str) -> SparkProfileStatus {
        let status = self.profiles.get(profile).and_then(|profile| profile.get("status")).cloned();
        status.and_then(|status| serde_json::from_value(status).ok()).unwrap_or_default()
    }

    /// Whether the injector's callers prove who they are. That is in its flags: what it says of a profile shows it.
    pub(in crate::cli) fn authenticates(&self, profile: &str) -> bool {
        let conditions = self.profiles.get(profile).map(|profile| list(profile, "/status/conditions"));
        let ready =
            conditions.unwrap_or_default().iter().find(|condition| text(condition, "type") == "Ready");
        ready.is_some_and(|ready| {
            // Where another mistake is the reason, this one is in the message.
            !["reason", "message"].into_iter().any(|field| text(ready, field).contains("ClientAuthRequired"))
        })
    }

    /// Whether the profile, or one that it extends, gives files to a role.
    pub(super) fn gives_files(&self, profile: &str, role: &str) -> bool {
        self.closure(profile).iter().any(|profile| {
            list(profile, "/spec/files").iter().any(|entry| {
                match entry.get("roles").and_then(Value::as_array) {
                    Some(roles) => roles.iter().any(|known| known == role),
                    None => role == "driver" || entry.get("secret").is_none(),
                }
            })
        })
    }

    /// A profile with all that it extends.
    pub(in crate::cli) fn closure(&self, profile: &str) -> Vec<&Value> {
        let (mut open, mut seen) = (vec![profile.to_owned()], Vec::new());
        let mut found = Vec::new();
        while let Some(next) = open.pop() {
            let Some(profile) = self.profiles.get(&next).filter(|_| !seen.contains(&next)) else { continue };
            seen.push(next);
            found.push(profile);
            let bases = list(profile, "/spec/extends").iter().filter_map(Value::as_str);
            open.extend(bases.map(str::to_owned));
        }
        found
    }
}

/// Files and what is secret are the injector's to read.
pub(in crate::cli) fn without_files(profile: &Value) -> Value {
    let mut profile = profile.clone();
    if let Some(spec) = profile.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("files");
        spec.remove("pullSecret");
    }
    profile
}

pub(in crate::cli) fn name(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

/// Whether a namespace is served, and its annotation can be read.
pub(super) fn namespace(served: &Served, namespace: &str) -> Finding {
    const CHECK: &str = "namespace";
    let Some(entry) = served.catalog.namespace(namespace) else {
        return Finding::failed(
            CHECK,
            namespace,
            "there is no such namespace",
            "correct --namespace, or create it",
        );
    };
    if served.catalog.excludes(namespace) {
        return Finding::failed(
            CHECK,
            namespace,
            "never injected, whatever its labels: the cluster or the injector itself depends on its pods",
            "let Spark run in another namespace",
        );
    }
    if !entry.opted_in && !entry.isolated {
        return Finding::failed(
            CHECK,
            namespace,
            "neither opted in nor isolated",
            format!("kubectl label namespace {namespace} spark-injector.io/inject=enabled"),
        );
    }
    if let Err(problem) = &entry.selector.selector {
        let detail = format!("{} is malformed: {problem}", entry.selector.origin);
        return Finding::failed(CHECK, namespace, detail, "write key=value pairs separated by commas");
    }
    match entry.service {
        Service::None => Finding::failed(
            CHECK,
            namespace,
            "no SparkProfile serves it",
            "name it in spec.namespaces of one, or remove its label",
        ),
        Service::Broken { profile, problem } => Finding::failed(
            CHECK,
            namespace,
            format!("profile {profile}, which serves it, has an error: {problem}"),
            "correct the profile",
        ),
        Service::Profile(profile) => {
            let gap = served
                .catalog
                .warnings()
                .into_iter()
                .find(|gap| gap.subject == format!("Namespace {namespace}"));
            if let Some(gap) = gap {
                let remedy = "let label and spec.nodeSelector of the profile say the same";
                return Finding::failed(CHECK, namespace, gap.message, remedy);
            }
            let isolated = if served.catalog.isolates(namespace) { ", isolated" } else { "" };
            let mode = match entry.mode {
                Mode::Enforce => String::new(),
                mode => format!(", mode {mode:?}"),
            };
            Finding::passed(CHECK, namespace, format!("served by profile {}{isolated}{mode}", profile.name))
        }
    }
}

/// What the injector says of a profile.
pub(super) fn profile(profile: &Value) -> [Finding; 2] {
    let name = name(profile);
    let conditions = list(profile, "/status/conditions");
    let condition = |kind: &str| conditions.iter().find(|condition| text(condition, "type") == kind);
    let said = |condition: &Value| format!("{}: {}", text(condition, "reason"), text(condition, "message"));
    let status = |kind: &str| condition(kind).map(|condition| text(condition, "status")).unwrap_or_default();
    let delivery = match (condition("Delivered"), status("Delivered")) {
        (Some(condition), "False") => Finding::failed(
            "delivery",
            name,
            said(condition),
            "the namespaces are named in its status: kubectl get sprof -o yaml",
        ),
        (Some(_), "True") => Finding::passed("delivery", name, delivered(profile)),
        (Some(condition), _) => Finding::skipped("delivery", name, said(condition)),
        (None, _) => Finding::skipped("delivery", name, "nothing is delivered"),
    };
    [readiness(profile, name, condition("Ready"), condition("Conflict"), &said), delivery]
}

fn readiness(
    profile: &Value,
    name: &str,
    ready: Option<&Value>,
    conflict: Option<&Value>,
    said: &impl Fn(&Value) -> String,
) -> Finding {
    const CHECK: &str = "profile";
    let Some(ready) = ready else {
        return Finding::failed(
            CHECK,
            name,
            "no injector has said anything of it",
            "see whether the injector runs and may patch sparkprofiles/status: its log says so",
        );
    };
    let is = |condition: &Value, status: &str| text(condition, "status") == status;
    if !is(ready, "True") {
        return Finding::failed(
            CHECK,
            name,
            said(ready),
            "correct the profile or its sources, as the message says",
        );
    }
    if let Some(conflict) = conflict.filter(|conflict| is(conflict, "True")) {
        return Finding::failed(
            CHECK,
            name,
            said(conflict),
            "leave the namespace out of one of the two profiles",
        );
    }
    let seen = profile.pointer("/status/observedGeneration").and_then(Value::as_i64);
    let now = profile.pointer("/metadata/generation").and_then(Value::as_i64);
    if seen != now {
        return Finding::failed(
            CHECK,
            name,
            "its last change has not been seen yet",
            "ask again in a moment; if it stays so, look into the log of the injector",
        );
    }
    let revision = profile.pointer("/status/revision").and_then(Value::as_str).unwrap_or("none");
    Finding::passed(CHECK, name, format!("Ready, revision {revision}"))
}

fn delivered(profile: &Value) -> String {
    let count = |field: &str| profile.pointer(&format!("/status/namespaces/{field}")).and_then(Value::as_i64);
    match (count("delivered"), count("served")) {
        (Some(delivered), Some(served)) => format!("in {delivered} of {served} namespaces"),
        _ => "in every namespace".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::finding::Verdict;

    fn with_conditions(conditions: &Value) -> Value {
        json!({"metadata": {"name": "a", "generation": 2}, "status": {"conditions": conditions, "observedGeneration": 2}})
    }

    #[test]
    fn conditions_are_what_the_injector_says() {
        let condition =
            |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "R", "message": "m"});
        let good = with_conditions(&json!([condition("Ready", "True"), condition("Delivered", "True")]));
        assert!(profile(&good).iter().all(|finding| finding.verdict == Verdict::Passed));
        let silent = &profile(&with_conditions(&json!([])))[0];
        assert!(silent.verdict == Verdict::Failed && silent.detail.contains("no injector"));
        for (conditions, at) in [
            (json!([condition("Ready", "False")]), 0),
            (json!([condition("Ready", "True"), condition("Conflict", "True")]), 0),
            (json!([condition("Ready", "True"), condition("Delivered", "False")]), 1),
        ] {
            let finding = &profile(&with_conditions(&conditions))[at];
            assert_eq!((finding.verdict, finding.detail.as_str()), (Verdict::Failed, "R: m"));
            assert!(!finding.remedy.is_empty());
        }
        let mut late = good;
        late["metadata"]["generation"] = 3.into();
        assert!(profile(&late)[0].detail.contains("not been seen"));
    }

    #[test]
    fn nobody_is_told_to_label_what_is_never_injected() {
        let namespaces = ["kube-system", "team-a"].map(|name| json!({"metadata": {"name": name}}));
        let served = Served::new(Vec::new(), &namespaces, &Settings::default());
        assert!(namespace(&served, "kube-system").detail.contains("never injected"));
        assert!(namespace(&served, "team-a").remedy.contains("kubectl label namespace team-a"));
    }

    #[test]
    fn what_the_injector_asks_of_its_callers_is_seen_by_what_it_says() {
        let says = |condition: Value| {
            let profile = json!({"apiVersion": GROUP_VERSION, "kind": "SparkProfile", "metadata": {"name": "a"},
                                 "status": {"conditions": [condition]}});
            Served::new(vec![profile], &[], &Settings::default()).authenticates("a")
        };
        let ready =
            |reason: &str, message: &str| json!({"type": "Ready", "reason": reason, "message": message});
        assert!(says(ready("Compiled", "")));
        assert!(!says(ready("ClientAuthRequired", "spec.delivery: …")));
        assert!(!says(ready("SourcesMissing", "no Secret x; spec.delivery: ClientAuthRequired: Env would")));
        assert!(!says(json!({"type": "Delivered"})), "nobody has said anything yet");
    }

    #[test]
    fn files_are_found_in_what_a_profile_extends() {
        let object = |name: &str, spec: Value| json!({"apiVersion": GROUP_VERSION, "kind": "SparkProfile", "metadata": {"name": name}, "spec": spec});
        let served = Served::new(
            vec![
                object(
                    "base",
                    json!({"extends": ["own"], "files": [{"mountPath": "/k", "secret": {"name": "s"}}]}),
                ),
                object("own", json!({"extends": ["base"]})),
            ],
            &[],
            &Settings::default(),
        );
        assert!(served.gives_files("own", "driver") && !served.gives_files("own", "executor"));
    }
}
