//! Who may do what: whoever runs the check, and the injector's own account.

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::finding::Finding;
use crate::api::names::GROUP;
use crate::cluster::ask::Api;

/// Questions that are under way at once.
const AT_ONCE: usize = 8;

/// One thing that somebody may do or not.
#[derive(Clone, Copy, Debug)]
struct Right<'r> {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    sub_resource: &'static str,
    /// Empty for the whole cluster.
    namespace: &'r str,
    /// Empty for every name.
    name: &'r str,
}

impl Right<'_> {
    fn attributes(&self) -> Value {
        json!({
            "verb": self.verb, "group": self.group, "resource": self.resource, "subresource": self.sub_resource,
            "namespace": self.namespace, "name": self.name,
        })
    }

    /// `patch sparkprofiles/status`, `get secrets in spark-injector`.
    fn words(&self) -> String {
        let mut words = format!("{} {}", self.verb, self.resource);
        let namespace = if self.namespace == self.name { "" } else { self.namespace };
        for (before, part) in [("/", self.sub_resource), (" ", self.name), (" in ", namespace)] {
            if !part.is_empty() {
                words.push_str(before);
                words.push_str(part);
            }
        }
        words
    }
}

fn right<'r>(
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    namespace: &'r str,
    name: &'r str,
) -> Right<'r> {
    let (resource, sub_resource) = resource.split_once('/').unwrap_or((resource, ""));
    Right { verb, group, resource, sub_resource, namespace, name }
}

const VERSION: &str = "authorization.k8s.io/v1";
const ADMISSION: &str = "admissionregistration.k8s.io";
const CONFIGURATIONS: &str = "mutatingwebhookconfigurations";

/// What the check itself needs; creating pods is never stored, all of it is a dry run.
pub(super) async fn own(api: &Api, own: &str, configuration: &str, namespaces: &[String]) -> Finding {
    let mut rights = vec![
        right("get", "apiextensions.k8s.io", "customresourcedefinitions", "", super::DEFINITION),
        right("get", ADMISSION, CONFIGURATIONS, "", configuration),
        right("list", GROUP, "sparkprofiles", "", ""),
        right("get", "", "services", own, ""),
        right("list", "discovery.k8s.io", "endpointslices", own, ""),
    ];
    if namespaces.is_empty() {
        rights.extend([right("list", "", "namespaces", "", ""), right("create", "", "pods", "", "")]);
    }
    for namespace in namespaces {
        // A namespace lies in itself: a Role there may give it.
        rights.push(right("get", "", "namespaces", namespace, namespace));
        rights.push(right("create", "", "pods", namespace, ""));
    }
    let question = |right: Right<'_>| {
        (
            "selfsubjectaccessreviews",
            json!({ "apiVersion": VERSION, "kind": "SelfSubjectAccessReview", "spec": { "resourceAttributes": right.attributes() } }),
        )
    };
    let answers = ask(api, &rights, question).await;
    let missing = match denied(&answers) {
        Ok(missing) => missing,
        Err(why) => return Finding::skipped("permissions", "", format!("cannot be asked for: {why}")),
    };
    if missing.is_empty() {
        return Finding::passed(
            "permissions",
            "",
            format!("{} of {} to run this check", rights.len(), rights.len()),
        );
    }
    Finding::failed(
        "permissions",
        "",
        format!("missing to run this check: {}", missing.join(", ")),
        "bind the ClusterRole spark-injector-check to whoever runs it, or limit it with --namespace",
    )
}

/// What the injector needs, and what it must not have.
pub(super) async fn injectors(api: &Api, own: &str, account: &str, configuration: &str) -> Finding {
    const CHECK: &str = "injector_permissions";
    let user = format!("system:serviceaccount:{own}:{account}");
    let mut needed = Vec::new();
    for verb in ["list", "watch"] {
        needed.push(right(verb, "", "namespaces", "", ""));
    }
    for verb in ["get", "list", "watch"] {
        needed.push(right(verb, GROUP, "sparkprofiles", "", ""));
        needed.push(right(verb, "", "configmaps", own, ""));
        needed.push(right(verb, "", "secrets", own, ""));
    }
    needed.extend([
        right("patch", GROUP, "sparkprofiles/status", "", ""),
        right("create", "", "secrets", "", ""),
        right("delete", "", "secrets", "", ""),
        right("get", ADMISSION, CONFIGURATIONS, "", configuration),
        right("patch", ADMISSION, CONFIGURATIONS, "", configuration),
        right("create", "coordination.k8s.io", "leases", own, ""),
        right("create", "events.k8s.io", "events", "default", ""),
    ]);
    // A PATCH reads as well: the API server quotes the object in its errors.
    let forbidden: Vec<Right<'_>> = ["get", "list", "watch", "update", "patch"]
        .map(|verb| right(verb, "", "secrets", "", ""))
        .into_iter()
        .collect();
    let question = |right: Right<'_>| {
        // As whoever has its token: what everybody may do, it may do as well.
        let ours = format!("system:serviceaccounts:{own}");
        let groups = ["system:serviceaccounts", ours.as_str(), "system:authenticated"];
        let spec = json!({ "user": user, "groups": groups, "resourceAttributes": right.attributes() });
        (
            "subjectaccessreviews",
            json!({ "apiVersion": VERSION, "kind": "SubjectAccessReview", "spec": spec }),
        )
    };
    let (has, over) = (ask(api, &needed, question).await, ask(api, &forbidden, question).await);
    let (missing, refused) = match (denied(&has), denied(&over)) {
        (Ok(missing), Ok(refused)) => (missing, refused),
        (Err(why), _) | (_, Err(why)) => {
            return Finding::skipped(CHECK, "", format!("cannot be asked for: {why}"));
        }
    };
    if !missing.is_empty() {
        return Finding::failed(
            CHECK,
            "",
            format!("{user} may not {}", missing.join(", ")),
            "apply the RBAC manifests of this version, or name the account with --own-namespace and --service-account",
        );
    }
    if refused.len() < forbidden.len() {
        return Finding::failed(
            CHECK,
            "",
            format!("{user} may read Secrets of every namespace"),
            "it needs create and delete alone: remove the binding that gives more",
        );
    }
    Finding::passed(
        CHECK,
        "",
        format!("{} of {}, and no Secret of a team can be read", needed.len(), needed.len()),
    )
}

/// The answers in the order of the questions: the right in words, and whether it is there.
async fn ask<'r>(
    api: &Api,
    rights: &[Right<'r>],
    question: impl Fn(Right<'r>) -> (&'static str, Value),
) -> Vec<Result<(String, bool), String>> {
    let asked = rights.iter().map(|right| {
        let (resource, review) = question(*right);
        let words = right.words();
        async move {
            let reply = api.post(&format!("/apis/{VERSION}/{resource}"), &review).await?;
            let allowed = reply.body.pointer("/status/allowed").and_then(Value::as_bool);
            Ok((words, allowed.ok_or_else(|| reply.message().to_owned())?))
        }
    });
    stream::iter(asked).buffered(AT_ONCE).collect().await
}

fn denied(answers: &[Result<(String, bool), String>]) -> Result<Vec<&str>, String> {
    let mut denied = Vec::new();
    for answer in answers {
        match answer {
            Ok((_, true)) => {}
            Ok((words, false)) => denied.push(words.as_str()),
            Err(why) => return Err(why.clone()),
        }
    }
    Ok(denied)
}
