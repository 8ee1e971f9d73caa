//! The product as `kubectl apply -k` leaves it, without a node: the container of the Deployment's pods is run as a local
//! process, with its arguments, its environment and nothing but the rights of its service account. Two things are
//! others: addresses, since pods on one machine cannot share a port, and the way of the API server to the Service.
//!
//! The cluster address of a Service leads nowhere without nodes. A Service of type `ExternalName` is dialled by that
//! name instead, with everything else as ever: the certificate has to be that of `spark-injector.spark-injector.svc`,
//! and the protocol is HTTP/1.1.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::balancer::Balancer;
use crate::client::Api;
use crate::cluster::Cluster;
use crate::kubelet;
use crate::manifests::OWN;
use crate::webhook::{Certificate, Options, Webhook};

/// Path of the webhook configuration.
pub const CONFIGURATION: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/spark-injector";

/// An installation on a cluster, with a balancer for the Service.
#[derive(Debug)]
pub struct Installed {
    /// What stands for the Service.
    pub balancer: Balancer,
    /// Requests as cluster administrator.
    pub api: Api,
    kubeconfig: PathBuf,
}

impl Installed {
    /// Applies a kustomization and leads the Service to a balancer, which has no endpoint yet.
    pub fn on(cluster: &Cluster, folder: &Path) -> Self {
        cluster.apply(folder);
        let (api, balancer) = (cluster.admin().clone(), Balancer::start());
        lead_to(&api, balancer.address().port());
        let kubeconfig = cluster.service_account_kubeconfig(OWN, OWN);
        Self { balancer, api, kubeconfig }
    }

    /// The pod that a controller would make of the Deployment.
    pub fn pod(&self) -> Value {
        let path = format!("/apis/apps/v1/namespaces/{OWN}/deployments/{OWN}");
        let mut pod = self.api.get(&path).expect(200)["spec"]["template"].clone();
        pod["metadata"]["namespace"] = OWN.into();
        pod["metadata"]["name"] = "spark-injector-0".into();
        pod
    }

    /// The container of a pod as a process, with further arguments. It gets no connections yet.
    ///
    /// # Panics
    /// When it is not started as the image is, or with another account.
    pub fn run(&self, pod: &Value, more: &[&str]) -> Webhook {
        let container = &pod["spec"]["containers"][0];
        assert!(container["command"].is_null(), "the image's entrypoint is the program");
        assert_eq!(pod["spec"]["serviceAccountName"], OWN);
        assert_eq!(container["args"], serde_json::json!(["serve"]), "everything else is environment");
        let environment = kubelet::environment(pod, OWN, &self.api).expect("an environment");
        Webhook::launch(&Options {
            args: more.iter().map(ToString::to_string).collect(),
            env: environment.iter().map(|(name, value)| (name.as_str(), value.clone())).collect(),
            kubeconfig: Some(&self.kubeconfig),
            certificate: Certificate::Arguments,
            ..Options::default()
        })
    }

    /// Whether the API server could verify a replica: the bundle is in every entry.
    pub fn is_bundled(&self) -> bool {
        let body = self.api.get(CONFIGURATION).expect(200);
        let entries = body["webhooks"].as_array().expect("webhooks");
        entries.iter().all(|entry| entry["clientConfig"]["caBundle"].is_string())
    }
}

/// The API server dials this port of loopback for the Service from now on.
pub(crate) fn lead_to(api: &Api, port: u16) {
    let mut service =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": OWN, "namespace": OWN}});
    api.delete(&service);
    service["spec"] = json!({"type": "ExternalName", "externalName": "localhost"});
    api.create(&service).expect(201);
    let ports: Vec<Value> = (0..2)
        .map(|index| {
            json!({"op": "replace", "path": format!("/webhooks/{index}/clientConfig/service/port"), "value": port})
        })
        .collect();
    api.patch(CONFIGURATION, "application/json-patch+json", &ports.into()).expect(200);
}
