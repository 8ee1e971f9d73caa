//! What people do to an installation: by hand, with the commands of docs/operating.md, and by tools that think they know
//! better. Replicas run all the time, and take nothing back but the caBundle.

use std::process::Command;
use std::time::Duration;

use acceptance::client::Namespace;
use acceptance::installed::CONFIGURATION;
use acceptance::manifests::OWN;
use acceptance::places;
use acceptance::process::{self, wait_until};
use acceptance::registration::{STATUS_ANNOTATION, canary};
use serde_json::{Value, json};

use crate::site::{Site, TEAM};

/// A namespace that opted in and that nobody serves: what is refused there is refused by a replica.
const UNCLAIMED: &str = "unclaimed";
const JSON_PATCH: &str = "application/json-patch+json";
const WITHIN: Duration = Duration::from_secs(60);

impl Site {
    /// Waits until a Spark driver is admitted like that.
    #[track_caller]
    fn wait_for_driver(&self, namespace: &str, what: &str, holds: impl Fn(u16, &Value) -> bool) {
        let mut last = String::new();
        let seen = wait_until(WITHIN, || {
            let reply = self.api().dry_run(&canary(namespace));
            last.clone_from(&reply.text);
            holds(reply.status, &reply.body).then_some(())
        });
        assert!(seen.is_some(), "not {what}: {last}\n{}", self.logs());
    }

    fn webhooks(&self) -> Value {
        self.api().get(CONFIGURATION).expect(200)["webhooks"].clone()
    }

    /// Takes the bundle away from the first entry, and waits until a replica has written it again: whatever else
    /// it would put right, it has put right then.
    #[track_caller]
    fn let_the_bundle_be_written(&self) {
        let wipe = json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]);
        self.api().patch(CONFIGURATION, JSON_PATCH, &wipe).expect(200);
        let written = wait_until(WITHIN, || self.installed.is_bundled().then_some(()));
        assert!(written.is_some(), "nobody writes the bundle:\n{}", self.logs());
    }

    /// A documented command, as an administrator types it.
    #[track_caller]
    fn type_in(&self, command: &str) {
        let mut shell = Command::new("bash");
        shell.args(["-euc", command]).env("KUBECONFIG", self.cluster.kubeconfig());
        let path = std::env::var("PATH").unwrap_or_default();
        shell.env("PATH", format!("{}:{path}", places::control_plane().display()));
        let finished = process::run(shell, b"", WITHIN);
        assert_eq!(finished.status, 0, "{command}: {}{}", finished.stdout, finished.stderr);
    }
}

/// The first block of commands after these words in docs/operating.md.
fn documented(after: &str) -> String {
    let text = std::fs::read_to_string(places::repository().join("docs/operating.md")).expect("the page");
    let (_, rest) = text.split_once(after).unwrap_or_else(|| panic!("{after} is not in docs/operating.md"));
    let (_, block) = rest.split_once("```console\n").expect("a block of commands");
    block.split_once("```").expect("its end").0.to_owned()
}

fn is_injected(status: u16, pod: &Value) -> bool {
    status == 201 && pod["metadata"]["annotations"][STATUS_ANNOTATION].is_string()
}

fn is_plain(status: u16, pod: &Value) -> bool {
    status == 201 && pod["metadata"]["annotations"][STATUS_ANNOTATION].is_null()
}

