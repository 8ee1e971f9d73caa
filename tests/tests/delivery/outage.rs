//! The API server is killed and comes back in the middle of a delivery: what is posted stays posted, the rest follows,
//! and the processes that deliver are the same ones afterwards.

use std::collections::{BTreeMap, BTreeSet};

use acceptance::client::Namespace;
use acceptance::cluster::{Audit, Cluster, ClusterOptions};
use acceptance::manifests::OWN;
use acceptance::process::wait_until;
use acceptance::webhook::Webhook;
use serde_json::{Value, json};

use crate::world::{CANARY, WITHIN, install, names, until_delivered};

/// Namespaces and names of all Secrets that carry our label.
fn delivered(cluster: &Cluster) -> BTreeSet<(String, String)> {
    let list = cluster.admin().get("/api/v1/secrets?labelSelector=spark-injector.io/profile").expect(200);
    let text = |secret: &Value, field: &str| secret["metadata"][field].as_str().expect("text").to_owned();
    let secrets = list["items"].as_array().expect("items").iter();
    secrets.map(|secret| (text(secret, "namespace"), text(secret, "name"))).collect()
}

#[test]
fn an_api_server_that_is_killed_in_the_middle_costs_nothing_but_time() {
    let mut cluster =
        Cluster::start_with(&ClusterOptions { audit: Audit::Metadata, ..ClusterOptions::default() });
    install(&cluster);
    let api = cluster.admin().clone();
    let teams = names("outage-team", 40);
    // One that opted in and is not covered, one that is named and did not opt in.
    let (stranger, closed) = ("outage-stranger".to_owned(), "outage-closed".to_owned());
    for namespace in teams.iter().chain([&stranger]) {
        api.create_namespace(&Namespace::new(namespace).opted_in());
    }
    api.create_namespace(&Namespace::new(&closed));
    api.apply_secret(OWN, "keytab", &[("etl.keytab", CANARY.as_bytes())]);
    let named: Vec<&String> = teams.iter().chain([&closed]).collect();
    let spec =
        json!({"namespaces": {"names": named}, "files": [{"mountPath": "/k", "secret": {"name": "keytab"}}]});
    api.apply(&json!({"apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile",
                      "metadata": {"name": "outage"}, "spec": spec}));

    let kubeconfig = cluster.service_account_kubeconfig(OWN, OWN);
    // So slow that there is a middle on a busy machine too.
    let args = ["--delivery-rate", "5", "--delivery-interval", "2s"];
    let mut replicas: Vec<Webhook> = (0..2).map(|_| Webhook::start_on_cluster(&kubeconfig, &args)).collect();
    for part in [8, 20] {
        let reached = wait_until(WITHIN, || (delivered(&cluster).len() >= part).then_some(()));
        assert!(reached.is_some(), "{:?}; {}", delivered(&cluster), replicas[0].log().join("\n"));
        let before = delivered(&cluster);
        let marks: Vec<usize> = replicas.iter().map(Webhook::log_mark).collect();
        cluster.kill_api_server();
        assert!(before.len() < teams.len(), "killed too late to mean anything");
        for (replica, mark) in replicas.iter().zip(marks) {
            // What serves pods goes on meanwhile.
            replica.wait_for_log_after(mark, "cannot watch");
            assert_eq!(replica.admin("/readyz").0, 200);
        }
        cluster.start_api_server();
        assert!(delivered(&cluster).is_superset(&before), "nothing of what was posted is gone");
    }

    let status = until_delivered(&api, "outage", teams.len());
    assert_eq!(status["revision"], status["deliveredRevision"]);
    assert_eq!(status["namespaces"]["failed"], 0, "{status:#}");

    // Every covered namespace has the one Secret, and nobody else has any.
    let name = format!("spark-injector-outage-{}", status["revision"].as_str().expect("a revision"));
    let expected: BTreeSet<(String, String)> =
        teams.iter().map(|team| (team.clone(), name.clone())).collect();
    assert_eq!(delivered(&cluster), expected);
    let ledger = api.get(&format!("/api/v1/namespaces/{OWN}/configmaps/spark-injector-ledger")).expect(200);
    let entries: BTreeMap<String, String> = serde_json::from_value(ledger["data"].clone()).expect("a ledger");
    assert_eq!(entries.keys().collect::<Vec<_>>(), ["outage"]);
    let entry: Value = serde_json::from_str(&entries["outage"]).expect("an entry");
    assert_eq!(entry["namespaces"], json!(teams));
    assert!(entry["secrets"].to_string().contains(&name), "{entry}");

    // Never even asked for elsewhere, over all of it.
    let account = format!("system:serviceaccount:{OWN}:{OWN}");
    let asked: BTreeSet<String> = cluster
        .audit_log()
        .iter()
        .filter(|event| event["user"]["username"] == account.as_str() && event["verb"] == "create")
        .filter(|event| event["objectRef"]["resource"] == "secrets")
        // Where `install` tried the policies in its name.
        .filter(|event| event["objectRef"]["namespace"] != "fenced")
        .map(|event| event["objectRef"]["namespace"].as_str().expect("a namespace").to_owned())
        .collect();
    assert_eq!(asked, teams.iter().cloned().collect());
    for replica in &mut replicas {
        assert!(replica.ended().is_none(), "{}", replica.log().join("\n"));
    }

    // And what is delivered now follows a change as before.
    let label = json!({"metadata": {"labels": {"spark-injector.io/inject": "enabled"}}});
    api.patch(&format!("/api/v1/namespaces/{closed}"), "application/merge-patch+json", &label).expect(200);
    let follows =
        wait_until(WITHIN, || delivered(&cluster).contains(&(closed.clone(), name.clone())).then_some(()));
    assert!(follows.is_some(), "{:?}", delivered(&cluster));
}
