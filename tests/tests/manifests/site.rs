//! An installation that works: two replicas behind the Service, and a team that is injected and isolated.

use acceptance::client::{Api, Namespace, secret};
use acceptance::cluster::{Cluster, ClusterOptions};
use acceptance::installed::Installed;
use acceptance::manifests::{OWN, folder};
use acceptance::webhook::Webhook;
use serde_json::{Value, json};

pub(crate) const TEAM: &str = "team-a";

/// A control plane with `manifests/guarded`, and two replicas.
pub(crate) struct Site {
    // Before the cluster that they talk to.
    pub(crate) replicas: Vec<Webhook>,
    pub(crate) installed: Installed,
    pub(crate) cluster: Cluster,
}

impl Site {
    /// Installs everything; `before` looks at the cluster while nothing is installed.
    pub(crate) fn start(before: impl FnOnce(&Cluster)) -> Self {
        let options = ClusterOptions { controller_manager: true, ..ClusterOptions::default() };
        let cluster = Cluster::start_with(&options);
        before(&cluster);
        let installed = Installed::on(&cluster, &folder("guarded"));
        let api = installed.api.clone();
        for object in [
            Namespace::new(TEAM).opted_in().isolated().node_selector("pool=a").object(),
            secret(OWN, "keytab", &[("etl.keytab", b"k")]),
        ] {
            api.create(&object).expect(201);
        }
        api.ensure_service_account(TEAM, "default");
        api.create(&profile()).expect(201);
        api.create(&endpoints()).expect(201);
        let replicas: Vec<Webhook> = (0..2).map(|_| installed.run(&installed.pod(), &[])).collect();
        for replica in &replicas {
            replica.join(&installed.balancer);
        }
        Self { replicas, installed, cluster }
    }

    pub(crate) fn api(&self) -> &Api {
        &self.installed.api
    }

    pub(crate) fn logs(&self) -> String {
        self.replicas.iter().flat_map(Webhook::log).collect::<Vec<_>>().join("\n")
    }
}

/// What the team gets: files that are delivered, and nodes of its own for every pod.
pub(crate) fn profile() -> Value {
    json!({"apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile", "metadata": {"name": TEAM},
           "spec": {"namespaces": {"names": [TEAM]}, "nodeSelector": {"scope": "AllPods", "default": {"pool": "b"}},
                    "executorRole": {"name": "IS_EXECUTOR", "value": "yes"},
                    "files": [{"mountPath": "/etc/keytab", "secret": {"name": "keytab"}}]}})
}

/// What a controller would say of replicas on nodes.
pub(crate) fn endpoints() -> Value {
    let metadata = json!({"name": "spark-injector-0", "namespace": OWN,
                          "labels": {"kubernetes.io/service-name": OWN}});
    let endpoint = |address: &str| json!({"addresses": [address], "conditions": {"ready": true}});
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata,
           "addressType": "IPv4", "endpoints": [endpoint("10.0.0.1"), endpoint("10.0.0.2")],
           "ports": [{"name": "review", "port": 8443}]})
}
