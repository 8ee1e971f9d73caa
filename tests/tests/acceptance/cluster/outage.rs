//! The API server goes and comes, forgets its history, and connections break: nothing is lost, and nobody restarts.

use std::net::SocketAddr;
use std::time::Duration;

use acceptance::balancer::Balancer;
use acceptance::client::Namespace;
use acceptance::manifests::{self, OWN};
use acceptance::process::wait_until;
use acceptance::webhook::Webhook;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::site::{PATIENCE, Site, file, source, status, with_source};
use crate::world::driver;

/// Whether a driver is injected, as the webhook itself says it: the API server may be away.
fn injects(webhook: &Webhook, namespace: &str) -> bool {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "CREATE", "namespace": namespace, "object": driver(namespace, "d"),
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"}}});
    let answer = webhook.review(&review).expect(200);
    answer["response"]["allowed"] == true && answer["response"]["patch"].is_string()
}

/// Waits for so many more failed attempts to watch or read: each counts, so that an alert sees that it goes on.
#[track_caller]
fn wait_for_failures(webhook: &Webhook, more: u64) {
    let counted = "spark_injector_catalog_reloads_total{result=\"error\"} ";
    let failures = || {
        let metrics = webhook.metrics();
        let count = metrics.lines().find_map(|line| line.strip_prefix(counted)).map(str::to_owned);
        count.and_then(|count| count.parse::<u64>().ok()).unwrap_or_default()
    };
    let before = failures();
    let found = wait_until(PATIENCE, || (failures() >= before + more).then_some(()));
    assert!(found.is_some(), "{before} failures, and no {more} more of them");
}

#[test]
fn an_api_server_that_goes_and_comes_changes_nothing() {
    let mut site = Site::prepare();
    site.api.create_namespace(&Namespace::new("a").opted_in());
    let (_registered, webhook) = site.register();
    site.kubectl_apply(&[with_source("a"), source("a", "one")]);
    site.wait_for_profile("a", "a");

    site.cluster.kill_api_server();
    webhook.wait_for_log("cannot watch");
    assert!(injects(&webhook, "a"));
    webhook.wait_until_ready();
    wait_for_failures(&webhook, 1);

    site.cluster.start_api_server();
    site.kubectl_apply(&[source("a", "two")]);
    site.wait_for_driver("a", |reply| file(&reply.body, "app.conf") == BASE64.encode("two"));

    // The store goes alone: the API server stays and answers with errors.
    site.cluster.kill_etcd();
    assert!(injects(&webhook, "a"));
    site.cluster.start_etcd();
    site.kubectl_apply(&[source("a", "three")]);
    site.wait_for_driver("a", |reply| file(&reply.body, "app.conf") == BASE64.encode("three"));
    assert!(!webhook.log().iter().any(|line| line.contains("panic")));
}

