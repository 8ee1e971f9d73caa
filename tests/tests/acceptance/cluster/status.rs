//! What an owner sees with kubectl: columns, conditions, Events; and that writing it ends.

use acceptance::client::{Namespace, config_map};
use acceptance::manifests::OWN;
use acceptance::process::wait_until;
use acceptance::webhook::Webhook;
use serde_json::{Value, json};

use super::site::{PATIENCE, Site, source, with_source};
use crate::world::profile;

const CANARY: &str = "canary-b5d9c0";

impl Site {
    fn profile_object(&self, name: &str) -> Value {
        self.api.get(&format!("/apis/spark-injector.io/v1alpha1/sparkprofiles/{name}")).expect(200)
    }

    /// Waits until a condition has this status and reason, about the spec as it is now.
    #[track_caller]
    pub(super) fn wait_for_condition(&self, name: &str, kind: &str, status: &str, reason: &str) -> Value {
        let mut last = Value::Null;
        let found = wait_until(PATIENCE, || {
            last = self.profile_object(name);
            let conditions = last["status"]["conditions"].as_array()?;
            let condition = conditions.iter().find(|condition| condition["type"] == kind)?;
            let is_so = condition["status"] == status
                && condition["reason"] == reason
                && condition["observedGeneration"] == last["metadata"]["generation"]
                && last["status"]["observedGeneration"] == last["metadata"]["generation"];
            is_so.then(|| condition.clone())
        });
        found.unwrap_or_else(|| panic!("{kind} of {name} is not {status} ({reason}): {}", last["status"]))
    }

    /// Reasons of the Events about a profile, oldest first.
    fn events(&self, name: &str) -> Vec<String> {
        let mut events = self.api.list("events.k8s.io/v1", "Event", Some("default"));
        events.retain(|event| {
            event["regarding"]["name"] == name && event["regarding"]["kind"] == "SparkProfile"
        });
        events.sort_by_key(|event| event["eventTime"].as_str().unwrap_or_default().to_owned());
        events.iter().map(|event| event["reason"].as_str().unwrap_or_default().to_owned()).collect()
    }

    #[track_caller]
    fn wait_for_events(&self, name: &str, expected: &[&str]) {
        let found = wait_until(PATIENCE, || (self.events(name) == expected).then_some(()));
        assert!(found.is_some(), "{:?} are not {expected:?}", self.events(name));
    }

    fn kubectl_text(&self, args: &[&str]) -> String {
        String::from_utf8_lossy(&self.cluster.kubectl(args).stdout).into_owned()
    }
}

/// A profile with what callers who prove nothing must not be given.
fn apply_unproven(site: &Site) {
    let keytab = json!([{"mountPath": "/k", "secret": {"name": "keytab"}}]);
    site.api.apply_secret(OWN, "keytab", &[("etl.keytab", CANARY.as_bytes())]);
    site.kubectl_apply(&[profile("unproven", &json!({"delivery": "Env", "files": keytab}))]);
    let unproven = site.wait_for_condition("unproven", "Ready", "False", "ClientAuthRequired");
    assert!(unproven["message"].as_str().is_some_and(|text| text.contains("--client-ca")), "{unproven}");
    site.wait_for_denial("unproven", "ClientAuthRequired");
}

/// No pod of the namespace of the good profile was ever refused, or asked to wait.
#[track_caller]
fn assert_unnoticed(webhook: &Webhook) {
    let outcomes = || -> Vec<Value> {
        let lines = webhook.log();
        let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of_good = lines.filter(|line| line["namespace"] == "good");
        of_good.map(|mut line| line["outcome"].take()).filter(Value::is_string).collect()
    };
    // An answer is there before its line.
    let told = wait_until(PATIENCE, || Some(outcomes()).filter(|outcomes| !outcomes.is_empty()));
    let told = told.expect("lines of admissions");
    assert!(told.iter().all(|outcome| outcome == "injected"), "{told:?}");
}

