//! That each alert asks for metrics which somebody has: the injector's `/metrics`, or the API server's.

use std::collections::BTreeSet;
use std::time::Duration;

use acceptance::client::{Credential, Namespace};
use acceptance::manifests::{folder, object, rendered};
use acceptance::process::wait_until;
use acceptance::webhook::Webhook;
use serde_json::{Value, json};

use crate::world::cluster;

fn rules() -> Vec<Value> {
    let documents = rendered(&folder("monitoring"));
    let groups = object(&documents, "PrometheusRule", "spark-injector")["spec"]["groups"].clone();
    let groups = groups.as_array().expect("groups").iter();
    groups.flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

/// The names of metrics in the expressions of all alerts.
fn asked() -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = |rule: &Value| {
        let expression = rule["expr"].as_str().expect("an expression").to_owned();
        let words = expression.split(|c| !is_part(c)).map(ToOwned::to_owned);
        let names =
            words.filter(|word| word.starts_with("spark_injector_") || word.starts_with("apiserver_"));
        let names: Vec<String> = names.collect();
        assert!(!names.is_empty(), "{} asks for nothing", rule["alert"]);
        names
    };
    rules().iter().flat_map(words).collect()
}

/// The names before the labels or the value of each sample.
fn samples(metrics: &str) -> BTreeSet<&str> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(['{', ' ']).next()).collect()
}

#[test]
fn every_alert_says_what_it_is_about_and_how_bad() {
    let rules = rules();
    assert!(rules.len() >= 10);
    for rule in rules {
        let annotations = &rule["annotations"];
        assert!(annotations["summary"].is_string() && annotations["description"].is_string(), "{rule:#}");
        let severity = rule["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("warning" | "critical")), "{rule:#}");
    }
    let monitor = &rendered(&folder("monitoring"));
    let monitor = &object(monitor, "PodMonitor", "spark-injector")["spec"];
    assert_eq!(monitor["podMetricsEndpoints"][0]["port"], "admin");
}

#[test]
fn what_the_alerts_ask_the_injector_for_is_there() {
    let inputs = tempfile::tempdir().expect("a folder");
    std::fs::write(inputs.path().join("all.json"), Namespace::new("n").opted_in().object().to_string())
        .expect("a file");
    let token = inputs.path().join("token");
    std::fs::write(&token, "0123456789abcdef0123456789abcdef").expect("a file");
    let token = ["--client-token-file", token.to_str().expect("a path in UTF-8")];
    let webhook = Webhook::start(inputs.path(), &token);
    // What is counted by a label is there once it has been counted.
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"});
    assert_eq!(webhook.review(&review).status, 401);
    let known = webhook.direct(Credential::Token("0123456789abcdef0123456789abcdef".to_owned()));
    assert_eq!(known.post("/mutate", &review).status, 400);

    let metrics = webhook.metrics();
    let there = samples(&metrics);
    for name in asked().iter().filter(|name| name.starts_with("spark_injector_")) {
        assert!(there.contains(name.as_str()), "{name} is not in\n{metrics}");
    }
}

/// On a cluster whose API server cannot call: once it goes on without an answer, once it refuses.
#[test]
fn what_the_alerts_ask_the_api_server_for_is_there() {
    let api = cluster().admin();
    api.create_namespace(&Namespace::new("alerts").opted_in());
    let nobody = "https://127.0.0.1:1/mutate";
    let authority = cluster().authority().certificate();
    let fails = acceptance::registration::Registration::new("alerts", nobody, authority)
        .only("acceptance/alerts", "yes")
        .register(api);
    api.create_namespace(&Namespace::new("alerts-fail").opted_in().label("acceptance/alerts", "yes"));
    fails.wait("alerts-fail");
    let wanted = asked();
    let wanted: Vec<&String> = wanted.iter().filter(|name| name.starts_with("apiserver_")).collect();
    assert_eq!(wanted.len(), 3);
    let mut metrics = String::new();
    let there = wait_until(Duration::from_secs(30), || {
        api.dry_run(&acceptance::registration::canary("alerts"));
        metrics = api.get("/metrics").text;
        let there = samples(&metrics);
        wanted.iter().all(|name| there.contains(name.as_str())).then_some(())
    });
    let ours = |line: &&str| {
        line.starts_with("apiserver_admission_webhook") && line.contains(".spark-injector.io\"")
    };
    let lines: Vec<&str> = metrics.lines().filter(ours).collect();
    assert!(there.is_some(), "{wanted:?} are not all in\n{}", lines.join("\n"));
    for label in ["error_type=\"calling_webhook_error\"", "name=\"pods.spark-injector.io\""] {
        assert!(lines.iter().any(|line| line.contains(label)), "{label} is not in\n{}", lines.join("\n"));
    }
}