#[test]
fn what_happened_behind_a_cut_connection_is_learned_from_a_new_list() {
    let mut site = Site::prepare();
    for name in ["stays", "leaves", "loses", "moves"] {
        site.api.create_namespace(&Namespace::new(name).opted_in());
        site.kubectl_apply(&[with_source(name), source(name, "one")]);
    }
    // Between the webhook and the API server stands something that can be cut.
    let balancer = Balancer::start();
    let api: SocketAddr = site.cluster.url().trim_start_matches("https://").parse().expect("an address");
    balancer.add(api, None);
    let url = format!("https://{}", balancer.address());
    let kubeconfig = site.cluster.service_account_kubeconfig_to(&url, OWN, OWN);
    let webhook = Webhook::start_on_cluster(&kubeconfig, &["--poll", "100ms"]);
    webhook.wait_until_ready();
    let _registered = site.lead_to(&webhook);
    for name in ["stays", "leaves", "loses", "moves"] {
        site.wait_for_profile(name, name);
    }

    // A cut alone: watches go on where they were.
    balancer.cut(api);
    site.kubectl_apply(&[source("stays", "two")]);
    site.wait_for_driver("stays", |reply| file(&reply.body, "app.conf") == BASE64.encode("two"));

    // Cut off for long: meanwhile everything changes, and the history that would tell of it is lost.
    let mark = webhook.log_mark();
    balancer.retire(api);
    balancer.cut(api);
    webhook.wait_for_log_after(mark, "cannot watch");
    site.kubectl_apply(&[source("stays", "three")]);
    let opted_out = json!({"metadata": {"labels": {"spark-injector.io/inject": null}}});
    site.api.patch("/api/v1/namespaces/leaves", "application/merge-patch+json", &opted_out).expect(200);
    site.api.delete(&with_source("loses")).expect(200);
    let mut renamed = with_source("moves");
    renamed["metadata"]["name"] = "elsewhere".into();
    site.api.delete(&with_source("moves")).expect(200);
    site.kubectl_apply(&[renamed, Namespace::new("arrives").opted_in().object()]);
    site.kubectl_apply(&[with_source("arrives"), source("arrives", "one")]);
    site.api.create_service_account("arrives", "default");
    site.cluster.compact_etcd();
    // Its memory of the changes goes as well.
    site.cluster.kill_api_server();
    site.cluster.start_api_server();
    assert!(injects(&webhook, "stays"), "from memory");

    let lists = || {
        let account = format!("system:serviceaccount:{OWN}:{OWN}");
        let ours = site.cluster.audit_log().into_iter();
        let ours = ours.filter(|event| event["user"]["username"] == account.as_str());
        ours.filter(|event| event["verb"] == "list").count()
    };
    let before = lists();
    balancer.add(api, None);
    site.wait_for_driver("stays", |reply| file(&reply.body, "app.conf") == BASE64.encode("three"));
    site.wait_for_driver("leaves", |reply| reply.status == 201 && status(&reply.body).is_null());
    site.wait_for_denial("loses", "no SparkProfile");
    site.wait_for_profile("moves", "elsewhere");
    site.wait_for_profile("arrives", "arrives");
    webhook.wait_until_ready();
    // The watches were told that what they saw last is too old (410), and every kind was listed anew.
    webhook.wait_for_log("too old resource version");
    let kinds = ["sparkprofiles", "namespaces", "configmaps", "secrets"].len();
    let listed = wait_until(PATIENCE, || (lists() >= before + kinds).then_some(()));
    assert!(listed.is_some(), "{} lists, {before} before", lists());
    // What comes after that is followed as ever.
    site.kubectl_apply(&[source("stays", "four")]);
    site.wait_for_driver("stays", |reply| file(&reply.body, "app.conf") == BASE64.encode("four"));
}

#[test]
fn what_is_missing_at_the_start_is_named_and_waited_for() {
    let site = Site::without(&["CustomResourceDefinition", "ClusterRoleBinding"]);
    let webhook = Webhook::start_on_cluster(&site.kubeconfig(), &["--poll", "100ms"]);
    let (ready, why) = webhook.admin("/readyz");
    assert_eq!(ready, 503, "{why}");
    assert!(why.contains("not all read yet"), "{why}");
    let forbidden = webhook.wait_for_log("cannot list resource \\\"namespaces\\\"");
    assert!(forbidden.contains("manifests/base"), "{forbidden}");
    assert_eq!(webhook.admin("/livez").0, 200);

    site.install(&["ClusterRoleBinding"]);
    let missing = webhook.wait_for_log("does not know SparkProfiles");
    assert!(missing.contains("spark-injector crd | kubectl apply"), "{missing}");
    assert_eq!(webhook.admin("/readyz").0, 503);

    // Meanwhile it is asked for again and again.
    wait_for_failures(&webhook, 3);
    site.install(&["CustomResourceDefinition"]);
    webhook.wait_until_ready();
    let said = webhook.log().iter().filter(|line| line.contains("does not know SparkProfiles")).count();
    assert_eq!(said, 1, "every cause is said once, not at every attempt");
}

#[test]
fn an_object_that_may_not_be_read_is_asked_for_now_and_then() {
    let site = Site::prepare();
    let is_ours = |object: &&Value| object["kind"] == "Role" && object["metadata"]["name"] == OWN;
    let mut role = manifests::base().iter().find(is_ours).expect("a Role").clone();
    let sources = &mut role["rules"][0];
    assert_eq!(sources["verbs"], json!(["get", "list", "watch"]));
    sources["verbs"] = json!(["list", "watch"]);
    site.api.apply(&role);
    site.api.create_namespace(&Namespace::new("a").opted_in());
    site.kubectl_apply(&[with_source("a"), source("a", "one")]);
    let webhook = site.serve();
    webhook.wait_for_log("cannot read a source");
    wait_for_failures(&webhook, 3);
    // Without a pause it would be thousands in a second.
    std::thread::sleep(Duration::from_secs(3));
    let calls = site.cluster.audit_log().into_iter();
    let reads = calls.filter(|call| call["verb"] == "get" && call["objectRef"]["name"] == "a");
    let reads = reads.filter(|call| call["objectRef"]["resource"] == "configmaps").count();
    assert!((4..50).contains(&reads), "{reads} reads");

    site.install(&["Role"]);
    let _registered = site.lead_to(&webhook);
    site.wait_for_driver("a", |reply| file(&reply.body, "app.conf") == BASE64.encode("one"));
}