#[test]
fn one_mistake_is_told_to_its_owner_and_noticed_by_nobody_else() {
    let site = Site::prepare();
    for name in ["good", "bad", "contested", "unproven"] {
        site.api.create_namespace(&Namespace::new(name).opted_in());
    }
    let (registered, mut webhook) = site.register();

    site.kubectl_apply(&[with_source("good"), source("good", CANARY)]);
    let ready = site.wait_for_condition("good", "Ready", "True", "Serving");
    let revision = site.profile_object("good")["status"]["revision"].as_str().expect("a revision").to_owned();
    assert!(ready["message"].as_str().expect("a message").contains(&revision), "{ready}");
    site.wait_for_condition("good", "SourcesFound", "True", "AllFound");
    site.wait_for_condition("good", "Conflict", "False", "ClaimedOnce");
    assert_eq!(site.profile_object("good")["status"]["namespaces"], json!({"served": 1}));

    let table = site.kubectl_text(&["get", "sprof"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "READY", "NAMESPACES", "REVISION", "AGE"]);
    assert_eq!(rows[1][..4], ["good", "True", "1", revision.as_str()], "{table}");
    let described = site.kubectl_text(&["describe", "sprof", "good"]);
    assert!(described.contains("Serving") && described.contains("pods are given revision"), "{described}");

    // A source that is not there, then is.
    site.kubectl_apply(&[with_source("bad")]);
    let missing = site.wait_for_condition("bad", "Ready", "False", "SourcesMissing");
    let message = missing["message"].as_str().expect("a message");
    assert!(message.contains("spec.files[0].configMap.name: there is no ConfigMap \"bad\""), "{message}");
    site.wait_for_condition("bad", "SourcesFound", "False", "SourcesMissing");
    site.wait_for_denial("bad", "there is no ConfigMap");
    site.wait_for_profile("good", "good");
    site.kubectl_apply(&[config_map(OWN, "bad", &[("app.conf", "x")])]);
    site.wait_for_condition("bad", "Ready", "True", "Serving");
    site.wait_for_profile("bad", "bad");

    // A spec that the schema lets through and the compiler does not: the last good one serves.
    let mut broken = with_source("bad");
    broken["spec"]["common"] = json!({"template": {"spec": {"tolerationz": []}}});
    site.kubectl_apply(&[broken]);
    let invalid = site.wait_for_condition("bad", "Ready", "False", "Invalid");
    let message = invalid["message"].as_str().expect("a message");
    assert!(message.contains("keeps serving") && message.contains("tolerationz"), "{message}");
    site.wait_for_profile("bad", "bad");
    site.wait_for_events("bad", &["SourcesMissing", "Serving", "Invalid"]);

    apply_unproven(&site);

    // Two that claim one namespace: both know, and the older one serves, or of one second the first by name.
    site.kubectl_apply(&[profile("contested", &json!({}))]);
    site.wait_for_profile("contested", "contested");
    let mut rival = profile("contested", &json!({}));
    rival["metadata"]["name"] = "rival".into();
    site.kubectl_apply(&[rival.clone()]);
    for name in ["contested", "rival"] {
        let told = site.wait_for_condition(name, "Conflict", "True", "ClaimedTwice");
        assert!(told["message"].as_str().is_some_and(|text| text.contains("contested")), "{told}");
    }
    site.wait_for_profile("contested", "contested");
    site.wait_for_profile("good", "good");

    // The same after a restart, where no older plan is in memory; nothing is told twice.
    let names = ["good", "bad", "contested", "unproven", "rival"];
    let events = names.map(|name| site.events(name));
    assert!(webhook.stop().success());
    assert_unnoticed(&webhook);
    drop(registered);
    let webhook = site.serve();
    let registered = webhook.registration("site").register(&site.api);
    site.wait_for_denial("bad", "tolerationz");
    site.wait_for_denial("unproven", "ClientAuthRequired");
    site.wait_for_profile("good", "good");
    site.wait_for_profile("contested", "contested");
    let nothing = site.wait_for_condition("bad", "Ready", "False", "Invalid");
    let lost = wait_until(PATIENCE, || {
        let message = site.profile_object("bad")["status"]["conditions"][0]["message"].to_string();
        message.contains("nothing can be served").then_some(())
    });
    assert!(lost.is_some(), "{nothing}");
    assert_eq!(names.map(|name| site.events(name)), events);
    assert_unnoticed(&webhook);

    site.api.delete(&rival).expect(200);
    site.wait_for_condition("contested", "Conflict", "False", "ClaimedOnce");

    // Writing has an end: what is written leads to nothing further.
    let versions = || {
        ["good", "bad", "contested"]
            .map(|name| site.profile_object(name)["metadata"]["resourceVersion"].clone())
    };
    let compiled = || webhook.log().iter().filter(|line| line.contains("profiles compiled")).count();
    let settled = wait_until(PATIENCE, || {
        let before = (versions(), compiled());
        std::thread::sleep(std::time::Duration::from_secs(3));
        ((versions(), compiled()) == before).then_some(())
    });
    assert!(settled.is_some(), "the status is written without end");

    // A status that somebody else wrote over is put right.
    let wrong = json!({"status": {"observedGeneration": 99, "revision": "forged"}});
    let path = "/apis/spark-injector.io/v1alpha1/sparkprofiles/good/status";
    site.api.patch(path, "application/merge-patch+json", &wrong).expect(200);
    let mended = wait_until(PATIENCE, || {
        (site.profile_object("good")["status"]["revision"] == revision.as_str()).then_some(())
    });
    assert!(mended.is_some(), "{}", site.profile_object("good")["status"]);

    drop(registered);
    webhook.wait_until_ready();
    let told = format!(
        "{}{}{}",
        webhook.log().join("\n"),
        webhook.metrics(),
        site.kubectl_text(&["get", "sprof,events", "-A", "-o", "json", "--show-managed-fields"])
    );
    assert!(!told.contains(CANARY), "the content of a file was told");
}

#[test]
fn a_replica_that_cannot_read_everything_leaves_writing_to_others() {
    let site = Site::prepare();
    site.api.create_namespace(&Namespace::new("good").opted_in());
    let args = ["--poll", "100ms", "--source-namespace", "elsewhere"];
    let lacking = Webhook::start_on_cluster(&site.kubeconfig(), &args);
    lacking.wait_for_log("cannot watch");
    let _able = site.serve();
    site.kubectl_apply(&[with_source("good"), source("good", CANARY)]);
    site.wait_for_condition("good", "Ready", "True", "Serving");
    assert_eq!(lacking.admin("/readyz").0, 503);
}
