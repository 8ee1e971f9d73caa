//! Pods that are created and never stored: the API server is asked for a dry run, and its answer is compared with what
//! the engine says.

use serde_json::{Value, json};

use super::finding::Finding;
use super::installed::{list, text};
use super::served::Served;
use super::trouble;
use crate::admit::{self, Outcome};
use crate::api::Mode;
use crate::api::names::{BACKSTOP_LABEL, INIT_CONTAINER, SPARK_ROLE_LABEL, STATUS_ANNOTATION};
use crate::cli::judge;
use crate::cluster::ask::{Api, Reply};

/// Which pod is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Canary {
    Driver,
    Executor,
    /// A pod that is not Spark's, in an isolated namespace.
    Plain,
}

impl Canary {
    fn check(self) -> &'static str {
        match self {
            Self::Driver => "canary_driver",
            Self::Executor => "canary_executor",
            Self::Plain => "canary_pod",
        }
    }

    fn role(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Executor => "executor",
            Self::Plain => "",
        }
    }

    /// As Spark makes it, and small enough for every quota that leaves any room.
    fn pod(self, namespace: &str, restricted: bool) -> Value {
        const APP: &str = "spark-injector-check";
        let spark =
            json!({ SPARK_ROLE_LABEL: self.role(), "spark-app-selector": APP, "spark-app-name": APP });
        let (labels, container, args) = match self {
            Self::Driver => (
                spark,
                "spark-kubernetes-driver",
                json!(["driver", "--class", "org.apache.spark.examples.SparkPi"]),
            ),
            Self::Executor => (spark, "spark-kubernetes-executor", json!(["executor"])),
            Self::Plain => (json!({ "app.kubernetes.io/name": APP }), "main", json!([])),
        };
        let (of_pod, of_container) = if restricted {
            (
                json!({ "runAsNonRoot": true, "runAsUser": 185, "seccompProfile": { "type": "RuntimeDefault" } }),
                json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } }),
            )
        } else {
            (json!({}), json!({}))
        };
        let amounts = json!({ "cpu": "10m", "memory": "64Mi" });
        let name = format!("{APP}-{}", self.check().replace('_', "-"));
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": name, "namespace": namespace, "labels": labels },
            "spec": {
                "restartPolicy": "Never",
                "securityContext": of_pod,
                "containers": [{
                    "name": container, "image": "spark-injector/check", "args": args, "securityContext": of_container,
                    "resources": { "requests": amounts, "limits": amounts },
                }],
            },
        })
    }
}

/// Asks the API server for a canary, and judges its answer.
pub(super) async fn ask(
    api: &Api,
    served: &Served,
    namespace: &str,
    canary: Canary,
    init_image: Option<&str>,
) -> Finding {
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldManager=spark-injector-check");
    let mut pod = canary.pod(namespace, false);
    let mut answered = api.post(&path, &pod).await;
    if answered.as_ref().is_ok_and(|reply| reply.message().contains("violates PodSecurity")) {
        // The injector was asked before; what users set in such a namespace is not its matter.
        pod = canary.pod(namespace, true);
        answered = api.post(&path, &pod).await;
    }
    match answered {
        Ok(reply) => judge(served, namespace, canary, init_image, &pod, &reply),
        Err(why) => Finding::failed(canary.check(), namespace, why, "let this command reach the API server"),
    }
}

/// Judges the API server's answer.
fn judge(
    served: &Served,
    namespace: &str,
    canary: Canary,
    init_image: Option<&str>,
    pod: &Value,
    reply: &Reply,
) -> Finding {
    match reply.status {
        201 => stored(served, namespace, canary, init_image, pod, reply),
        _ => refused(namespace, canary, served.mode(namespace), reply),
    }
}

/// Before the name of the webhook that refused, and before the sentence.
const DENIED_BY: &str = "admission webhook \"";
const DENIED: &str = "denied the request: ";

