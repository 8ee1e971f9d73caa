//! One control plane with controllers on which the guarded manifests are installed, for all tests of this file. No
//! injector runs, and the webhook's failures are ignored: the world in which policies have to hold alone.

use std::sync::OnceLock;
use std::time::Duration;

use acceptance::client::{Api, Namespace, Reply};
use acceptance::cluster::{Cluster, ClusterOptions};
use acceptance::manifests::{OWN, folder};
use acceptance::process::wait_until;
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(30);

pub(crate) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let options = ClusterOptions { controller_manager: true, ..ClusterOptions::default() };
        let cluster = Cluster::start_with(&options);
        cluster.apply(&folder("guarded"));
        let ignore: Vec<Value> = (0..2)
            .map(|index| json!({"op": "replace", "path": format!("/webhooks/{index}/failurePolicy"), "value": "Ignore"}))
            .collect();
        cluster.admin().patch(CONFIGURATION, "application/json-patch+json", &ignore.into()).expect(200);
        let profiles = "/apis/spark-injector.io/v1alpha1/sparkprofiles";
        eventually(|| cluster.admin().get(profiles), 200);
        in_effect(&cluster);
        cluster
    })
}

pub(crate) const CONFIGURATION: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/spark-injector";

/// The API server needs a moment for each policy. A policy refuses what it can by the last one that is created, so
/// one look at each is enough.
fn in_effect(cluster: &Cluster) {
    let api = cluster.admin();
    let probe = Namespace::new("in-effect").opted_in().isolated().node_selector("pool=a");
    api.create_namespace(&probe);
    let injector = cluster.service_account(OWN, OWN);
    let teams = "/api/v1/namespaces/in-effect/secrets";
    let delivered = json!({"metadata": {"name": "spark-injector-x"}});
    let foreign = json!({"metadata": {"name": "x"}});
    let plain = json!({"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let mut spark = plain.clone();
    spark["metadata"]["labels"] = json!({"spark-role": "driver"});
    spark["spec"]["nodeSelector"] = json!({"pool": "a"});
    let pods = "/api/v1/namespaces/in-effect/pods?dryRun=All";
    let timeout = json!([{"op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": 7}]);
    let label = json!({"metadata": {"labels": {"spark-injector.io/inject": "enabled"}}});
    let everybody = cluster.as_user("namespace-owner", None);
    grant(
        api,
        "namespace-owner",
        &json!([{"apiGroups": [""], "resources": ["namespaces", "namespaces/status",
        "namespaces/finalize"], "verbs": ["create", "get", "update", "patch"]}]),
    );
    let json_patch = "application/json-patch+json";
    let questions: [&dyn Fn() -> Reply; 6] = [
        &|| api.post(&format!("{teams}?dryRun=All"), &delivered),
        &|| injector.post(&format!("{teams}?dryRun=All"), &foreign),
        &|| injector.patch(&format!("{CONFIGURATION}?dryRun=All"), json_patch, &timeout),
        &|| api.post(pods, &spark),
        &|| api.post(pods, &plain),
        &|| everybody.patch("/api/v1/namespaces/default?dryRun=All", "application/merge-patch+json", &label),
    ];
    for (index, question) in questions.iter().enumerate() {
        let mut last = String::new();
        let seen = wait_until(WITHIN, || {
            let reply = question();
            last.clone_from(&reply.text);
            (reply.status == 403 && reply.message().contains("ValidatingAdmissionPolicy")).then_some(())
        });
        assert!(seen.is_some(), "policy {index} is not in effect: {last}");
    }
}

/// Gives rules in the whole cluster to a user.
pub(crate) fn grant(api: &Api, user: &str, rules: &Value) {
    let rbac = "rbac.authorization.k8s.io";
    let metadata = json!({"name": user});
    api.apply(&json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRole", "metadata": metadata, "rules": rules}));
    api.apply(
        &json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": rbac, "kind": "User", "name": user}]}),
    );
}

/// Requests as the account that the manifests give to the injector.
pub(crate) fn injector() -> Api {
    cluster().service_account(OWN, OWN)
}

/// Waits until a rule that was just made or a label that was just set is seen by the API server.
#[track_caller]
pub(crate) fn eventually(mut question: impl FnMut() -> Reply, status: u16) -> Reply {
    let mut last = None;
    let seen = wait_until(WITHIN, || {
        let reply = question();
        let fits = reply.status == status;
        last = Some(reply);
        fits.then_some(())
    });
    let last = last.expect("an answer");
    assert!(seen.is_some(), "not {status} but {}: {}", last.status, last.text);
    last
}

/// Asserts a refusal by a policy, and returns its sentence.
#[track_caller]
pub(crate) fn refused(reply: &Reply) -> String {
    assert_eq!(reply.status, 403, "{}", reply.text);
    let (_, sentence) = reply.message().split_once("denied request: ").unwrap_or_else(|| {
        panic!("not by a policy: {}", reply.message());
    });
    sentence.to_owned()
}
