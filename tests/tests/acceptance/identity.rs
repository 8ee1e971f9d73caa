//! An API server that proves to the webhook who it is: then, and only then, a patch may hold what is secret, and nobody
//! else gets it.

use std::path::Path;
use std::time::{Duration, Instant};

use acceptance::client::{Api, Credential, Namespace, Reply};
use acceptance::cluster::{Cluster, ClusterOptions, WEBHOOK_CLIENT};
use acceptance::kubelet::INIT_CONTAINER;
use acceptance::process::wait_until;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::world::{Plan, World, driver, names, profile};

const KEYTAB: &str = "canary-of-a-keytab";

fn plan(name: &'static str, arguments: Vec<&'static str>) -> Plan {
    let files = json!([{"mountPath": "/keys", "secret": {"name": "keys"}}]);
    Plan {
        name,
        namespaces: vec![Namespace::new(name).opted_in()],
        documents: vec![
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "spark-injector"},
                   "data": {"etl.keytab": BASE64.encode(KEYTAB)}}),
            profile(name, &json!({"delivery": "Env", "files": files})),
        ],
        arguments,
        ..Plan::default()
    }
}

fn by_certificate(ca: &'static str, client: &'static str) -> Vec<&'static str> {
    vec!["--client-ca", ca, "--client-name", "someone-else", "--client-name", client]
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
    let world = World::start_on(&cluster, plan("identity", by_certificate(ca, WEBHOOK_CLIENT)));
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
    let other = World::start_on(&cluster, plan("identity-other", by_certificate(ca, "not-the-api-server")));
    let reply = other.api.create(&driver("identity-other", "refused"));
    assert!(reply.status >= 400 && reply.message().contains("--client-name"), "{}", reply.text);

    // One that trusts another authority can say so by a TLS alert alone: these are the words that `check` explains.
    let stranger = acceptance::Authority::new("stranger");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.crt");
    std::fs::write(&file, stranger.certificate()).expect("a file");
    let file: &'static str = file.to_str().expect("UTF-8").to_owned().leak();
    let other = World::start_on(&cluster, plan("identity-foreign", by_certificate(file, WEBHOOK_CLIENT)));
    let words = "remote error: tls: unknown certificate authority";
    let told = wait_until(Duration::from_secs(20), || {
        let reply = other.api.create(&driver("identity-foreign", "refused"));
        assert!(reply.status >= 400, "{}", reply.text);
        // Whoever is still writing when the alert comes may tell of a connection that he has closed himself.
        reply.message().contains(words).then_some(())
    });
    assert!(told.is_some(), "nobody is told {words:?}");
}

/// The files by which an API server shows webhooks the token in another file.
fn admission(folder: &Path) -> String {
    let file = |name: &str, content: &Value| {
        let path = folder.join(name);
        std::fs::write(&path, content.to_string()).expect("a file");
        path
    };
    let users = json!([{"name": "*", "user": {"tokenFile": folder.join("shown")}}]);
    let credentials = file("kubeconfig", &json!({"apiVersion": "v1", "kind": "Config", "users": users}));
    let version = "apiserver.config.k8s.io/v1";
    let inner = json!({"apiVersion": version, "kind": "WebhookAdmissionConfiguration", "kubeConfigFile": credentials});
    let plugin = json!({"name": "MutatingAdmissionWebhook", "configuration": inner});
    let outer = json!({"apiVersion": version, "kind": "AdmissionConfiguration", "plugins": [plugin]});
    format!("--admission-control-config-file={}", file("admission.json", &outer).display())
}

/// A token follows another one while pods are created: first it is known, then it is shown, then the old one is
/// forgotten. An API server looks at its file once a minute.
#[test]
fn a_token_proves_the_same_and_is_replaced_without_a_gap() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    write("shown", "first-token");
    write("known", "first-token\n");
    let cluster = Cluster::start_with(&ClusterOptions {
        api_server_args: vec![admission(folder.path())],
        ..ClusterOptions::default()
    });
    let known: &'static str = folder.path().join("known").to_str().expect("UTF-8").to_owned().leak();
    let world = World::start_on(&cluster, plan("token", vec!["--client-token-file", known]));
    let given = |reply: Reply| {
        let init = reply.expect(201)["spec"]["initContainers"].take();
        assert!(init[0]["env"].to_string().contains(&BASE64.encode(KEYTAB)), "{init}");
    };
    given(world.api.dry_run(&driver("token", "real")));

    let post = |token: &str| {
        let credential =
            if token.is_empty() { Credential::None } else { Credential::Token(token.to_owned()) };
        let reply = world.webhook.direct(credential).post("/mutate", &review("token"));
        let tells = reply.body["response"]["patch"].as_str().is_some_and(|patch| {
            let patch = BASE64.decode(patch).expect("base64");
            String::from_utf8_lossy(&patch).contains(&BASE64.encode(KEYTAB))
        });
        assert_eq!(tells, reply.status == 200, "{}", reply.text);
        reply.status
    };
    let wrong = ["", "first-toke", "first-token2", "first-token\tsecond-token"];
    assert_eq!(wrong.map(post), [401; 4]);
    assert_eq!((post("first-token"), post("second-token")), (200, 401));

    write("known", "first-token\nsecond-token\n");
    let taken = wait_until(Duration::from_secs(30), || (post("second-token") == 200).then_some(()));
    assert!(taken.is_some(), "{}", world.webhook.log().join("\n"));
    write("shown", "second-token");
    // Both tokens are valid now, so whichever the API server shows, pods are created. It reads its file again within a
    // minute: longer than that, before the old one is dropped.
    let until = Instant::now() + Duration::from_secs(75);
    while Instant::now() < until {
        given(world.api.dry_run(&driver("token", "meanwhile")));
        std::thread::sleep(Duration::from_millis(500));
    }
    write("known", "second-token\n");
    let forgot = wait_until(Duration::from_secs(30), || (post("first-token") == 401).then_some(()));
    assert!(forgot.is_some(), "{}", world.webhook.log().join("\n"));
    given(world.api.dry_run(&driver("token", "after")));
    let told = format!("{}{}", world.webhook.log().join("\n"), world.webhook.metrics());
    assert!(!told.contains("first-token") && !told.contains("second-token"), "a token is told");
}
