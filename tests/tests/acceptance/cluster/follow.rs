//! What is applied with kubectl is what the next pod gets.

use acceptance::client::Namespace;
use acceptance::manifests::OWN;
use acceptance::process::wait_until;
use acceptance::webhook::Webhook;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::site::{PATIENCE, Site, file, source, status, with_source};
use crate::world::profile;

#[test]
fn the_next_pod_gets_what_was_applied() {
    let site = Site::prepare();
    let (_registered, webhook) = site.register();
    let of = |text: &str| BASE64.encode(text);

    // All at once, by kubectl, in whatever order.
    site.api.create_namespace(&Namespace::new("a"));
    let labelled = Namespace::new("a").opted_in().object();
    site.kubectl_apply(&[with_source("a"), source("a", "one\n"), labelled]);
    let pod = site.wait_for_profile("a", "a");
    assert_eq!(file(&pod, "app.conf"), of("one\n"));
    let first = status(&pod)["revision"].clone();

    // A change of the source alone is another revision.
    let mark = webhook.log_mark();
    site.kubectl_apply(&[source("a", "two\n")]);
    let pod = site.wait_for_driver("a", |reply| file(&reply.body, "app.conf") == of("two\n")).expect(201);
    assert_ne!(status(&pod)["revision"], first);
    webhook.wait_for_log_after(mark, "ConfigMap spark-injector/a");

    // A source that is gone: the last good plan serves on. It comes back with another content.
    let mark = webhook.log_mark();
    site.api.delete(&source("a", "")).expect(200);
    webhook.wait_for_log_after(mark, "there is no ConfigMap");
    assert_eq!(file(&site.try_driver("a").expect(201), "app.conf"), of("two\n"));
    site.kubectl_apply(&[source("a", "three\n")]);
    site.wait_for_driver("a", |reply| file(&reply.body, "app.conf") == of("three\n"));
    webhook.wait_for_log_after(mark, "mistake resolved");

    // A source that nobody named becomes one when a profile names it.
    site.kubectl_apply(&[source("other", "other\n")]);
    let renamed = profile("a", &json!({"files": [{"mountPath": "/conf", "configMap": {"name": "other"}}]}));
    site.kubectl_apply(&[renamed]);
    site.wait_for_driver("a", |reply| file(&reply.body, "app.conf") == of("other\n"));

    // The label goes and comes.
    let namespace = |label: Value| json!({"metadata": {"labels": {"spark-injector.io/inject": label}}});
    let patch = |label: Value| {
        site.api.patch("/api/v1/namespaces/a", "application/merge-patch+json", &namespace(label)).expect(200)
    };
    patch(Value::Null);
    site.wait_for_driver("a", |reply| reply.status == 201 && status(&reply.body).is_null());
    patch("enabled".into());
    site.wait_for_profile("a", "a");

    // The profile goes, and comes under another name.
    site.api.delete(&with_source("a")).expect(200);
    site.wait_for_denial("a", "no SparkProfile");
    let mut other = with_source("a");
    other["metadata"]["name"] = "renamed".into();
    site.kubectl_apply(&[other]);
    let pod = site.wait_for_profile("a", "renamed");
    assert_eq!(file(&pod, "app.conf"), of("three\n"));

    // A namespace that goes is forgotten; one of the same name starts anew.
    site.kubectl_apply(&[Namespace::new("b").opted_in().object(), with_source("b"), source("b", "b\n")]);
    site.api.create_service_account("b", "default");
    site.wait_for_profile("b", "b");

    let account = format!("system:serviceaccount:{OWN}:{OWN}");
    let calls = || {
        let log = site.cluster.audit_log();
        let ours = log.into_iter().filter(|event| event["user"]["username"] == account.as_str());
        // The replica that writes says every two seconds that it is there.
        let asked = |event: &Value| event["verb"] != "watch" && event["objectRef"]["resource"] != "leases";
        ours.filter(asked).collect::<Vec<_>>()
    };
    assert!(!calls().is_empty(), "the audit log knows the webhook");
    // Nothing is asked for a request. What the applied objects led to has an end first.
    let quiet = wait_until(PATIENCE, || {
        let before = calls().len();
        std::thread::sleep(std::time::Duration::from_secs(3));
        let after = calls().len();
        (before == after).then_some(after)
    });
    let before = quiet.expect("the webhook asks the API server without end");
    for _ in 0..50 {
        site.try_driver("a").expect(201);
    }
    assert_eq!(calls().len(), before, "{:?}", calls().last());
    for event in site.cluster.audit_log() {
        let (resource, verb) = (&event["objectRef"]["resource"], &event["verb"]);
        if event["user"]["username"] == account.as_str() {
            assert_ne!(resource, "pods", "{event}");
            let namespace = event["objectRef"]["namespace"].as_str();
            let is_source = ["configmaps", "secrets"].iter().any(|kind| resource == kind);
            let reads = ["get", "list", "watch"].iter().any(|reading| verb == reading);
            assert!(!(is_source && reads) || namespace == Some(OWN), "{event}");
            // Only what is not there yet is asked for in vain: the Lease and the ledger, at the start.
            let code = event["responseStatus"]["code"].as_u64();
            let name = &event["objectRef"]["name"];
            let is_first = resource == "leases" || (name == "spark-injector-ledger" && code == Some(404));
            // A cache of the API server that is not filled yet answers 429, and is asked again.
            assert!(code.is_none_or(|code| code < 400 || code == 429) || is_first, "{event}");
        }
    }
}

#[test]
fn directories_beside_the_webhook_are_sources_as_well() {
    let site = Site::prepare();
    let root = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(root.path().join("hadoop")).expect("a folder");
    let write = |text: &str| {
        let new = root.path().join("new");
        std::fs::write(&new, text).expect("a file");
        std::fs::rename(&new, root.path().join("hadoop/core-site.xml")).expect("the file in its place");
    };
    write("one");
    site.api.create_namespace(&Namespace::new("disk").opted_in());
    let files = json!([{"mountPath": "/opt/hadoop-conf", "directory": {"path": "hadoop"}}]);
    site.kubectl_apply(&[profile("disk", &json!({"files": files}))]);
    let args = ["--poll", "100ms", "--files-root", root.path().to_str().expect("UTF-8")];
    let webhook = Webhook::start_on_cluster(&site.kubeconfig(), &args);
    webhook.wait_until_ready();
    let _registered = site.lead_to(&webhook);
    for text in ["one", "two", "three"] {
        write(text);
        site.wait_for_driver("disk", |reply| file(&reply.body, "core-site.xml") == BASE64.encode(text));
    }
    webhook.wait_for_log("directory hadoop");
}
