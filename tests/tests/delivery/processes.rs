//! The same by `spark-injector serve` itself: three replicas on the cluster, one of them killed in the middle.

use acceptance::client::Namespace;
use acceptance::manifests::OWN;
use acceptance::process::wait_until;
use acceptance::webhook::Webhook;
use serde_json::json;

use crate::world::{CANARY, WITHIN, cluster, names, own_namespace, until_delivered};

pub(crate) const OWNER: &str = "processes";

fn replica() -> Webhook {
    let kubeconfig = cluster().service_account_kubeconfig(OWN, OWN);
    let args = ["--own-namespace", OWNER, "--delivery-rate", "5", "--delivery-interval", "2s"];
    Webhook::start_on_cluster(&kubeconfig, &args)
}

fn leads(replica: &Webhook) -> bool {
    replica.metrics().lines().any(|line| line == "spark_injector_delivery_leader 1")
}

#[test]
fn a_replica_that_is_killed_is_followed_and_nothing_is_lost() {
    let api = cluster().admin();
    own_namespace(OWNER);
    let teams = names("processes-team", 50);
    for team in &teams {
        api.create_namespace(&Namespace::new(team).opted_in());
    }
    // Not the name that other tests use: their profiles are no business of these replicas.
    api.apply_secret(OWNER, "processes-keytab", &[("etl.keytab", CANARY.as_bytes())]);
    let spec = json!({"namespaces": {"names": teams},
                      "files": [{"mountPath": "/keytab", "secret": {"name": "processes-keytab"}}]});
    api.apply(&json!({"apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile",
                      "metadata": {"name": "processes"}, "spec": spec}));
    let served = || {
        let has_ours = |team: &&String| {
            let secrets = api.list("v1", "Secret", Some(team));
            secrets
                .iter()
                .any(|secret| secret["metadata"]["labels"]["spark-injector.io/profile"] == "processes")
        };
        teams.iter().filter(has_ours).count()
    };

    let mut replicas: Vec<Webhook> = (0..3).map(|_| replica()).collect();
    let reached = wait_until(WITHIN, || (served() >= 5).then_some(()));
    assert!(reached.is_some(), "{} namespaces; {}", served(), replicas[0].log().join("\n"));
    let leader = replicas.iter().position(leads).expect("a leader");
    drop(replicas.swap_remove(leader));
    assert!(served() < teams.len(), "killed too late to mean anything");

    let status = until_delivered(api, "processes", teams.len());
    assert_eq!(served(), teams.len());
    assert_eq!(status["revision"], status["deliveredRevision"]);
    let condition = |kind: &str| {
        let all = status["conditions"].as_array().expect("conditions").iter();
        all.clone().find(|condition| condition["type"] == kind).map(|found| found["status"].clone())
    };
    // Two writers, one status: neither takes what the other wrote.
    assert_eq!(
        (condition("Ready"), condition("Delivered")),
        (Some(json!("True")), Some(json!("True"))),
        "{status:#}"
    );

    // One that is asked to end hands over without a pause.
    let leader = wait_until(WITHIN, || replicas.iter().position(leads)).expect("a leader");
    let mut leaving = replicas.swap_remove(leader);
    leaving.terminate();
    let followed = wait_until(WITHIN, || leads(&replicas[0]).then_some(()));
    assert!(followed.is_some(), "{}", replicas[0].log().join("\n"));
    assert!(leaving.stop().success());

    // The namespace goes back to its team: what was delivered goes with the label.
    let label = json!({"metadata": {"labels": {"spark-injector.io/inject": null}}});
    api.patch(&format!("/api/v1/namespaces/{}", teams[0]), "application/merge-patch+json", &label)
        .expect(200);
    let gone = wait_until(WITHIN, || (served() == teams.len() - 1).then_some(()));
    assert!(gone.is_some(), "{} namespaces", served());

    for text in [replicas[0].log().join("\n"), leaving.log().join("\n"), replicas[0].metrics()] {
        assert!(!text.contains(CANARY) && !text.contains("Y2FuYXJ5LWtleXRhYi0w"), "{text}");
    }
}