#[test]
fn what_people_do_stays_done() {
    let site = Site::start(|_| ());
    site.wait_for_driver(TEAM, "injected", is_injected);
    our_own_pods_are_never_asked_about(&site);

    // What the admission enforcer of AKS adds to every webhook.
    let enforcer = json!([{"key": "control-plane", "operator": "NotIn", "values": ["true"]},
                          {"key": "kubernetes.azure.com/managedby", "operator": "NotIn", "values": ["aks"]}]);
    let added: Vec<Value> = (0..2)
        .flat_map(|entry| {
            let path = format!("/webhooks/{entry}/namespaceSelector/matchExpressions/-");
            let add = move |expression: &Value| json!({"op": "add", "path": path, "value": expression});
            enforcer.as_array().expect("two").iter().map(add).collect::<Vec<_>>()
        })
        .collect();
    site.api().patch(CONFIGURATION, JSON_PATCH, &added.into()).expect(200);
    let selectors = |webhooks: &Value| -> Vec<Value> {
        let entries = webhooks.as_array().expect("webhooks").iter();
        entries.map(|entry| entry["namespaceSelector"].clone()).collect()
    };
    let before = selectors(&site.webhooks());
    assert_eq!(before[0]["matchExpressions"].as_array().map(Vec::len), Some(3));
    site.let_the_bundle_be_written();
    assert_eq!(selectors(&site.webhooks()), before);
    site.wait_for_driver(TEAM, "injected", is_injected);

    // The emergency switch.
    site.type_in(&documented("**Emergency switch.**"));
    site.let_the_bundle_be_written();
    for entry in site.webhooks().as_array().expect("webhooks") {
        assert_eq!(entry["failurePolicy"], "Ignore");
    }

    // The same by deletion, as it is the first step of an uninstallation: replicas notice, and make nothing anew.
    site.type_in("kubectl delete mutatingwebhookconfiguration spark-injector");
    for replica in &site.replicas {
        let noticed = wait_until(WITHIN, || (replica.admin("/readyz").0 == 503).then_some(()));
        assert!(noticed.is_some(), "a replica does not notice:\n{}", site.logs());
    }
    site.wait_for_driver(UNCLAIMED, "admitted as it is", is_plain);
    // Isolation is a policy of its own, and holds without any webhook.
    let mut placed = canary(TEAM);
    let reply = site.api().dry_run(&placed);
    assert!(reply.message().contains("need the node selector pool=a"), "{}", reply.text);
    placed["spec"]["nodeSelector"] = json!({"pool": "a"});
    assert_eq!(site.api().dry_run(&placed).status, 201);
    assert_eq!(site.api().get(CONFIGURATION).status, 404);

    // Applying the manifests again is what sets it back.
    site.cluster.apply(&places::repository().join("manifests/base/webhook.yaml"));
    let bundled = wait_until(WITHIN, || site.installed.is_bundled().then_some(()));
    assert!(bundled.is_some(), "nobody writes the bundle:\n{}", site.logs());
    assert_eq!(site.webhooks()[0]["failurePolicy"], "Fail");
}

/// Whatever labels our namespace and our pods have: a replica that needed one to start would never come back.
fn our_own_pods_are_never_asked_about(site: &Site) {
    let api = site.api();
    let labels = json!({"metadata": {"labels": {"spark-injector.io/inject": "enabled",
                                                "spark-injector.io/isolate": "enabled"}}});
    let path = format!("/api/v1/namespaces/{OWN}");
    api.patch(&path, "application/merge-patch+json", &labels).expect(200);
    // A namespace that is labelled after ours is refused: then the API server has seen both.
    api.create_namespace(&Namespace::new(UNCLAIMED).opted_in());
    let seen = wait_until(WITHIN, || (api.dry_run(&canary(UNCLAIMED)).status == 403).then_some(()));
    assert!(seen.is_some(), "{}", api.dry_run(&canary(UNCLAIMED)).text);
    for role in [None, Some("driver"), Some("executor")] {
        let mut pod = site.installed.pod();
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        if let Some(role) = role {
            pod["metadata"]["labels"]["spark-role"] = role.into();
        }
        let reply = api.dry_run(&pod);
        assert!(is_plain(reply.status, &reply.body), "{role:?}: {}", reply.text);
        assert!(reply.body["spec"]["nodeSelector"].is_null(), "{}", reply.text);
    }
    let labels = json!({"metadata": {"labels": {"spark-injector.io/inject": null, "spark-injector.io/isolate": null}}});
    api.patch(&path, "application/merge-patch+json", &labels).expect(200);
}
