//! What the API server's answer to a canary means: it is compared with what the engine says of the same pod.

use serde_json::Value;

use super::canary::Canary;
use super::finding::Finding;
use super::installed::{list, text};
use super::served::Served;
use super::trouble;
use crate::admit::{self, Outcome};
use crate::api::Mode;
use crate::api::names::{BACKSTOP_LABEL, INIT_CONTAINER, STATUS_ANNOTATION};
use crate::cli::judge;
use crate::cluster::ask::Reply;

/// Before the name of the webhook that refused, and before the sentence.
const DENIED_BY: &str = "admission webhook \"";
const DENIED: &str = "denied the request: ";

/// A canary that was asked for.
pub(super) struct Asked<'a> {
    pub(super) served: &'a Served,
    pub(super) namespace: &'a str,
    pub(super) canary: Canary,
    /// Image that the init container has to have, where somebody says so.
    pub(super) init_image: Option<&'a str>,
    /// As it was sent.
    pub(super) pod: &'a Value,
}

impl Asked<'_> {
    /// Judges the API server's answer.
    pub(super) fn judge(&self, reply: &Reply) -> Finding {
        match reply.status {
            201 => self.stored(reply),
            _ => self.refused(reply),
        }
    }

    fn passed(&self, detail: impl Into<String>) -> Finding {
        Finding::passed(self.canary.check(), self.namespace, detail)
    }

    fn failed(&self, detail: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding::failed(self.canary.check(), self.namespace, detail, remedy)
    }

    fn mode(&self) -> Mode {
        self.served.catalog.namespace(self.namespace).map(|entry| entry.mode).unwrap_or_default()
    }

    fn refused(&self, reply: &Reply) -> Finding {
        let message = reply.message();
        let is_ours = message.contains(".spark-injector.io\"");
        if message.contains("failed calling webhook") && is_ours {
            let (matter, remedy) = trouble::explain(message);
            return self.failed(format!("{matter}: {}", cause(message)), remedy);
        }
        if message.starts_with(DENIED_BY) && is_ours {
            let sentence = message.split_once(DENIED).map_or(message, |(_, sentence)| sentence);
            return self.failed(format!("refused: {sentence}"), "do as the sentence says");
        }
        if message.contains("ValidatingAdmissionPolicy 'spark-injector-") {
            return self.stopped();
        }
        if reply.status == 403 && message.contains("cannot create resource") {
            return self.failed(
                "whoever runs this check may not create pods here",
                "bind the ClusterRole spark-injector-check to it; nothing is stored, all of it is a dry run",
            );
        }
        let detail = format!("refused by somebody else (HTTP status {}): {message}", reply.status);
        Finding::skipped(self.canary.check(), self.namespace, detail)
    }

    /// By a policy, which looks at pods after the injector has.
    fn stopped(&self) -> Finding {
        match self.mode() {
            Mode::Enforce => self.failed(
                "refused by a backstop: the API server did not ask the injector",
                "see what this table says about the configuration; then ask again",
            ),
            mode => self.failed(
                format!("refused by a backstop: its profile is in mode {mode:?} and changes no pod"),
                format!("kubectl label namespace {} {BACKSTOP_LABEL}=disabled", self.namespace),
            ),
        }
    }

    fn stored(&self, reply: &Reply) -> Finding {
        let annotations = reply.body.pointer("/metadata/annotations");
        let status = annotations.and_then(|all| all.get(STATUS_ANNOTATION)).and_then(Value::as_str);
        let Some(status) = status else {
            return self.unseen(reply);
        };
        if self.mode() == Mode::Off {
            let detail = "mode Off, and yet the pod was changed";
            return self.failed(detail, "a replica is behind: look at their logs");
        }
        let status: Value = serde_json::from_str(status).unwrap_or_default();
        let profile = self.served.catalog.profile_of(self.namespace).unwrap_or_default();
        let mut wrong = Vec::new();
        if text(&status, "profile") != profile {
            wrong.push(format!("served by profile {:?}, and not by {profile}", text(&status, "profile")));
        }
        if text(&status, "role") != self.canary.role() {
            wrong.push(format!("taken for role {:?}", text(&status, "role")));
        }
        let mut note = String::new();
        if self.canary != Canary::Plain {
            match self.revision(profile, text(&status, "revision")) {
                Ok(remark) => note = remark,
                Err(problem) => wrong.push(problem),
            }
            wrong.extend(self.init_container(profile, &reply.body));
        }
        // Until the files of a new revision are delivered, pods are given the whole of an older one.
        let newest = self.served.status(profile).revision;
        if self.canary == Canary::Plain || newest.is_none_or(|newest| newest == text(&status, "revision")) {
            wrong.extend(self.lacking(&reply.body));
        }
        if wrong.is_empty() {
            let what = if self.canary == Canary::Plain { "isolated" } else { "injected" };
            return self.passed(format!("{what} by profile {profile}{note}"));
        }
        self.failed(
            wrong.join("; "),
            "a replica is behind, or another webhook takes away what was added: look at the injector's log and the other webhooks",
        )
    }

    /// Without an annotation the injector was not asked, or left the pod alone.
    fn unseen(&self, reply: &Reply) -> Finding {
        let audited = reply.warnings.iter().find(|warning| warning.contains("is in mode Audit"));
        match (self.mode(), audited) {
            (Mode::Off, _) => self.passed("left alone: its profile is in mode Off"),
            (Mode::Audit, Some(warning)) => self.passed(warning.clone()),
            _ => self.failed(
                "not injected: the API server did not ask the injector, or went on without its answer",
                "see what this table says about the configuration: whom it selects, and failurePolicy",
            ),
        }
    }

    /// Whether a revision is one that pods may be given, and what is to be said about it.
    fn revision(&self, profile: &str, given: &str) -> Result<String, String> {
        let status = self.served.status(profile);
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

    fn init_container(&self, profile: &str, found: &Value) -> Option<String> {
        if !self.served.gives_files(profile, self.canary.role()) {
            return None;
        }
        let is_ours = |container: &&Value| text(container, "name") == INIT_CONTAINER;
        let Some(ours) = list(found, "/spec/initContainers").iter().find(is_ours) else {
            return Some(format!("no init container {INIT_CONTAINER}, although the profile gives files"));
        };
        let is_manifest = |variable: &Value| text(variable, "name") == init_sync::MANIFEST_VARIABLE;
        if !list(ours, "/env").iter().any(is_manifest) {
            return Some(format!("{INIT_CONTAINER} has no manifest"));
        }
        let image = text(ours, "image");
        self.init_image
            .filter(|wanted| *wanted != image)
            .map(|wanted| format!("{INIT_CONTAINER} has image {image}, and not {wanted}"))
    }

    /// What the engine would have added, files aside, and is not there.
    fn lacking(&self, found: &Value) -> Option<String> {
        let admitted = match self.canary {
            Canary::Plain => admit::judge_isolation,
            Canary::Driver | Canary::Executor => admit::judge,
        };
        let verdict = admitted(&self.served.catalog, self.namespace, self.pod);
        if !matches!(verdict.record.outcome, Outcome::Injected | Outcome::Isolated) {
            return None;
        }
        let mut expected = self.pod.clone();
        judge::apply(&mut expected, verdict.patch.as_array()?).ok()?;
        let selector = |pod: &Value| pod.pointer("/spec/nodeSelector").and_then(Value::as_object).cloned();
        let there = selector(found).unwrap_or_default();
        for (key, value) in selector(&expected).unwrap_or_default() {
            if there.get(&key) != Some(&value) {
                return Some(format!("its node selector lacks {key}={}", value.as_str().unwrap_or_default()));
            }
        }
        let missing =
            self.variables(&expected).find(|name| !self.variables(found).any(|there| there == *name));
        missing.map(|name| format!("it lacks the variable {name}"))
    }

    /// Of the canary's own container: other webhooks put theirs before it.
    fn variables<'p>(&self, pod: &'p Value) -> impl Iterator<Item = &'p str> {
        let own = self.pod.pointer("/spec/containers/0/name");
        let containers = list(pod, "/spec/containers").iter().filter(move |found| found.get("name") == own);
        containers.flat_map(|found| list(found, "/env")).map(|variable| text(variable, "name"))
    }
}