fn refused(namespace: &str, canary: Canary, mode: Mode, reply: &Reply) -> Finding {
    let (check, message) = (canary.check(), reply.message());
    let is_ours = message.contains(".spark-injector.io\"");
    if message.contains("failed calling webhook") && is_ours {
        let (matter, remedy) = trouble::explain(message);
        return Finding::failed(check, namespace, format!("{matter}: {}", cause(message)), remedy);
    }
    if message.starts_with(DENIED_BY) && is_ours {
        let sentence = message.split_once(DENIED).map_or(message, |(_, sentence)| sentence);
        return Finding::failed(check, namespace, format!("refused: {sentence}"), "do as the sentence says");
    }
    if message.contains("ValidatingAdmissionPolicy 'spark-injector-") {
        return match mode {
            Mode::Enforce => Finding::failed(
                check,
                namespace,
                "refused by a backstop: the API server did not ask the injector",
                "see what this table says about the configuration; then ask again",
            ),
            mode => Finding::failed(
                check,
                namespace,
                format!("refused by a backstop: its profile is in mode {mode:?} and changes no pod"),
                format!("kubectl label namespace {namespace} {BACKSTOP_LABEL}=disabled"),
            ),
        };
    }
    if reply.status == 403 && message.contains("cannot create resource") {
        return Finding::failed(
            check,
            namespace,
            "whoever runs this check may not create pods here",
            "bind the ClusterRole spark-injector-check to it; nothing is stored, all of it is a dry run",
        );
    }
    let detail = format!("refused by somebody else (HTTP status {}): {message}", reply.status);
    Finding::skipped(check, namespace, detail)
}

/// The last part of a chain of causes says what happened.
fn cause(message: &str) -> &str {
    message.split_once("failed to call webhook: ").map_or(message, |(_, cause)| cause)
}

fn stored(
    served: &Served,
    namespace: &str,
    canary: Canary,
    init_image: Option<&str>,
    pod: &Value,
    reply: &Reply,
) -> Finding {
    let check = canary.check();
    let mode = served.mode(namespace);
    let found = reply.body.pointer("/metadata/annotations").and_then(|all| all.get(STATUS_ANNOTATION));
    let Some(status) = found.and_then(Value::as_str) else {
        return unseen(namespace, check, mode, reply);
    };
    if mode == Mode::Off {
        let detail = "mode Off, and yet the pod was changed";
        return Finding::failed(check, namespace, detail, "a replica is behind: look at their logs");
    }
    let status: Value = serde_json::from_str(status).unwrap_or_default();
    let text = |field: &str| text(&status, field);
    let profile = served.catalog.profile_of(namespace).unwrap_or_default();
    let mut wrong = Vec::new();
    if text("profile") != profile {
        wrong.push(format!("served by profile {:?}, and not by {profile}", text("profile")));
    }
    if text("role") != canary.role() {
        wrong.push(format!("taken for role {:?}", text("role")));
    }
    let mut note = String::new();
    if canary != Canary::Plain {
        match revision(served, profile, text("revision")) {
            Ok(remark) => note = remark,
            Err(problem) => wrong.push(problem),
        }
        wrong.extend(init_container(served, profile, canary, init_image, &reply.body));
    }
    wrong.extend(lacking(served, namespace, canary, pod, &reply.body));
    if wrong.is_empty() {
        let what = if canary == Canary::Plain { "isolated" } else { "injected" };
        return Finding::passed(check, namespace, format!("{what} by profile {profile}{note}"));
    }
    Finding::failed(
        check,
        namespace,
        wrong.join("; "),
        "a replica is behind, or another webhook takes away what was added: look at the injector's log and the other webhooks",
    )
}

/// Without an annotation the injector was not asked, or left the pod alone.
fn unseen(namespace: &str, check: &'static str, mode: Mode, reply: &Reply) -> Finding {
    if mode == Mode::Off {
        return Finding::passed(check, namespace, "left alone: its profile is in mode Off");
    }
    let audited = reply.warnings.iter().find(|warning| warning.contains("is in mode Audit"));
    if let (Mode::Audit, Some(warning)) = (mode, audited) {
        return Finding::passed(check, namespace, warning.clone());
    }
    Finding::failed(
        check,
        namespace,
        "not injected: the API server did not ask the injector, or went on without its answer",
        "see what this table says about the configuration: whom it selects, and failurePolicy",
    )
}

/// Whether a revision is one that pods may be given, and what is to be said about it.
fn revision(served: &Served, profile: &str, given: &str) -> Result<String, String> {
    let status = served.status(profile);
    let is = |known: &Option<String>| known.as_deref() == Some(given);
    let superseded = status.superseded.iter().any(|old| old.revision == given);
    match &status.revision {
        None => Ok(String::new()),
        Some(_) if is(&status.revision) => Ok(format!(", revision {given}")),
        Some(newest) if is(&status.delivered_revision) || superseded => {
            Ok(format!(", revision {given}; {newest} follows once it is delivered"))
        }
        Some(newest) => Err(format!("given revision {given}, and the profile is at {newest}")),
    }
}

