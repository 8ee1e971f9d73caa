//! The check as a CronJob: what its account may do, and what it says of an installation that holds and of each link
//! broken, as the pod that the controllers make of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use acceptance::client::{Api, Namespace, object_path};
use acceptance::cluster::Cluster;
use acceptance::installed::CONFIGURATION;
use acceptance::manifests::{OWN, folder, object, rendered};
use acceptance::process::{self, Finished, wait_until};
use acceptance::{kubelet, places};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::rights::rules;
use crate::site::{Site, TEAM, endpoints, profile};
use crate::world::{eventually, refused};

const NAME: &str = "spark-injector-check";
const JSON_PATCH: &str = "application/json-patch+json";
const WITHIN: Duration = Duration::from_secs(60);

fn manifests() -> &'static [Value] {
    static CHECK: OnceLock<Vec<Value>> = OnceLock::new();
    CHECK.get_or_init(|| rendered(&folder("check")))
}

#[test]
fn one_runs_at_a_time_and_its_failures_stay_to_be_seen() {
    let spec = &object(manifests(), "CronJob", NAME)["spec"];
    assert_eq!(spec["concurrencyPolicy"], "Forbid");
    for limit in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        assert!(spec[limit].as_u64() >= Some(1), "{limit}");
    }
    let job = &spec["jobTemplate"]["spec"];
    assert_eq!(job["backoffLimit"], 0);
    assert!(job["activeDeadlineSeconds"].is_u64());
    let pod = &job["template"]["spec"];
    assert_eq!((&pod["serviceAccountName"], &pod["restartPolicy"]), (&json!(NAME), &json!("Never")));
    let container = &pod["containers"][0];
    assert_eq!(container["image"], format!("spark-injector/spark-injector:{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(container["terminationMessagePolicy"], "FallbackToLogsOnError");
    assert_eq!(container["args"], json!(["check", "--failed"]), "the end of the log has room for 2 KiB");
    assert!(container["resources"]["limits"]["memory"].is_string());
    // The webhook's Service and its other policies are not about this pod.
    let labels = &job["template"]["metadata"]["labels"];
    assert_eq!(labels["app.kubernetes.io/component"], "check");
    let selector = &object(manifests(), "NetworkPolicy", NAME)["spec"]["podSelector"]["matchLabels"];
    for (key, value) in selector.as_object().expect("labels") {
        assert_eq!(&labels[key], value);
    }
}

#[test]
fn its_account_reads_what_is_checked_and_no_more() {
    let cluster_wide = [
        "apiextensions.k8s.io/customresourcedefinitions sparkprofiles.spark-injector.io: get",
        "admissionregistration.k8s.io/mutatingwebhookconfigurations spark-injector: get",
        "spark-injector.io/sparkprofiles: list",
        "/namespaces: get,list",
        "/pods: create",
        "authorization.k8s.io/subjectaccessreviews: create",
    ];
    assert_eq!(rules(object(manifests(), "ClusterRole", NAME)), cluster_wide);
    let own = ["/services: get", "discovery.k8s.io/endpointslices: list"];
    assert_eq!(rules(object(manifests(), "Role", NAME)), own);
}

/// The check beside an installation.
struct Check {
    site: Site,
    pod: Value,
    kubeconfig: PathBuf,
}

impl Check {
    fn start() -> Self {
        let site = Site::start(nothing_is_installed);
        site.cluster.apply(&folder("check"));
        site.api().create(&Namespace::new("team-b").object()).expect(201);
        let job = ["create", "job", "--from=cronjob/spark-injector-check", "now"];
        let output = site.cluster.kubectl(&[&["-n", OWN][..], &job].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let pod = wait_until(WITHIN, || {
            let pods = site.api().list("v1", "Pod", Some(OWN));
            pods.into_iter().find(|pod| pod["spec"]["serviceAccountName"] == NAME)
        });
        let pod = pod.unwrap_or_else(|| panic!("no pod: {:?}", site.api().list("v1", "Event", Some(OWN))));
        let kubeconfig = site.cluster.service_account_kubeconfig(OWN, NAME);
        let check = Self { site, pod, kubeconfig };
        check.wait_for_the_policy();
        check
    }

    /// The API server takes a moment for a policy; until then a pod of the account is stored.
    fn wait_for_the_policy(&self) {
        let account = self.site.cluster.service_account(OWN, NAME);
        let pod = pod("default");
        eventually(
            || {
                let reply = account.create(&pod);
                if reply.status == 201 {
                    self.api().delete(&pod);
                }
                reply
            },
            403,
        );
    }

    fn api(&self) -> &Api {
        self.site.api()
    }

    /// The container of the CronJob's pod, with further arguments.
    fn check(&self, more: &[&str]) -> Finished {
        let mut command = Command::new(places::spark_injector());
        command.env("KUBECONFIG", &self.kubeconfig);
        self.run(command, more)
    }

    fn run(&self, mut command: Command, more: &[&str]) -> Finished {
        let container = kubelet::container(&self.pod, "check");
        let args = container["args"].as_array().expect("arguments").iter().filter_map(Value::as_str);
        command.args(args).args(more);
        command.envs(kubelet::environment(&self.pod, "check", self.api()).expect("an environment"));
        process::run(command, b"", WITHIN)
    }

    #[track_caller]
    fn holds(&self) -> Finished {
        let mut last = None;
        let held = wait_until(WITHIN, || {
            let finished = self.check(&[]);
            let good = finished.status == 0;
            last = Some(finished.clone());
            good.then_some(finished)
        });
        held.unwrap_or_else(|| panic!("{last:#?}\n{}", self.site.logs()))
    }

    /// Asserts that a link is found broken, with this detail, the remedy below it, and exit status 3.
    #[track_caller]
    fn broken(&self, more: &[&str], link: &str, detail: &str, remedy: &str) {
        let link = format!("✗ {link} ");
        let mut last = None;
        let found = wait_until(WITHIN, || {
            let finished = self.check(more);
            let mut lines = finished.stdout.lines();
            let found = lines.any(|line| line.starts_with(&link) && line.contains(detail));
            let remedied = lines.next().is_some_and(|below| below.contains(remedy));
            let ends = finished.status == 3;
            last = Some(finished);
            (ends && found && remedied).then_some(())
        });
        assert!(found.is_some(), "{link:?} with {detail:?} and {remedy:?} is not in {last:#?}");
    }
}

/// What is to be done first, said once.
fn nothing_is_installed(cluster: &Cluster) {
    let kubeconfig = cluster.kubeconfig();
    let finished = acceptance::cli::run(&["check", "--kubeconfig", kubeconfig.to_str().expect("UTF-8")], b"");
    assert_eq!(finished.status, 3, "{finished:?}");
    assert!(finished.stdout.contains("spark-injector is not installed in this cluster"), "{finished:?}");
    assert!(finished.stdout.contains("kubectl apply -k manifests/guarded"), "{finished:?}");
    assert!(finished.stdout.ends_with("1 failed, 0 not checked\n"), "{finished:?}");
}

#[test]
fn it_proves_the_chain_and_names_each_broken_link() {
    let check = Check::start();
    let api = check.api().clone();
    let said = check.holds();
    assert!(said.stdout.contains(" passed, 0 failed"), "{said:?}");

    // Everything was looked at. Its own look at the certificate needs a network that leads to Services.
    let finished = check.check(&["-o", "json"]);
    let report: Value = serde_json::from_str(&finished.stdout).expect("a report");
    assert_eq!(
        (&report["good"], &report["failed"], &report["skipped"]),
        (&json!(true), &json!(0), &json!(1))
    );
    let mut command = Command::new(places::spark_injector());
    command.arg("check").args(["--kubeconfig", check.kubeconfig.to_str().expect("UTF-8"), "-o", "json"]);
    let finished = process::run(command, b"", WITHIN);
    let report: Value = serde_json::from_str(&finished.stdout).expect("a report");
    let findings = report["findings"].as_array().expect("findings");
    let passed: BTreeSet<&str> = findings
        .iter()
        .filter(|finding| finding["verdict"] == "passed")
        .filter_map(|finding| finding["check"].as_str())
        .collect();
    let expected = [
        "api_server",
        "ca_bundle",
        "canary_driver",
        "canary_executor",
        "canary_pod",
        "configuration",
        "definition",
        "delivery",
        "injector_permissions",
        "namespace",
        "permissions",
        "profile",
        "service",
    ];
    assert_eq!(passed.into_iter().collect::<Vec<_>>(), expected, "{findings:#?}");
    let others = findings.iter().filter(|finding| finding["verdict"] != "passed");
    let others: Vec<&Value> = others.map(|finding| &finding["check"]).collect();
    assert_eq!(others, ["certificate"], "{findings:#?}");

    // Variables without a value say nothing.
    let mut command = Command::new(places::spark_injector());
    command.arg("check").args(["--kubeconfig", check.kubeconfig.to_str().expect("UTF-8")]);
    command.envs(["SPARK_INJECTOR_NAMESPACE", "SPARK_INJECTOR_INIT_IMAGE"].map(|name| (name, "")));
    let finished = process::run(command, b"", WITHIN);
    assert_eq!(finished.status, 0, "{finished:?}");

    nothing_is_stored(&check);
    in_a_pod(&check);

    // Nobody serves the team.
    api.delete(&profile());
    check.broken(&[], "namespace team-a", "no SparkProfile serves it", "name it in spec.namespaces");
    api.create(&profile()).expect(201);
    check.holds();

    watching_and_half_isolated(&check);

    // A namespace that was forgotten.
    let label = "kubectl label namespace team-b spark-injector.io/inject=enabled";
    check.broken(&["--namespace", "team-b"], "namespace team-b", "neither opted in nor isolated", label);

    // No replica is ready.
    api.delete(&endpoints());
    check.broken(&[], "service spark-injector/spark-injector", "no ready replica", "kubectl describe pods");
    api.create(&endpoints()).expect(201);

    // The injector may not mend its bundle, and somebody has written another one.
    let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/spark-injector";
    let shipped = api.get(role).expect(200)["rules"].clone();
    let mut less = shipped.clone();
    for rule in less.as_array_mut().expect("rules") {
        if rule["resources"] == json!(["mutatingwebhookconfigurations"]) {
            rule["verbs"] = json!(["get", "list", "watch"]);
        }
    }
    let rules = |rules: &Value| json!([{"op": "replace", "path": "/rules", "value": rules}]);
    api.patch(role, JSON_PATCH, &rules(&less)).expect(200);
    let may_not = "may not patch mutatingwebhookconfigurations";
    check.broken(&[], "injector permissions", may_not, "apply the RBAC manifests");
    let stranger = acceptance::Authority::new("stranger");
    let bundle = base64::engine::general_purpose::STANDARD.encode(stranger.certificate());
    let wrong: Vec<Value> = (0..2)
        .map(|index| {
            json!({"op": "replace", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": bundle})
        })
        .collect();
    api.patch(CONFIGURATION, JSON_PATCH, &wrong.into()).expect(200);
    // A replica that nobody believes is not ready, and the Service leads nowhere.
    for canary in ["driver", "executor", "pod"] {
        check.broken(
            &[],
            &format!("canary {canary} team-a"),
            "the injector",
            "look into the log of the injector",
        );
    }
    let none: Vec<Value> = (0..2)
        .map(|index| json!({"op": "remove", "path": format!("/webhooks/{index}/clientConfig/caBundle")}))
        .collect();
    api.patch(CONFIGURATION, JSON_PATCH, &none.into()).expect(200);
    for entry in ["pods", "isolation"] {
        let link = format!("ca bundle {entry}.spark-injector.io");
        check.broken(&[], &link, "empty", "with --tls self the injector writes it: look into its log");
    }
    api.patch(role, JSON_PATCH, &rules(&shipped)).expect(200);
    check.holds();
}

/// Where webhook and policies do not say the same.
fn watching_and_half_isolated(check: &Check) {
    let api = check.api();
    // A profile that only watches changes no pod, and the policies refuse what nobody changed: one label stops both.
    let of_profile = |spec: Value| {
        let path = object_path(&profile());
        api.patch(&path, "application/merge-patch+json", &json!({"spec": spec})).expect(200);
    };
    of_profile(json!({"mode": "Audit"}));
    let exempt = "kubectl label namespace team-a spark-injector.io/backstop=disabled";
    for canary in ["driver", "executor", "pod"] {
        let link = format!("canary {canary} team-a");
        check.broken(&[], &link, "its profile is in mode Audit and changes no pod", exempt);
    }
    let words: Vec<&str> = exempt.split(' ').skip(1).collect();
    assert!(check.site.cluster.kubectl(&words).status.success());
    check.holds();
    let none = json!({"metadata": {"labels": {"spark-injector.io/backstop": null}}});
    api.patch("/api/v1/namespaces/team-a", "application/merge-patch+json", &none).expect(200);
    of_profile(json!({"mode": "Enforce"}));
    check.holds();

    // The label isolates and the profile does not: the webhook lets pods be, and the policy refuses those elsewhere.
    of_profile(json!({"nodeSelector": {"scope": "SparkPods"}}));
    let gap = "isolates nothing: profile team-a does not have spec.nodeSelector.scope: AllPods";
    check.broken(&[], "namespace team-a", gap, "let label and spec.nodeSelector of the profile say the same");
    let mut plain = pod(TEAM);
    let sentence = refused(&eventually(|| api.dry_run(&plain), 403));
    assert!(sentence.contains("\"spark-injector check --namespace team-a\""), "{sentence}");
    plain["spec"]["nodeSelector"] = json!({"pool": "a"});
    assert_eq!(api.dry_run(&plain).status, 201);
    of_profile(json!({"nodeSelector": {"scope": "AllPods"}}));
    check.holds();
}

fn pod(namespace: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": namespace},
           "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

/// Whoever has the token can ask for pods, and get none.
fn nothing_is_stored(check: &Check) {
    let account = check.site.cluster.service_account(OWN, NAME);
    for namespace in [TEAM, "default"] {
        assert_eq!(account.dry_run(&pod(namespace)).status, 201, "{namespace}");
        let sentence = refused(&account.create(&pod(namespace)));
        assert!(sentence.contains("dry runs only"), "{sentence}");
    }
    for path in [
        "/api/v1/pods",
        "/api/v1/namespaces/team-a/secrets",
        "/api/v1/namespaces/spark-injector/secrets",
        "/api/v1/namespaces/spark-injector/configmaps",
        "/apis/apps/v1/deployments",
    ] {
        assert_eq!(account.get(path).status, 403, "{path}");
    }
    let everywhere = check.api().list("v1", "Pod", None);
    assert!(everywhere.iter().all(|pod| pod["metadata"]["namespace"] == OWN), "{everywhere:#?}");
}

/// The files of a service account stand at a fixed path, for which it takes a mount namespace.
fn in_a_pod(check: &Check) {
    const SCRIPT: &str = r#"
        mount -t tmpfs none /run
        mkdir -p /run/secrets/kubernetes.io/serviceaccount
        cp "$1"/ca.crt "$1"/token "$1"/namespace /run/secrets/kubernetes.io/serviceaccount
        shift
        exec "$@""#;
    let files = tempfile::tempdir().expect("a folder");
    std::fs::copy(check.site.cluster.directory().join("ca.crt"), files.path().join("ca.crt"))
        .expect("a file");
    std::fs::write(files.path().join("token"), check.api().token(OWN, NAME)).expect("a file");
    std::fs::write(files.path().join("namespace"), OWN).expect("a file");
    let url = check.site.cluster.url();
    let port = url.rsplit(':').next().expect("a port");
    for flags in [&["--mount"][..], &["--user", "--map-root-user", "--mount"]] {
        let unshared = |script: &str, program: &Path| {
            let mut command = Command::new("unshare");
            command.args(flags).args(["sh", "-ec", script, "sh"]).arg(files.path()).arg(program);
            command.env("KUBERNETES_SERVICE_HOST", "127.0.0.1").env("KUBERNETES_SERVICE_PORT", port);
            command.env_remove("KUBECONFIG");
            command
        };
        let probe = unshared("mount -t tmpfs none /run", Path::new("true")).output();
        if probe.is_ok_and(|probe| probe.status.success()) {
            let finished = check.run(unshared(SCRIPT, &places::spark_injector()), &[]);
            assert_eq!(finished.status, 0, "{finished:?}");
            // In a pod of somebody else, as of a pipeline: where that one is says nothing of the injector.
            std::fs::write(files.path().join("namespace"), "pipelines").expect("a file");
            let mut command = unshared(SCRIPT, &places::spark_injector());
            command.arg("check");
            let finished = process::run(command, b"", WITHIN);
            assert_eq!(finished.status, 0, "{finished:?}");
            return;
        }
    }
    eprintln!("skipped: no mount namespace: not run with the files of a pod");
}
