//! `check` and `explain` against a real API server: a chain that holds, and each of its links broken.

use std::path::Path;
use std::time::Duration;

use acceptance::cli;
use acceptance::client::{Api, Namespace};
use acceptance::cluster::Cluster;
use acceptance::places;
use acceptance::process::{Finished, wait_until};
use acceptance::registration::{Registered, Registration};
use acceptance::webhook::Webhook;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{driver, one_file, profile};

const NAME: &str = "checked";
const PROFILES: &str = "/apis/spark-injector.io/v1alpha1/sparkprofiles";

/// A control plane on which the definition, a profile, namespaces and a webhook are installed, as the injector would
/// leave them: what it says of the profile is written here.
struct Chain {
    cluster: Cluster,
    webhook: Webhook,
    registered: Option<Registered>,
    _folder: TempDir,
}

impl Chain {
    fn start() -> Self {
        let cluster = Cluster::start();
        let api = cluster.admin().clone();
        let text =
            std::fs::read_to_string(places::repository().join("manifests/base/crd.yaml")).expect("the CRD");
        let definition: Vec<Value> = serde_saphyr::from_multiple(&text).expect("the CRD");
        api.apply(&definition[0]);
        let served = wait_until(Duration::from_secs(20), || (api.get(PROFILES).status == 200).then_some(()));
        assert!(served.is_some(), "the definition did not come into effect");
        let namespaces = [Namespace::new(NAME).opted_in().isolated(), Namespace::new("checked-not")];
        let mut files = one_file();
        let shared = json!({"mountPath": "/shared", "configMap": {"name": "shared"}});
        files.as_array_mut().expect("a list").push(shared);
        let object = profile(
            NAME,
            &json!({"files": files, "nodeSelector": {"default": {"pool": "a"}, "scope": "AllPods"},
                    "executorRole": {"name": "IS_EXECUTOR", "value": "yes"}}),
        );
        let mut documents: Vec<Value> = namespaces.iter().map(Namespace::object).collect();
        documents.push(object.clone());
        documents.push(acceptance::client::config_map("spark-injector", "shared", &[("site.xml", "<x/>")]));
        api.create_namespace(&Namespace::new("spark-injector"));
        api.apply_config_map("spark-injector", "shared", &[("site.xml", "<x/>")]);
        for namespace in &namespaces {
            api.create_namespace(namespace);
        }
        api.create(&object).expect(201);
        let folder = tempfile::tempdir().expect("a folder");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": documents});
        std::fs::write(folder.path().join("all.json"), list.to_string()).expect("a file");
        let webhook = Webhook::start(folder.path(), &["--poll", "50ms"]);
        let mut chain = Self { cluster, webhook, registered: None, _folder: folder };
        chain.say("True", "Compiled", "");
        chain.register(|registration| registration);
        chain
    }

    fn api(&self) -> &Api {
        self.cluster.admin()
    }

