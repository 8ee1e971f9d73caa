//! Fed by an API server: what many namespaces cost, how long a delivery takes, and when a change is in effect.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use acceptance::client::{Api, Namespace, config_map};
use acceptance::cluster::{Cluster, ClusterOptions};
use acceptance::manifests::{self, OWN};
use acceptance::process::wait_until;
use acceptance::registration::{STATUS_ANNOTATION, canary};
use acceptance::webhook::{Options, Webhook};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Progress;
use crate::args::Bench;
use crate::fixtures;
use crate::measure::{Samples, count, memory, micros, process_cpu};
use crate::report::{Report, Threshold};

const NAMESPACES: usize = 2_000;
const PROFILES: usize = 100;
/// Bytes of each profile's files, which travel in a Secret.
const BYTES: usize = 20_000;
const CHANGES: usize = 20;

/// Longer than any delivery takes, shorter than anybody's patience.
const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) fn run(bench: &Bench, progress: &Progress, report: &mut Report) {
    let injector = match bench.injector() {
        Ok(injector) => injector,
        Err(why) => return report.missing(&why),
    };
    let (namespaces, profiles) =
        if bench.quick { (NAMESPACES / 10, PROFILES / 10) } else { (NAMESPACES, PROFILES) };
    let scale = format!("cluster, {namespaces} namespaces, {profiles} profiles");
    progress.say(&format!("{scale}: filling an API server"));
    let world = World::new(namespaces, profiles);
    progress.say(&format!("{scale}: start and delivery"));
    let started = Instant::now();
    let webhook = world.serve(&injector);
    let ready = wait_until(PATIENCE, || (webhook.admin("/readyz").0 == 200).then_some(()))
        .map(|()| started.elapsed());
    let ready = ready.unwrap_or_else(|| panic!("not ready: {}", webhook.log().join("\n")));
    let mut row = |what: &str, unit: &'static str, figure: f64| {
        report.absolute(&format!("{scale}, {what}"), unit, &Samples::one(figure), Threshold::None);
    };
    row("start to ready", "s", ready.as_secs_f64());
    let delivered = wait_until(PATIENCE, || (world.delivered() == profiles).then_some(started.elapsed()));
    let calls = world.calls();
    if let Some(delivered) = delivered {
        row("start to full delivery", "s", delivered.as_secs_f64());
        row("CPU until then", "ms", micros(process_cpu(webhook.id())) / 1e3);
        row("Secrets delivered", "", count(world.secrets()));
        for (call, times) in calls {
            row(&format!("{call} until full delivery"), "calls", count(times));
        }
    }
    row("memory", "MB", count(memory(webhook.id(), "VmRSS")) / 1e6);
    row("peak memory", "MB", count(memory(webhook.id(), "VmHWM")) / 1e6);
    if delivered.is_none() {
        report.missing(&format!("{} of {profiles} profiles were delivered in time", world.delivered()));
    }

    progress.say(&format!("{scale}: changes"));
    let took = world.changes(&webhook);
    report.absolute(&format!("{scale}, apply of a source to its effect"), "ms", &took, Threshold::None);
}

struct World {
    cluster: Cluster,
    api: Api,
    directory: TempDir,
}

impl World {
    fn new(namespaces: usize, profiles: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata", "users": [format!("system:serviceaccount:{OWN}:{OWN}")]}, {"level": "None"}],
        });
        let file = directory.path().join("policy.json");
        std::fs::write(&file, policy.to_string()).expect("a file");
        let api_server_args = vec![
            format!("--audit-policy-file={}", file.display()),
            format!("--audit-log-path={}", directory.path().join("audit.log").display()),
        ];
        let cluster = Cluster::start_with(&ClusterOptions { api_server_args, ..ClusterOptions::default() });
        let api = cluster.admin().clone();
        let installed =
            ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
        for kind in installed.iter().chain(&["CustomResourceDefinition"]) {
            manifests::base()
                .iter()
                .filter(|object| object["kind"] == *kind)
                .for_each(|object| _ = api.apply(object));
        }
        for index in 0..namespaces {
            let group = format!("g{}", index % profiles);
            api.create(&Namespace::new(&format!("team-{index}")).opted_in().label("group", &group).object())
                .expect(201);
        }
        for index in 0..profiles {
            let name = format!("profile-{index}");
            api.apply_config_map(OWN, &name, &[("core-site.xml", &fixtures::noise(BYTES, index))]);
            api.apply(&profile(&name, &fixtures::group(index), "Secret"));
        }
        api.apply_config_map(OWN, "quick", &[("a.conf", "0\n")]);
        api.apply(&profile("quick", &fixtures::only("quick"), "Env"));
        api.create_namespace(&Namespace::new("quick").opted_in());
        Self { cluster, api, directory }
    }

    fn serve(&self, injector: &Path) -> Webhook {
        let kubeconfig = self.cluster.service_account_kubeconfig(OWN, OWN);
        Webhook::launch(&Options {
            program: Some(injector),
            kubeconfig: Some(&kubeconfig),
            ..Options::default()
        })
    }

    /// How many profiles say that their Secrets are everywhere.
    fn delivered(&self) -> usize {
        let profiles = self.api.list("spark-injector.io/v1alpha1", "SparkProfile", None);
        let is_delivered = |profile: &&Value| {
            let status = &profile["status"];
            status["deliveredRevision"].is_string() && status["deliveredRevision"] == status["revision"]
        };
        let secret = |profile: &&Value| profile["spec"]["delivery"] == "Secret";
        profiles.iter().filter(secret).filter(is_delivered).count()
    }

    fn secrets(&self) -> usize {
        let secrets = self.api.list("v1", "Secret", None);
        secrets.iter().filter(|secret| secret["metadata"]["namespace"] != OWN).count()
    }

    /// What the webhook asked of the API server so far, by verb and resource.
    fn calls(&self) -> BTreeMap<String, usize> {
        let text = std::fs::read_to_string(self.directory.path().join("audit.log")).unwrap_or_default();
        let mut calls = BTreeMap::new();
        for event in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (verb, object) = (word(&event["verb"]), &event["objectRef"]);
            let resource = [word(&object["resource"]), word(&object["subresource"])];
            *calls.entry(format!("{verb} {}", resource.join("/").trim_end_matches('/'))).or_default() += 1;
        }
        calls
    }

    /// Milliseconds from the apply of a source until a new pod has it.
    fn changes(&self, webhook: &Webhook) -> Samples {
        let registered = webhook.registration("cluster").register(&self.api);
        registered.wait("quick");
        let revision = || {
            let pod = self.api.dry_run(&canary("quick")).body;
            pod["metadata"]["annotations"][STATUS_ANNOTATION].as_str().unwrap_or_default().to_owned()
        };
        let mut took = Samples::default();
        for change in 1..=CHANGES {
            let (before, started) = (revision(), Instant::now());
            self.api.apply(&config_map(OWN, "quick", &[("a.conf", &format!("{change}\n"))]));
            while revision() == before {
                assert!(started.elapsed() < PATIENCE, "no effect: {}", webhook.log().join("\n"));
            }
            took.push(started.elapsed().as_secs_f64() * 1e3);
        }
        took
    }
}

fn profile(name: &str, claim: &Value, delivery: &str) -> Value {
    let mut profile = fixtures::profile(name, claim, 0);
    profile["spec"]["delivery"] = delivery.into();
    profile["spec"]["files"] = json!([{ "mountPath": "/opt/hadoop-conf", "configMap": { "name": name } }]);
    profile
}
