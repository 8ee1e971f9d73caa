//! A webhook that does not answer, each kind of silence from the real one: under `Ignore` the pod is created as it is,
//! under `Fail` it is refused, and its user reads why.

use std::path::Path;
use std::time::Duration;

use acceptance::Authority;
use acceptance::client::{Api, Namespace};
use acceptance::cluster::Cluster;
use acceptance::process::wait_until;
use acceptance::registration::Registration;
use acceptance::webhook::{Certificate, Options, Webhook};
use serde_json::json;

use super::{POLICIES, assert_call_failed, namespace, under_both};
use crate::world::{driver, one_file, profile};

/// The inputs of a webhook that serves both namespaces of a test.
fn inputs(folder: &Path, test: &str) {
    let objects = POLICIES.into_iter().flat_map(|policy| {
        let name = namespace(test, policy);
        [profile(&name, &json!({"files": one_file()})), Namespace::new(&name).opted_in().object()]
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects.collect::<Vec<_>>()});
    std::fs::write(folder.join("all.json"), list.to_string()).expect("a file");
}

fn api() -> &'static Api {
    Cluster::shared().admin()
}

/// Asserts that nobody answers for a pod of either namespace, and what the refused user reads of it.
#[track_caller]
fn assert_silence(test: &str, says: &str) {
    for policy in POLICIES {
        let told =
            assert_call_failed(policy, &api().dry_run(&driver(&namespace(test, policy), "silence")), test);
        assert!(policy == "Ignore" || told.contains(says), "{told}");
    }
}

#[test]
fn one_that_hangs_and_one_that_is_away() {
    let folder = tempfile::tempdir().expect("a folder");
    inputs(folder.path(), "silence");
    let mut webhook = Webhook::start(folder.path(), &[]);
    let registered = under_both(api(), "silence", |name| webhook.registration(name).timeout(1));
    for (registered, policy) in registered.iter().zip(POLICIES) {
        registered.wait(&namespace("silence", policy));
    }
    webhook.signal("STOP");
    assert_silence("silence", "context deadline exceeded");
    webhook.signal("CONT");
    webhook.kill();
    assert_silence("silence", "connect: connection refused");
}

/// The pod's namespace is not known: the webhook waits half a second for it, and ends meanwhile.
#[test]
fn one_that_dies_while_it_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    inputs(folder.path(), "silence-of-others");
    for policy in POLICIES {
        let test = format!("silence-death-{}", policy.to_lowercase());
        let name = namespace(&test, policy);
        let mut webhook = Webhook::start(folder.path(), &[]);
        let registered = under_both(api(), &test, |name| webhook.registration(name).timeout(1));
        let unavailable = || {
            let waits = "spark_injector_admission_requests_total{outcome=\"unavailable\"";
            webhook
                .metrics()
                .lines()
                .filter(|line| line.starts_with(waits))
                .map(ToOwned::to_owned)
                .collect::<Vec<_>>()
        };
        for (registered, policy) in registered.iter().zip(POLICIES) {
            // Those of the configuration before count as well: what rises meanwhile is this one's.
            let before = unavailable();
            registered.wait_for(&namespace(&test, policy), |_| unavailable() != before);
        }
        let reply = std::thread::scope(|scope| {
            let created = scope.spawn(|| api().dry_run(&driver(&name, "silence")));
            let asked = wait_until(Duration::from_secs(20), || {
                webhook.metrics().contains("spark_injector_admission_requests_in_flight 1").then_some(())
            });
            webhook.kill();
            assert!(asked.is_some(), "nobody asks");
            created.join().expect("an answer")
        });
        let told = assert_call_failed(policy, &reply, "a death");
        // What the connection dies of is the kernel's choice.
        let dead =
            ["EOF", "connection reset by peer", "connection refused"].iter().any(|word| told.contains(word));
        assert!(policy == "Ignore" || dead, "{told}");
    }
}

#[test]
fn one_that_is_not_whom_the_api_server_expects() {
    let folder = tempfile::tempdir().expect("a folder");
    inputs(folder.path(), "silence-stranger");
    let webhook = Webhook::start(folder.path(), &[]);
    let somebody = Authority::new("somebody-else");
    let registered = under_both(api(), "silence-stranger", |name| {
        Registration::new(name, &webhook.url(), somebody.certificate()).timeout(2)
    });
    for (registered, policy) in registered.iter().zip(POLICIES) {
        let says = "x509: certificate signed by unknown authority";
        if policy == "Fail" {
            registered.wait_for(&namespace("silence-stranger", policy), |reply| reply.text.contains(says));
        }
    }
    assert_silence("silence-stranger", "x509: certificate signed by unknown authority");
    drop(registered);

    let (authority, tls) = (Authority::new("an-authority"), tempfile::tempdir().expect("a folder"));
    let (certificate, key) = authority.server_of(&["another.example"], "another").write(tls.path(), "tls");
    let path = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
    inputs(folder.path(), "silence-name");
    let args = ["--from", &path(folder.path()), "--tls-cert", &path(&certificate), "--tls-key", &path(&key)];
    let webhook = Webhook::launch(&Options {
        args: args.into_iter().map(ToOwned::to_owned).collect(),
        certificate: Certificate::Arguments,
        ..Options::default()
    });
    let registered = under_both(api(), "silence-name", |name| {
        Registration::new(name, &webhook.url(), authority.certificate()).timeout(2)
    });
    let says = "x509: cannot validate certificate for 127.0.0.1";
    registered[1].wait_for(&namespace("silence-name", "Fail"), |reply| reply.text.contains(says));
    assert_silence("silence-name", says);
}