    /// Writes the condition Ready, as the injector does.
    fn say(&self, ready: &str, reason: &str, message: &str) {
        let generation =
            self.api().get(&format!("{PROFILES}/{NAME}")).expect(200)["metadata"]["generation"].clone();
        let condition = json!({"type": "Ready", "status": ready, "reason": reason, "message": message,
                               "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let status = json!({"status": {"observedGeneration": generation, "conditions": [condition]}});
        let path = format!("{PROFILES}/{NAME}/status");
        self.api().patch(&path, "application/merge-patch+json", &status).expect(200);
    }

    /// Registers the webhook anew, and waits until a dry run shows it: injected, or a failed call.
    fn register(&mut self, change: impl FnOnce(Registration) -> Registration) {
        self.registered = None;
        let registered = change(self.webhook.registration("spark-injector")).register(self.cluster.admin());
        registered.wait(NAME);
        self.registered = Some(registered);
    }

    /// The findings of the administrator's check, and its exit status.
    fn findings(&self) -> (i32, Vec<Value>) {
        let finished = check(&self.cluster.kubeconfig(), &["-o", "json"]);
        let report: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}"));
        (finished.status, report["findings"].as_array().expect("findings").clone())
    }

    /// Asserts that this link is found broken, with these words and a remedy.
    #[track_caller]
    fn broken(&self, check: &str, says: &str, remedy: &str) {
        let mut last = Vec::new();
        // What was changed is seen by the API server's caches a moment later.
        let seen = wait_until(Duration::from_secs(20), || {
            let (status, findings) = self.findings();
            let found = findings.iter().any(|finding| {
                let has =
                    |field: &str, part: &str| finding[field].as_str().unwrap_or_default().contains(part);
                finding["check"] == check
                    && finding["verdict"] == "failed"
                    && has("detail", says)
                    && has("remedy", remedy)
            });
            last = findings;
            (status == 3 && found).then_some(())
        });
        assert!(seen.is_some(), "{check} is not broken as expected: {last:#?}");
    }
}

fn check(kubeconfig: &Path, more: &[&str]) -> Finished {
    let mut args = vec!["check", "--kubeconfig", kubeconfig.to_str().expect("a path in UTF-8")];
    args.extend(more);
    cli::run(&args, b"")
}

/// One control plane and one webhook for all: each link is broken, found, and mended before the next one.
#[test]
fn each_broken_link_is_found_with_its_remedy() {
    let mut chain = Chain::start();
    let api = chain.api().clone();

    // Everything holds. The injector has no account here, and nobody said so: two of that are told apart.
    let (_, findings) = chain.findings();
    let verdict = |check: &str| {
        let found: Vec<&str> = findings
            .iter()
            .filter(|finding| finding["check"] == check)
            .filter_map(|finding| finding["verdict"].as_str())
            .collect();
        found.join(" ")
    };
    for check in ["api_server", "permissions", "definition", "profile", "namespace", "certificate"] {
        assert_eq!(verdict(check), "passed", "{check}: {findings:#?}");
    }
    for check in ["configuration", "ca_bundle"] {
        assert_eq!(verdict(check), "passed passed", "{check}: {findings:#?}");
    }
    for check in ["canary_driver", "canary_executor", "canary_pod"] {
        assert_eq!(verdict(check), "passed", "{check}: {findings:#?}");
    }
    assert_eq!(verdict("delivery"), "skipped");
    assert_eq!(verdict("injector_permissions"), "failed", "the account has no rights yet");
    assert!(api.list("v1", "Pod", None).is_empty(), "canaries are never stored");

    // With the account's rights as they are shipped, the whole passes.
    rights(&api);
    let passes = wait_until(Duration::from_secs(20), || (chain.findings().0 == 0).then_some(()));
    assert!(passes.is_some(), "{:#?}", chain.findings());
    let table = check(&chain.cluster.kubeconfig(), &[]);
    assert!(
        table.stdout.contains("canary driver checked") && table.stdout.contains("0 failed"),
        "{}",
        table.stdout
    );
    // Too many rights are found as well.
    grant(
        &api,
        "system:serviceaccount:spark-injector:spark-injector",
        "reads-secrets",
        &json!([
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]),
    );
    chain.broken("injector_permissions", "may read Secrets of every namespace", "create and delete alone");
    assert_eq!(
        api.delete(&binding("system:serviceaccount:spark-injector:spark-injector", "reads-secrets")).status,
        200
    );

    // Also where everybody has them.
    let mut everybody = binding("everybody", "reads-secrets");
    everybody["subjects"] =
        json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}]);
    api.create(&everybody).expect(201);
    chain.broken("injector_permissions", "may read Secrets of every namespace", "create and delete alone");
    assert_eq!(api.delete(&everybody).status, 200);

    // The profile says that it is not Ready.
    chain.say("False", "SourceMissing", "spec.files[0]: there is no ConfigMap");
    chain.broken("profile", "SourceMissing: spec.files[0]: there is no ConfigMap", "correct the profile");
    chain.say("True", "Compiled", "");

    // A namespace that nobody serves.
    api.create_namespace(&Namespace::new("checked-unclaimed").opted_in());
    chain.broken("namespace", "no SparkProfile serves it", "spec.namespaces");
    let unlabel = json!({"metadata": {"labels": {"spark-injector.io/inject": null}}});
    api.patch("/api/v1/namespaces/checked-unclaimed", "application/merge-patch+json", &unlabel).expect(200);

    // The API server goes on without the webhook's answer.
    chain.register(|registration| registration.failure_policy("Ignore"));
    chain.broken("configuration", "failurePolicy is Ignore", "manifests");

    // An authority that did not sign the certificate.
    let stranger = acceptance::Authority::new("stranger");
    let url = chain.webhook.url();
    chain.registered = None;
    let wrong = Registration::new("spark-injector", &url, stranger.certificate());
    let registered = wrong.register(&api);
    registered.wait(NAME);
    chain.broken("canary_driver", "the caBundle does not fit the certificate", "clientConfig.caBundle");
    chain.broken("certificate", "the handshake failed", "caBundle");
    drop(registered);

    // No configuration at all: pods start without anything.
    chain.broken("configuration", "it is not there", "--webhook-configuration");
    chain.broken("canary_driver", "not injected", "configuration");

    // Nobody answers.
    chain.register(|registration| registration);
    assert!(chain.webhook.stop().success());
    chain.broken(
        "canary_driver",
        "nobody listens where the API server calls",
        "look at the pods of the injector",
    );

    // Somebody without rights learns which ones are missing.
    let nobody = chain.cluster.kubeconfig_for("nobody", None);
    let finished = check(&nobody, &["--namespace", NAME]);
    assert_eq!(finished.status, 3, "{finished:?}");
    for part in
        ["missing to run this check: get customresourcedefinitions", "ClusterRole spark-injector-check"]
    {
        assert!(finished.stdout.contains(part), "{part} in {}", finished.stdout);
    }

    // The definition is gone.
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                            "metadata": {"name": "sparkprofiles.spark-injector.io"}});
    assert_eq!(api.delete(&definition).status, 200);
    chain.broken("definition", "it is not there", "spark-injector crd | kubectl apply");

    // No API server.
    let (finished, away) = (chain.cluster.kubeconfig(), chain);
    let text = std::fs::read_to_string(&finished).expect("a kubeconfig");
    let folder = tempfile::tempdir().expect("a folder");
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let file = folder.path().join("config");
    std::fs::write(&file, text.replace(&away.cluster.url(), &format!("https://{closed}"))).expect("a file");
    let finished = check(&file, &["-o", "json"]);
    let report: Value = serde_json::from_str(&finished.stdout).expect("a report");
    assert_eq!((finished.status, &report["findings"][0]["check"]), (3, &json!("api_server")), "{finished:?}");
    assert!(report["findings"][0]["remedy"].as_str().is_some_and(|remedy| remedy.contains("--kubeconfig")));
}

