//! Pods that are created and never stored: the API server is asked for a dry run.

use serde_json::{Value, json};

use super::answered::Asked;
use super::finding::Finding;
use super::served::Served;
use crate::api::names::SPARK_ROLE_LABEL;
use crate::cluster::ask::Api;

/// Which pod is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Canary {
    Driver,
    Executor,
    /// A pod that is not Spark's, in an isolated namespace.
    Plain,
}

impl Canary {
    pub(super) fn check(self) -> &'static str {
        match self {
            Self::Driver => "canary_driver",
            Self::Executor => "canary_executor",
            Self::Plain => "canary_pod",
        }
    }

    /// The role that it claims, empty for none.
    pub(super) fn role(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Executor => "executor",
            Self::Plain => "",
        }
    }

    /// As Spark makes it, and small enough for every quota that leaves any room.
    pub(super) fn pod(self, namespace: &str, restricted: bool) -> Value {
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
        Ok(reply) => Asked { served, namespace, canary, init_image, pod: &pod }.judge(&reply),
        Err(why) => Finding::failed(canary.check(), namespace, why, "let this command reach the API server"),
    }
}
