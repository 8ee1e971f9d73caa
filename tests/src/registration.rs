//! The webhook configuration: how the API server is told to call a webhook, and the wait until it does.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::client::{Api, Reply};
use crate::process::wait_until;

/// The name of the webhook inside the configuration; the API server's messages quote it.
pub const WEBHOOK_NAME: &str = "pods.spark-injector.io";

/// The name of the other webhook inside the configuration, for every pod of isolated namespaces.
pub const ISOLATE_NAME: &str = "isolation.spark-injector.io";

/// The annotation that an injected pod carries.
pub const STATUS_ANNOTATION: &str = "spark-injector.io/status";

/// A webhook configuration in the making. As the product installs it: `Fail`, 5 s, reinvoked if needed, for pods
/// created in namespaces that opted in, and once more for those of isolated ones.
#[derive(Debug, Clone)]
pub struct Registration {
    name: String,
    url: String,
    authority: String,
    failure_policy: &'static str,
    timeout_seconds: u32,
    only: Option<(String, String)>,
}

impl Registration {
    /// A configuration of this name, for the webhook at `url`, whose certificate `authority` (PEM) signed.
    pub fn new(name: &str, url: &str, authority: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            authority: authority.to_owned(),
            failure_policy: "Fail",
            timeout_seconds: 5,
            only: None,
        }
    }

    /// Another failure policy.
    #[must_use]
    pub fn failure_policy(mut self, policy: &'static str) -> Self {
        self.failure_policy = policy;
        self
    }

    /// Another time limit, in seconds.
    #[must_use]
    pub fn timeout(mut self, seconds: u32) -> Self {
        self.timeout_seconds = seconds;
        self
    }

    /// Only in namespaces with this label as well: tests that share a cluster do not meet each other's webhooks.
    #[must_use]
    pub fn only(mut self, key: &str, value: &str) -> Self {
        self.only = Some((key.to_owned(), value.to_owned()));
        self
    }

    /// The object.
    pub fn object(&self) -> Value {
        let system = ["kube-system", "kube-public", "kube-node-lease", "spark-injector"];
        let mut expressions =
            vec![json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": system})];
        if let Some((key, value)) = &self.only {
            expressions.push(json!({"key": key, "operator": "In", "values": [value]}));
        }
        let entry = |name: &str, path: &str, label: &str| {
            json!({
                "name": name,
                "clientConfig": {"url": self.url.replace("/mutate", path), "caBundle": BASE64.encode(&self.authority)},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                           "resources": ["pods"], "scope": "Namespaced"}],
                "namespaceSelector": {"matchLabels": {label: "enabled"}, "matchExpressions": expressions},
                "matchPolicy": "Equivalent",
                "sideEffects": "None",
                "failurePolicy": self.failure_policy,
                "reinvocationPolicy": "IfNeeded",
                "timeoutSeconds": self.timeout_seconds,
                "admissionReviewVersions": ["v1"],
            })
        };
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": self.name},
            "webhooks": [
                entry(WEBHOOK_NAME, "/mutate", "spark-injector.io/inject"),
                entry(ISOLATE_NAME, "/isolate", "spark-injector.io/isolate"),
            ],
        })
    }

    /// Creates or replaces the configuration. It is not in effect yet: see [`Registered::wait`].
    pub fn register(&self, api: &Api) -> Registered {
        let object = self.object();
        api.apply(&object);
        Registered { api: api.clone(), object }
    }
}

/// A configuration on an API server; deleted when dropped.
#[derive(Debug)]
#[must_use = "dropping it deletes the configuration"]
pub struct Registered {
    api: Api,
    object: Value,
}

impl Registered {
    /// Waits until Spark pods of this namespace reach the webhook. The API server reads webhook configurations from
    /// a cache that lags by some milliseconds, so this asks, with dry runs, until it sees the effect: the status
    /// annotation, or a refusal in the webhook's name.
    ///
    /// # Panics
    /// When it does not happen within 10 s.
    #[track_caller]
    pub fn wait(&self, namespace: &str) {
        self.wait_for(namespace, |reply| {
            let annotation = &reply.body["metadata"]["annotations"][STATUS_ANNOTATION];
            annotation.is_string() || (reply.status >= 400 && reply.message().contains(WEBHOOK_NAME))
        });
    }

    /// Waits until the answer to a dry run of [`canary`] shows what the caller looks for.
    ///
    /// # Panics
    /// When it does not happen within 10 s, with the last answer.
    #[track_caller]
    pub fn wait_for(&self, namespace: &str, mut in_effect: impl FnMut(&Reply) -> bool) {
        let pod = canary(namespace);
        let mut last = String::new();
        let seen = wait_until(Duration::from_secs(10), || {
            let reply = self.api.dry_run(&pod);
            last.clone_from(&reply.text);
            in_effect(&reply).then_some(())
        });
        assert!(
            seen.is_some(),
            "{} is not in effect in {namespace}: {last}",
            self.object["metadata"]["name"]
        );
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // The cluster may be gone already, and a panic in here would hide the one that is under way.
        let path = crate::client::object_path(&self.object);
        let _ = self.api.send("DELETE", &path, "", Vec::new());
    }
}

/// The smallest pod that passes for a Spark driver.
pub fn canary(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "registration-canary", "namespace": namespace, "labels": {"spark-role": "driver"}},
        "spec": {"restartPolicy": "Never", "containers": [
            {"name": "spark-kubernetes-driver", "image": "spark", "args": ["driver"]}]},
    })
}
