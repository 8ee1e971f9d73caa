//! What does not answer concerns those who name it, and nobody else.

use acceptance::client::Namespace;
use acceptance::leased::Leased;
use acceptance::manifests::OWN;
use acceptance::relay::Relay;
use acceptance::webhook::Webhook;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::site::{Site, file, source, with_source};
use crate::world::profile;

/// Threads of the webhook that wait in the kernel for a file to be opened.
fn stuck(webhook: &Webhook) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{}/task", webhook.id())).expect("its threads");
    let place = |thread: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(thread.ok()?.path().join("wchan")).ok()
    };
    threads.filter_map(place).filter(|place| place.contains("break_lease")).count()
}

#[test]
fn a_directory_that_hangs_holds_up_nobody_else() {
    let site = Site::prepare();
    let root = tempfile::tempdir().expect("a folder");
    let hangs = root.path().join("hangs");
    std::fs::create_dir(&hangs).expect("a folder");
    std::fs::write(hangs.join("a"), "one").expect("a file");
    for name in ["disk", "well"] {
        site.api.create_namespace(&Namespace::new(name).opted_in());
    }
    let on_disk = |name: &str| {
        let files = json!([{"mountPath": "/conf", "directory": {"path": "hangs"}}]);
        profile(name, &json!({"files": files}))
    };
    site.kubectl_apply(&[on_disk("disk"), with_source("well"), source("well", "one")]);
    let args = ["--poll", "100ms", "--files-root", root.path().to_str().expect("UTF-8")];
    let webhook = Webhook::start_on_cluster(&site.kubeconfig(), &args);
    webhook.wait_until_ready();
    let _registered = site.lead_to(&webhook);
    let of = |text: &str| BASE64.encode(text);
    site.wait_for_driver("disk", |reply| file(&reply.body, "a") == of("one"));
    site.wait_for_condition("disk", "SourcesFound", "True", "AllFound");

    let leased = Leased::plant(&hangs, "two");
    let sentence = "directory `hangs` has not answered since 2";
    let found = site.wait_for_condition("disk", "SourcesFound", "False", "SourcesMissing");
    assert!(found["message"].as_str().is_some_and(|text| text.contains(sentence)), "{found}");
    webhook.wait_for_log(sentence);
    let metrics = webhook.metrics();
    assert!(metrics.lines().any(|line| line == "spark_injector_catalog_problems 1"), "{metrics}");

    // Everybody else is followed: sources, profiles that are new, and those that name the same directory.
    site.kubectl_apply(&[source("well", "two")]);
    site.wait_for_driver("well", |reply| file(&reply.body, "app.conf") == of("two"));
    site.api.create_namespace(&Namespace::new("late").opted_in());
    site.kubectl_apply(&[on_disk("late")]);
    site.wait_for_denial("late", sentence);
    site.api.delete(&on_disk("late")).expect(200);
    site.wait_for_denial("late", "no SparkProfile");
    site.kubectl_apply(&[on_disk("late")]);
    site.wait_for_denial("late", sentence);
    assert_eq!(file(&site.try_driver("disk").expect(201), "a"), of("one"), "the last good one");
    assert_eq!(stuck(&webhook), 1, "one thread waits for it");

    // It answers again.
    drop(leased);
    for name in ["disk", "late"] {
        site.wait_for_driver(name, |reply| file(&reply.body, "a") == of("two"));
    }
    site.wait_for_condition("disk", "SourcesFound", "True", "AllFound");
    assert_eq!(stuck(&webhook), 0);
}

#[test]
fn a_source_that_is_never_answered_holds_up_nobody_else() {
    let site = Site::prepare();
    for name in ["silent", "well"] {
        site.api.create_namespace(&Namespace::new(name).opted_in());
        site.kubectl_apply(&[with_source(name), source(name, "one")]);
    }
    let relay = Relay::start(&site.api);
    let kubeconfig = site.cluster.service_account_kubeconfig_to(&relay.url(), OWN, OWN);
    let webhook = Webhook::start_on_cluster(&kubeconfig, &["--poll", "100ms"]);
    webhook.wait_until_ready();
    let _registered = site.lead_to(&webhook);
    let of = |text: &str| BASE64.encode(text);
    for name in ["silent", "well"] {
        site.wait_for_driver(name, |reply| file(&reply.body, "app.conf") == of("one"));
    }

    relay.swallow(Some(&format!("/api/v1/namespaces/{OWN}/configmaps/silent")));
    site.kubectl_apply(&[source("silent", "two")]);
    // All of this is seen before anybody gives up on the one that is silent.
    for text in ["two", "three", "four"] {
        site.kubectl_apply(&[source("well", text)]);
        site.wait_for_driver("well", |reply| file(&reply.body, "app.conf") == of(text));
    }
    assert!(!webhook.log().iter().any(|line| line.contains("cannot read a source")), "{:?}", webhook.log());
    let said = webhook.wait_for_log("cannot read a source");
    assert!(said.contains("ConfigMap spark-injector/silent"), "{said}");
    assert_eq!(file(&site.try_driver("silent").expect(201), "app.conf"), of("one"), "the last good one");

    relay.swallow(None);
    site.wait_for_driver("silent", |reply| file(&reply.body, "app.conf") == of("two"));

    // One that was never read is there all the same: nobody is told to create it.
    relay.swallow(Some(&format!("/api/v1/namespaces/{OWN}/configmaps/mute")));
    site.api.create_namespace(&Namespace::new("mute").opted_in());
    site.kubectl_apply(&[source("mute", "one"), with_source("mute")]);
    let sentence = "ConfigMap \"mute\" in namespace spark-injector cannot be read: no answer in time";
    site.wait_for_denial("mute", sentence);
    let found = site.wait_for_condition("mute", "SourcesFound", "False", "SourcesMissing");
    assert!(found["message"].as_str().is_some_and(|text| text.contains(sentence)), "{found}");
    relay.swallow(None);
    site.wait_for_driver("mute", |reply| file(&reply.body, "app.conf") == of("one"));
}