/// The last part of a chain of causes says what happened.
fn cause(message: &str) -> &str {
    message.split_once("failed to call webhook: ").map_or(message, |(_, cause)| cause)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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

    fn asked(served: &Served, canary: Canary, reply: &Reply) -> Finding {
        let pod = canary.pod("team-a", false);
        Asked { served, namespace: "team-a", canary, init_image: None, pod: &pod }.judge(reply)
    }

    fn judged(canary: Canary, status: u16, body: Value) -> Finding {
        let reply = Reply { status, body, warnings: Vec::new() };
        asked(&served(&spec(&json!({}))), canary, &reply)
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
    fn a_sidecar_before_the_container_of_spark_is_no_mistake() {
        let mut body = answer(Canary::Executor);
        let containers = body["spec"]["containers"].as_array_mut().unwrap();
        containers.insert(0, json!({"name": "istio-proxy", "env": [{"name": "POD_NAME", "value": "p"}]}));
        let finding = judged(Canary::Executor, 201, body);
        assert_eq!(finding.verdict, Verdict::Passed, "{finding:?}");
    }

    #[test]
    fn what_comes_with_a_revision_is_not_asked_for_before() {
        let mut body = answer(Canary::Executor);
        let status = r#"{"profile":"team-a","revision":"r1","role":"executor"}"#;
        body["metadata"]["annotations"] = json!({STATUS_ANNOTATION: status});
        body["spec"]["containers"][0]["env"] = json!([]);
        let finding = judged(Canary::Executor, 201, body);
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
            asked(&served, Canary::Driver, &reply).verdict
        };
        assert_eq!(of("Off", &[]), Verdict::Passed);
        assert_eq!(of("Audit", &["profile team-a is in mode Audit: nothing was injected"]), Verdict::Passed);
        assert_eq!(of("Audit", &[]), Verdict::Failed);
        let message =
            "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'spark-injector-isolation' with binding";
        let reply = Reply { status: 403, body: json!({"message": message}), warnings: Vec::new() };
        let served = served(&spec(&json!({"mode": "Audit"})));
        let found = asked(&served, Canary::Plain, &reply);
        assert!(found.detail.contains("mode Audit"), "{found:?}");
        assert_eq!(found.remedy, "kubectl label namespace team-a spark-injector.io/backstop=disabled");
    }
}