fn init_container(
    served: &Served,
    profile: &str,
    canary: Canary,
    image: Option<&str>,
    pod: &Value,
) -> Option<String> {
    if !served.gives_files(profile, canary.role()) {
        return None;
    }
    let containers = pod.pointer("/spec/initContainers").and_then(Value::as_array);
    let Some(ours) =
        containers.into_iter().flatten().find(|container| text(container, "name") == INIT_CONTAINER)
    else {
        return Some(format!("no init container {INIT_CONTAINER}, although the profile gives files"));
    };
    let has_manifest =
        list(ours, "/env").iter().any(|variable| text(variable, "name") == init_sync::MANIFEST_VARIABLE);
    if !has_manifest {
        return Some(format!("{INIT_CONTAINER} has no manifest"));
    }
    let found = text(ours, "image");
    image
        .filter(|image| *image != found)
        .map(|image| format!("{INIT_CONTAINER} has image {found}, and not {image}"))
}

/// What the engine would have added, files aside, and is not there.
fn lacking(served: &Served, namespace: &str, canary: Canary, pod: &Value, found: &Value) -> Option<String> {
    let verdict = match canary {
        Canary::Plain => admit::judge_isolation(&served.catalog, namespace, pod),
        Canary::Driver | Canary::Executor => admit::judge(&served.catalog, namespace, pod),
    };
    if !matches!(verdict.record.outcome, Outcome::Injected | Outcome::Isolated) {
        return None;
    }
    let mut expected = pod.clone();
    judge::apply(&mut expected, verdict.patch.as_array()?).ok()?;
    let selector = expected.pointer("/spec/nodeSelector").and_then(Value::as_object).into_iter().flatten();
    for (key, value) in selector {
        if found.pointer("/spec/nodeSelector").and_then(|selector| selector.get(key)) != Some(value) {
            return Some(format!("its node selector lacks {key}={}", value.as_str().unwrap_or_default()));
        }
    }
    let variables = |pod: &Value| {
        let container = pod.pointer("/spec/containers/0/env").and_then(Value::as_array).cloned();
        container.unwrap_or_default()
    };
    let there = variables(found);
    let missing = variables(&expected)
        .into_iter()
        .find(|variable| !there.iter().any(|found| text(found, "name") == text(variable, "name")));
    missing.map(|variable| format!("it lacks the variable {}", text(&variable, "name")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::GROUP_VERSION;
    use crate::catalog::Settings;
    use crate::cli::check::finding::Verdict;

    fn served(spec: &Value) -> Served {
        let profile = json!({
            "apiVersion": GROUP_VERSION, "kind": "SparkProfile", "metadata": {"name": "team-a"}, "spec": spec,
            "status": {"revision": "r2", "deliveredRevision": "r1"},
        });
        let labels = json!({"spark-injector.io/inject": "enabled", "spark-injector.io/isolate": "enabled"});
        let namespace = json!({"metadata": {"name": "team-a", "labels": labels}});
        Served::new(vec![profile], &[namespace], &Settings::default())
    }

    fn spec(more: &Value) -> Value {
        let mut spec = json!({
            "namespaces": {"names": ["team-a"]}, "nodeSelector": {"default": {"pool": "a"}, "scope": "AllPods"},
            "executorRole": {"name": "IS_EXECUTOR", "value": "yes"}, "files": [{"mountPath": "/c", "inline": {"a": "b"}}],
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        spec
    }

    /// What the API server would have stored.
    fn answer(canary: Canary) -> Value {
        let mut pod = canary.pod("team-a", false);
        let status = match canary {
            Canary::Plain => json!({"profile": "team-a", "isolated": true}),
            _ => json!({"profile": "team-a", "revision": "r2", "role": canary.role()}),
        };
        pod["metadata"]["annotations"] = json!({STATUS_ANNOTATION: status.to_string()});
        pod["spec"]["nodeSelector"] = json!({"pool": "a"});
        pod["spec"]["initContainers"] = json!([{"name": INIT_CONTAINER, "image": "i", "env": [{"name": init_sync::MANIFEST_VARIABLE, "value": ""}]}]);
        if canary == Canary::Executor {
            pod["spec"]["containers"][0]["env"] = json!([{"name": "IS_EXECUTOR", "value": "yes"}]);
        }
        pod
    }

    fn judged(canary: Canary, status: u16, body: Value) -> Finding {
        let reply = Reply { status, body, warnings: Vec::new() };
        judge(&served(&spec(&json!({}))), "team-a", canary, None, &canary.pod("team-a", false), &reply)
    }

    #[test]
    fn a_pod_with_everything_passes() {
        for canary in [Canary::Driver, Canary::Executor, Canary::Plain] {
            let finding = judged(canary, 201, answer(canary));
            assert_eq!(finding.verdict, Verdict::Passed, "{finding:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let status = |text: &str| json!({STATUS_ANNOTATION: text});
        let annotations = |text: &str| ("/metadata/annotations".to_owned(), status(text));
        for (canary, (pointer, value), said) in [
            (Canary::Driver, ("/metadata/annotations".to_owned(), json!({})), "not injected"),
            (
                Canary::Driver,
                annotations(r#"{"profile":"other","revision":"r2","role":"driver"}"#),
                "profile \"other\"",
            ),
            (
                Canary::Driver,
                annotations(r#"{"profile":"team-a","revision":"r9","role":"driver"}"#),
                "given revision r9",
            ),
            (Canary::Driver, ("/spec/initContainers".to_owned(), json!([])), "no init container"),
            (Canary::Plain, ("/spec/nodeSelector".to_owned(), json!({})), "lacks pool=a"),
            (
                Canary::Executor,
                ("/spec/containers/0/env".to_owned(), json!([])),
                "lacks the variable IS_EXECUTOR",
            ),
        ] {
            let mut body = answer(canary);
            *body.pointer_mut(&pointer).unwrap() = value;
            let finding = judged(canary, 201, body);
            assert_eq!(finding.verdict, Verdict::Failed, "{said}");
            assert!(finding.detail.contains(said) && !finding.remedy.is_empty(), "{said} in {finding:?}");
        }
        // One that is still being delivered is no mistake.
        let mut body = answer(Canary::Driver);
        body["metadata"]["annotations"] = status(r#"{"profile":"team-a","revision":"r1","role":"driver"}"#);
        let finding = judged(Canary::Driver, 201, body);
        assert!(finding.verdict == Verdict::Passed && finding.detail.contains("r2 follows"), "{finding:?}");
    }

    #[test]
    fn refusals_are_told_by_who_refused() {
        let said = |status: u16, message: &str| judged(Canary::Driver, status, json!({"message": message}));
        let ours = said(403, "admission webhook \"pods.spark-injector.io\" denied the request: do this");
        assert_eq!((ours.verdict, ours.detail.as_str()), (Verdict::Failed, "refused: do this"));
        let call = said(
            500,
            "Internal error occurred: failed calling webhook \"pods.spark-injector.io\": failed to call webhook: Post: connection refused",
        );
        assert!(call.verdict == Verdict::Failed && call.detail.starts_with("nobody listens"), "{call:?}");
        let backstop = said(
            403,
            "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'spark-injector-backstop' with binding",
        );
        assert!(
            backstop.verdict == Verdict::Failed && backstop.detail.contains("did not ask"),
            "{backstop:?}"
        );
        let rights =
            said(403, "pods is forbidden: User \"u\" cannot create resource \"pods\" in API group \"\"");
        assert!(
            rights.verdict == Verdict::Failed && rights.remedy.contains("spark-injector-check"),
            "{rights:?}"
        );
        assert_eq!(said(403, "exceeded quota: compute").verdict, Verdict::Skipped);
    }

    #[test]
    fn modes_are_respected() {
        let of = |mode: &str, warnings: &[&str]| {
            let served = served(&spec(&json!({"mode": mode})));
            let pod = Canary::Driver.pod("team-a", false);
            let warnings = warnings.iter().map(|warning| (*warning).to_owned()).collect();
            let reply = Reply { status: 201, body: pod.clone(), warnings };
            judge(&served, "team-a", Canary::Driver, None, &pod, &reply).verdict
        };
        assert_eq!(of("Off", &[]), Verdict::Passed);
        assert_eq!(of("Audit", &["profile team-a is in mode Audit: nothing was injected"]), Verdict::Passed);
        assert_eq!(of("Audit", &[]), Verdict::Failed);
        let message =
            "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'spark-injector-isolation' with binding";
        let reply = Reply { status: 403, body: json!({"message": message}), warnings: Vec::new() };
        let served = served(&spec(&json!({"mode": "Audit"})));
        let pod = Canary::Plain.pod("team-a", false);
        let found = judge(&served, "team-a", Canary::Plain, None, &pod, &reply);
        assert!(found.detail.contains("mode Audit"), "{found:?}");
        assert_eq!(found.remedy, "kubectl label namespace team-a spark-injector.io/backstop=disabled");
    }
}
