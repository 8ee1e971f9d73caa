//! `kubectl apply -k manifests/guarded`, and then what a node would do with the pods that the controllers make of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use acceptance::client::Namespace;
use acceptance::cluster::{Cluster, ClusterOptions};
use acceptance::installed::{CONFIGURATION, Installed};
use acceptance::manifests::{OWN, folder};
use acceptance::process::wait_until;
use acceptance::webhook::Webhook;
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(60);

/// A team's namespace, its profile and the profile's source, as an owner applies them.
fn team() -> Value {
    let namespace = Namespace::new("team-a").opted_in().node_selector("pool=a").object();
    let source = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "krb5", "namespace": OWN},
                        "data": {"krb5.conf": "[libdefaults]\n"}});
    let profile = json!({"apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile",
        "metadata": {"name": "team-a"},
        "spec": {"namespaces": {"names": ["team-a"]}, "nodeSelector": {"allowed": {"pool": ["a"]}},
                 "files": [{"mountPath": "/etc/krb5.conf", "file": "krb5.conf", "configMap": {"name": "krb5"}}]}});
    json!({"apiVersion": "v1", "kind": "List", "items": [namespace, source, profile]})
}

fn driver(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
           "metadata": {"name": name, "namespace": "team-a", "labels": {"spark-role": "driver"}},
           "spec": {"restartPolicy": "Never", "containers": [
               {"name": "spark-kubernetes-driver", "image": "apache/spark:4.3.0", "args": ["driver"]}]}})
}

#[test]
fn what_is_applied_serves_with_the_rights_that_it_is_given() {
    let cluster =
        Cluster::start_with(&ClusterOptions { controller_manager: true, ..ClusterOptions::default() });
    let installed = Installed::on(&cluster, &folder("guarded"));
    let api = &installed.api;
    let pods = wait_until(WITHIN, || {
        let pods = api.list("v1", "Pod", Some(OWN));
        (pods.len() == 2).then_some(pods)
    });
    let pods = pods.expect("two pods of the Deployment");
    let replicas: Vec<Webhook> = pods.iter().map(|pod| installed.run(pod, &[])).collect();
    for replica in &replicas {
        replica.join(&installed.balancer);
    }
    let logs = || replicas.iter().flat_map(Webhook::log).collect::<Vec<_>>().join("\n");
    let ready = wait_until(WITHIN, || (installed.balancer.ready() == 2).then_some(()));
    assert!(ready.is_some(), "the replicas do not become ready:\n{}", logs());
    let bundled = wait_until(WITHIN, || installed.is_bundled().then_some(()));
    assert!(bundled.is_some(), "nobody writes the bundle:\n{}", logs());

    let documents = tempfile::tempdir().expect("a folder");
    let file = documents.path().join("team.json");
    std::fs::write(&file, team().to_string()).expect("a file");
    cluster.apply(&file);
    api.ensure_service_account("team-a", "default");
    let mut last = String::new();
    let stored = wait_until(WITHIN, || {
        let reply = api.create(&driver("first"));
        last.clone_from(&reply.text);
        (reply.status == 201).then_some(reply.body)
    });
    let stored = stored.unwrap_or_else(|| panic!("{last}\n{}", logs()));
    assert_eq!(stored["spec"]["nodeSelector"], json!({"pool": "a"}));
    let image = concat!("spark-injector/init-sync:", env!("CARGO_PKG_VERSION"));
    assert_eq!(stored["spec"]["initContainers"][0]["image"], image);
    let mounts = stored["spec"]["containers"][0]["volumeMounts"].to_string();
    assert!(mounts.contains("/etc/krb5.conf"), "{mounts}");

    // The emergency switch: nobody takes it back, and a Spark pod that nobody looked at is still refused by the policy.
    let ignore: Vec<Value> = (0..2)
        .map(|index| json!({"op": "replace", "path": format!("/webhooks/{index}/failurePolicy"), "value": "Ignore"}))
        .collect();
    api.patch(CONFIGURATION, "application/json-patch+json", &ignore.into()).expect(200);
    drop(replicas);
    let mut last = String::new();
    let refused = wait_until(WITHIN, || {
        let reply = api.create(&driver("second"));
        last.clone_from(&reply.text);
        (reply.status == 403 && reply.message().contains("was not seen by spark-injector")).then_some(())
    });
    assert!(refused.is_some(), "{last}");
    assert_eq!(api.get(CONFIGURATION).expect(200)["webhooks"][0]["failurePolicy"], "Ignore");
}
