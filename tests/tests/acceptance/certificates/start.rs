//! The first moments: nothing is there, and every replica wants to make it.

use acceptance::cluster::Cluster;
use acceptance::manifests::{OWN, folder};
use acceptance::process::wait_until;
use acceptance::webhook::{Certificate, Options, Webhook};
use serde_json::Value;

use super::replicas::{PATIENCE, WINDOW};
use acceptance::witness::{Witness, bundles, configuration_path, served, verify};

const HOST: &str = "spark-injector.spark-injector.svc";

#[test]
fn replicas_that_start_at_one_moment_agree_with_the_shipped_rights_and_policies() {
    let cluster = Cluster::start();
    cluster.apply(&folder("guarded"));
    let api = cluster.admin();
    let kubeconfig = cluster.service_account_kubeconfig(OWN, OWN);
    let launch = || {
        let options = Options {
            kubeconfig: Some(&kubeconfig),
            certificate: Certificate::Arguments,
            ..Options::default()
        };
        Webhook::launch(&options)
    };
    let replicas: Vec<Webhook> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..3).map(|_| scope.spawn(launch)).collect();
        all.into_iter().map(|one| one.join().expect("a replica")).collect()
    });
    // Alive from the first moment, whatever certificates do.
    assert!(replicas.iter().all(|replica| replica.admin("/livez").0 == 200));
    replicas.iter().for_each(Webhook::wait_until_ready);

    let addresses = replicas.iter().map(Webhook::review_address).collect();
    let witness = Witness::start(api, OWN, HOST, addresses, WINDOW);
    let secret = api.get(&format!("/api/v1/namespaces/{OWN}/secrets/spark-injector-tls")).expect(200);
    let parts: Vec<&String> = secret["data"].as_object().expect("data").keys().collect();
    assert_eq!(parts, ["ca.crt", "ca.key", "tls.crt", "tls.key"]);
    let configuration = api.get(&configuration_path(OWN)).expect(200);
    let published = bundles(&configuration);
    assert_eq!(published.len(), 2, "both webhooks");
    assert_eq!(published[0], published[1]);
    assert_eq!(published[0].matches("BEGIN CERTIFICATE").count(), 1, "one authority, nobody else's");
    let leaf = served(replicas[0].review_address()).expect("a certificate");
    for name in ["spark-injector", "spark-injector.spark-injector", HOST, &format!("{HOST}.cluster.local")] {
        verify(&leaf, &published[0], name).unwrap();
    }

    // Whoever comes later adopts what is there.
    let late = launch();
    late.wait_until_ready();
    assert_eq!(served(late.review_address()).expect("a certificate"), leaf);
    let seen = witness.tell();
    assert!(seen.handshakes > 0);
    assert_eq!((seen.troubles, seen.leaves.len(), seen.bundles.len()), (Vec::new(), 1, 1));
    assert_eq!(owners(&configuration), ["spark-injector"]);
    for replica in &replicas {
        let metrics = replica.metrics();
        assert!(metrics.contains("spark_injector_tls_bundle_mismatch 0"), "{metrics}");
        assert!(metrics.contains("spark_injector_tls_last_error_timestamp_seconds 0.0"), "{metrics}");
        let log = replica.log().join("\n");
        assert!(!log.contains("PRIVATE") && !log.contains("need attention"), "{log}");
    }
}

#[test]
fn a_secret_of_somebody_else_is_left_alone_and_named() {
    let api = Cluster::shared().admin();
    api.create_namespace(&acceptance::client::Namespace::new("foreign-secret"));
    api.apply_secret("foreign-secret", "theirs", &[("tls.crt", b"x"), ("tls.key", b"y")]);
    let kubeconfig = Cluster::shared().kubeconfig();
    let args =
        ["--tls-secret", "theirs", "--own-namespace", "foreign-secret", "--webhook-configuration", "no"];
    let args = args.map(ToOwned::to_owned).to_vec();
    let certificate = Certificate::Arguments;
    let webhook =
        Webhook::launch(&Options { args, kubeconfig: Some(&kubeconfig), certificate, ..Options::default() });
    let line = webhook.wait_for_log("somebody else's");
    assert!(line.contains("foreign-secret/theirs") && line.contains("--tls-secret"), "{line}");
    assert_eq!((webhook.admin("/readyz").0, webhook.admin("/livez").0), (503, 200));
    served(webhook.review_address()).unwrap_err();
    let secret = api.get("/api/v1/namespaces/foreign-secret/secrets/theirs").expect(200);
    assert_eq!(secret["data"].as_object().map(serde_json::Map::len), Some(2));
    // And who looks at the configuration finds an Event about it.
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    let found = wait_until(PATIENCE, || {
        let list = api.get(events).expect(200);
        let mut items = list["items"].as_array().into_iter().flatten().cloned();
        items.find(|event: &Value| event["reason"] == "ForeignSecret")
    });
    let event = found.expect("an event");
    assert_eq!((&event["type"], &event["regarding"]["name"]), (&"Warning".into(), &"no".into()));
}

/// Who owns a `caBundle`.
fn owners(configuration: &Value) -> Vec<&str> {
    let fields = configuration["metadata"]["managedFields"].as_array().into_iter().flatten();
    let owning = fields.filter(|fields| fields["fieldsV1"].to_string().contains("f:caBundle"));
    owning.filter_map(|fields| fields["manager"].as_str()).collect()
}