fn binding(user: &str, name: &str) -> Value {
    let rbac = "rbac.authorization.k8s.io";
    let subject = match user.rsplit_once(':') {
        Some((_, account)) => {
            json!({"kind": "ServiceAccount", "name": account, "namespace": "spark-injector"})
        }
        None => json!({"apiGroup": rbac, "kind": "User", "name": user}),
    };
    json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": name},
           "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name}, "subjects": [subject]})
}

fn grant(api: &Api, user: &str, name: &str, rules: &Value) {
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
                      "rules": rules});
    api.apply(&role);
    api.apply(&binding(user, name));
}

fn explain(kubeconfig: &Path, more: &[&str], stdin: &Value) -> Finished {
    let config = kubeconfig.to_str().expect("a path in UTF-8");
    let mut args = vec!["explain", "--kubeconfig", config, "--namespace", NAME];
    args.extend(more);
    cli::run(&args, stdin.to_string().as_bytes())
}

#[test]
fn explain_asks_the_cluster_with_the_rights_of_whoever_runs_it() {
    let chain = Chain::start();
    let api = chain.api();
    let says = |kubeconfig: &Path, more: &[&str], stdin: &Value, parts: &[&str]| {
        let finished = explain(kubeconfig, more, stdin);
        assert_eq!(finished.status, 0, "{finished:?}");
        for part in parts {
            assert!(finished.stdout.contains(part), "{part} in {}", finished.stdout);
        }
        finished.stdout
    };
    let admin = chain.cluster.kubeconfig();
    let stored = api.create(&driver(NAME, "one")).expect(201);
    let status = stored["metadata"]["annotations"]["spark-injector.io/status"].as_str().expect("a status");
    let status: Value = serde_json::from_str(status).expect("JSON");
    let revision = status["revision"].as_str().expect("a revision");
    let path = format!("{PROFILES}/{NAME}/status");
    let at = |revision: &str| {
        let change = json!({"status": {"revision": revision}});
        api.patch(&path, "application/merge-patch+json", &change).expect(200);
    };
    at(revision);

    // A file: with the content of the sources the revision is the real one.
    let injected = format!("injected (driver, profile checked, files {revision})");
    let parts =
        ["Namespace checked: served by profile checked, isolated", injected.as_str(), "nodeSelector pool"];
    says(&admin, &[], &driver(NAME, "two"), &parts);
    // A pod that is there: as one like it would be admitted today.
    says(&admin, &["--pod", "one"], &Value::Null, &["now: one  driver", "current", injected.as_str()]);
    // Those that run.
    let table = says(&admin, &["--running"], &Value::Null, &["1 running, 0 of them"]);
    assert!(table.starts_with("one  driver") && table.contains(revision), "{table}");
    at("ffffffffffffffff");
    says(&admin, &["--running"], &Value::Null, &["old: the profile is at ffffffffffffffff", "1 of them"]);

    // Somebody of the team: without the platform's sources, and told so.
    let viewer = chain.cluster.kubeconfig_for("viewer", None);
    grant(
        api,
        "viewer",
        "viewer",
        &json!([
        {"apiGroups": ["spark-injector.io"], "resources": ["sparkprofiles"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}]),
    );
    let allowed = wait_until(Duration::from_secs(20), || {
        (explain(&viewer, &[], &driver(NAME, "two")).status == 0).then_some(())
    });
    assert!(allowed.is_some(), "{:?}", explain(&viewer, &[], &driver(NAME, "two")));
    let parts = [
        "not read: ConfigMap spark-injector/shared",
        "the files at /shared",
        "injected (driver, profile checked",
    ];
    says(&viewer, &[], &driver(NAME, "two"), &parts);
    let finished = explain(&viewer, &["--running"], &Value::Null);
    assert_eq!(finished.status, 2, "{finished:?}");
    assert!(finished.stderr.contains("Pods of namespace checked cannot be read"), "{}", finished.stderr);
    // And somebody without any rights.
    let nobody = chain.cluster.kubeconfig_for("nobody", None);
    let finished = explain(&nobody, &[], &driver(NAME, "two"));
    assert_eq!(finished.status, 2, "{finished:?}");
    assert!(finished.stderr.contains("SparkProfiles cannot be read"), "{}", finished.stderr);
}

/// The account and the rights of the shipped manifests.
fn rights(api: &Api) {
    for file in ["service-account.yaml", "rbac.yaml"] {
        let text =
            std::fs::read_to_string(places::repository().join("manifests/base").join(file)).expect(file);
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).expect(file);
        for object in &objects {
            api.apply(object);
        }
    }
}
