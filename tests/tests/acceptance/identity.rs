//! An API server that proves to the webhook who it is: then, and only then, a patch may hold what is secret, and nobody
//! else gets it.

use acceptance::client::{Api, Credential, Namespace};
use acceptance::cluster::{Cluster, ClusterOptions, WEBHOOK_CLIENT};
use acceptance::kubelet::INIT_CONTAINER;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::world::{Plan, World, driver, names, profile};

const KEYTAB: &str = "canary-of-a-keytab";

fn plan(name: &'static str, ca: &'static str, client: &'static str) -> Plan {
    let files = json!([{"mountPath": "/keys", "secret": {"name": "keys"}}]);
    Plan {
        name,
        namespaces: vec![Namespace::new(name).opted_in()],
        documents: vec![
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "spark-injector"},
                   "data": {"etl.keytab": BASE64.encode(KEYTAB)}}),
            profile(name, &json!({"delivery": "Env", "files": files})),
        ],
        arguments: vec!["--client-ca", ca, "--client-name", "someone-else", "--client-name", client],
        ..Plan::default()
    }
}

/// A review as the API server would send it.
fn review(namespace: &str) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "forged", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": namespace, "operation": "CREATE", "object": driver(namespace, "forged")}})
}

#[test]
fn the_api_server_alone_is_given_what_is_secret() {
    let cluster =
        Cluster::start_with(&ClusterOptions { identify_to_webhooks: true, ..ClusterOptions::default() });
    let ca: &'static str = cluster.directory().join("ca.crt").to_str().expect("UTF-8").to_owned().leak();
    let world = World::start_on(&cluster, plan("identity", ca, WEBHOOK_CLIENT));
    let stored = world.api.create(&driver("identity", "real")).expect(201);
    let init = &stored["spec"]["initContainers"];
    assert_eq!(names(init), [INIT_CONTAINER]);
    assert!(init[0]["env"].to_string().contains(&BASE64.encode(KEYTAB)), "{init}");

    let post = |credential: Credential| {
        let direct: Api = world.webhook.direct(credential);
        let body = serde_json::to_vec(&review("identity")).expect("JSON");
        direct.send("POST", "/mutate", "application/json", body)
    };
    let own = cluster.authority();
    let refused = [
        (Credential::None, 401, "--client-ca"),
        (Credential::Token("anything".to_owned()), 401, "--client-ca"),
        (Credential::Certificate(own.client("system:admin", Some("system:masters"))), 403, "--client-name"),
    ];
    for (credential, status, message) in refused {
        let reply = post(credential).expect("an answer");
        assert_eq!(reply.status, status, "{}", reply.text);
        assert!(
            reply.text.contains(message) && !reply.text.contains(&BASE64.encode(KEYTAB)),
            "{}",
            reply.text
        );
    }
    // The right name, from somebody else's authority.
    let foreign = world.webhook.authority().client(WEBHOOK_CLIENT, None);
    assert!(post(Credential::Certificate(foreign)).is_err(), "a TLS alert");
    let metrics = world.webhook.metrics();
    for (reason, times) in [("no_client_certificate", 2), ("client_name", 1)] {
        let line = format!("client_authentication_failures_total{{reason=\"{reason}\"}} {times}");
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }

    // A webhook that expects another name says so to whoever creates a pod.
    let other = World::start_on(&cluster, plan("identity-other", ca, "not-the-api-server"));
    let reply = other.api.create(&driver("identity-other", "refused"));
    assert!(reply.status >= 400 && reply.message().contains("--client-name"), "{}", reply.text);
}
