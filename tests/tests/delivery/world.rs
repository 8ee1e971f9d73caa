//! One control plane for all tests of this binary. Each test has an own namespace for the injector, profiles and teams of
//! its own, and as many replicas of the delivery as it likes.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use acceptance::client::{Api, Namespace, secret};
use acceptance::cluster::{Audit, Cluster, ClusterOptions};
use acceptance::manifests::{self, OWN, folder};
use acceptance::process::wait_until;
use serde_json::{Value, json};
use spark_injector::catalog::{Catalog, ProfileInput, Settings, Snapshot};
use spark_injector::cluster::lease::{Election, Terms};
use spark_injector::deliver::metrics::DeliveryMetrics;
use spark_injector::deliver::{Delivery, DeliverySettings};
use spark_injector::sources::live::LiveCatalog;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// Far above what anything here takes on a busy machine.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

/// What is in every keytab of these tests.
pub(crate) const CANARY: &str = "canary-keytab-0451";

const TERMS: Terms = Terms {
    duration: Duration::from_secs(4),
    renew_deadline: Duration::from_secs(3),
    retry: Duration::from_millis(300),
};

/// Everything that was logged in this process, by anybody, at every level.
pub(crate) static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct ToLog;

impl Write for ToLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(crate) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(|| ToLog).init();
        let cluster = Cluster::start_with(&ClusterOptions {
            controller_manager: true,
            // With bodies every audit log holds what is delivered.
            audit: Audit::Metadata,
            ..ClusterOptions::default()
        });
        install(&cluster);
        cluster
    })
}

/// Applies what is shipped, with the policies that fence the account of the injector, and waits until they do.
pub(crate) fn install(cluster: &Cluster) {
    cluster.apply(&folder("guarded"));
    let api = cluster.admin();
    // No injector answers here.
    api.delete(
        &json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
                       "metadata": {"name": OWN}}),
    );
    let fenced = Namespace::new("fenced").opted_in();
    api.create_namespace(&fenced);
    let probe = secret("fenced", "spark-injector-x", &[]);
    let foreign = secret("fenced", "x", &[]);
    let injector = cluster.service_account(OWN, OWN);
    let by_policy = |reply: &acceptance::client::Reply| reply.message().contains("ValidatingAdmissionPolicy");
    let ready = wait_until(WITHIN, || {
        let fits = by_policy(&api.dry_run(&probe)) && by_policy(&injector.dry_run(&foreign));
        let crd = api.get("/apis/spark-injector.io/v1alpha1/sparkprofiles").status == 200;
        (fits && crd).then_some(())
    });
    assert!(ready.is_some(), "the policies are not in effect");
}

/// A namespace in which the account of the injector may do what it may in its own.
pub(crate) fn own_namespace(name: &str) {
    let api = cluster().admin();
    api.create_namespace(&Namespace::new(name));
    for kind in ["Role", "RoleBinding"] {
        let mut object = manifests::object(manifests::base(), kind, OWN).clone();
        object["metadata"]["namespace"] = name.into();
        api.apply(&object);
    }
}

/// An own namespace of an injector, what its catalog is made of, and its replicas.
pub(crate) struct World {
    name: &'static str,
    pub(crate) api: Api,
    runtime: Runtime,
    source: Arc<Source>,
    settings: DeliverySettings,
}

/// Stands for the watches of the injector: namespaces and sources as the test says them, profiles as the API server has
/// them, with the delivered revision of their status.
struct Source {
    api: Api,
    live: LiveCatalog,
    inputs: Mutex<Inputs>,
    ended: AtomicBool,
}

#[derive(Default)]
struct Inputs {
    snapshot: Snapshot,
    profiles: BTreeMap<String, Value>,
    changed: bool,
    restarted: bool,
}

/// One replica.
pub(crate) struct Replica {
    tasks: Vec<JoinHandle<()>>,
    pub(crate) leads: tokio::sync::watch::Receiver<bool>,
}

impl World {
    pub(crate) fn new(name: &'static str) -> Self {
        Self::with(name, 200, Duration::from_secs(3600))
    }

    pub(crate) fn with(name: &'static str, rate: u32, keep_revisions: Duration) -> Self {
        own_namespace(name);
        let api = cluster().admin().clone();
        let source = Arc::new(Source {
            api: api.clone(),
            live: LiveCatalog::default(),
            inputs: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let settings = DeliverySettings { interval: Duration::from_secs(2), rate, keep_revisions };
        let world = Self { name, api, runtime, source, settings };
        let source = Arc::clone(&world.source);
        std::thread::spawn(move || {
            while !source.ended.load(Ordering::Relaxed) {
                source.look(name);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        world
    }

    /// A namespace of a team, opted in.
    pub(crate) fn team(&self, namespace: &str) {
        self.api.create_namespace(&Namespace::new(namespace).opted_in());
        self.label(namespace, true);
    }

    /// Namespaces of so many teams, in the order of their names, which start alike.
    pub(crate) fn teams(&self, prefix: &str, count: usize) -> Vec<String> {
        let names = names(prefix, count);
        for name in &names {
            self.team(name);
        }
        names
    }

    /// What the injector sees of a namespace.
    pub(crate) fn label(&self, namespace: &str, opted_in: bool) {
        self.source.change(|inputs| {
            let namespace = inputs.snapshot.namespaces.entry(namespace.to_owned()).or_default();
            let labels = &mut Arc::make_mut(namespace).labels;
            labels.remove("spark-injector.io/inject");
            if opted_in {
                labels.insert("spark-injector.io/inject".to_owned(), "enabled".to_owned());
            }
        });
    }

    /// The namespace is gone, as far as the injector sees.
    pub(crate) fn forget(&self, namespace: &str) {
        self.source.change(|inputs| drop(inputs.snapshot.namespaces.remove(namespace)));
    }

    /// The keytab in the injector's own namespace.
    pub(crate) fn keytab(&self, version: &str) {
        let key =
            spark_injector::catalog::ObjectKey { namespace: self.name.to_owned(), name: "keytab".to_owned() };
        let data = BTreeMap::from([("etl.keytab".to_owned(), format!("{CANARY} {version}").into_bytes())]);
        self.source.change(|inputs| drop(inputs.snapshot.secrets.insert(key, Ok(data.into()))));
    }

    /// Credentials of a registry in the injector's own namespace.
    pub(crate) fn registry(&self) {
        let key = spark_injector::catalog::ObjectKey {
            namespace: self.name.to_owned(),
            name: "registry".to_owned(),
        };
        let config = json!({"auths": {"r.example": {"auth": CANARY}}}).to_string();
        let data = BTreeMap::from([(".dockerconfigjson".to_owned(), config.into_bytes())]);
        self.source.change(|inputs| drop(inputs.snapshot.secrets.insert(key, Ok(data.into()))));
    }

    /// A profile that gives the keytab to these namespaces.
    pub(crate) fn profile(&self, name: &str, namespaces: &[String], more: &Value) {
        let mut spec = json!({
            "namespaces": {"names": namespaces},
            "files": [{"mountPath": "/keytab", "secret": {"name": "keytab"}}],
        });
        for (field, value) in more.as_object().expect("fields") {
            spec[field] = value.clone();
        }
        let profile = json!({"apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile",
                             "metadata": {"name": name}, "spec": spec});
        self.api.apply(&profile);
        self.source.change(|inputs| drop(inputs.profiles.insert(name.to_owned(), profile)));
    }

    pub(crate) fn remove_profile(&self, name: &str) {
        let profile = self.source.inputs().profiles.get(name).cloned().expect("a profile");
        self.api.delete(&profile);
        self.source.change(|inputs| drop(inputs.profiles.remove(name)));
    }

    /// Starts a replica, as the account of the injector.
    pub(crate) fn replica(&self) -> Replica {
        let account = cluster().service_account(OWN, OWN);
        let (election, leads) = Election::new(account.kube(), self.name, TERMS);
        let delivery = Delivery {
            client: account.kube(),
            namespace: self.name.to_owned(),
            catalog: self.source.live.clone(),
            settings: self.settings,
            metrics: DeliveryMetrics::default(),
        };
        let tasks = vec![
            self.runtime.spawn(election.run(std::future::pending())),
            self.runtime.spawn(delivery.run(leads.clone())),
        ];
        Replica { tasks, leads }
    }

    /// Makes the catalog as after a restart of every replica: without plans of before.
    #[track_caller]
    pub(crate) fn forget_catalog(&self) {
        self.source.change(|inputs| inputs.restarted = true);
        let made = wait_until(WITHIN, || (!self.source.inputs().restarted).then_some(()));
        assert!(made.is_some(), "a catalog");
    }

    /// Writes the part of a status that is the compiler's.
    pub(crate) fn compiled(&self, profile: &str) {
        let path = format!(
            "/apis/spark-injector.io/v1alpha1/sparkprofiles/{profile}/status?fieldManager=compiler&force=true"
        );
        let body = json!({"apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile",
                          "metadata": {"name": profile}, "status": {"observedGeneration": 1}});
        self.api.patch(&path, "application/apply-patch+yaml", &body).expect(200);
    }

    /// The status of a profile.
    pub(crate) fn status(&self, profile: &str) -> Value {
        let path = format!("/apis/spark-injector.io/v1alpha1/sparkprofiles/{profile}");
        self.api.get(&path).expect(200)["status"].take()
    }

    /// Waits until the status of a profile is as asked.
    #[track_caller]
    pub(crate) fn until_status(&self, profile: &str, question: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = wait_until(WITHIN, || {
            last = self.status(profile);
            question(&last).then_some(())
        });
        assert!(found.is_some(), "the status stays {last:#}");
        last
    }

    /// Waits until the condition `Delivered` of a profile has this reason.
    #[track_caller]
    pub(crate) fn until(&self, profile: &str, reason: &str) -> Value {
        self.until_status(profile, |status| delivered(status)["reason"] == reason)
    }

    /// Names of our Secrets in a namespace.
    pub(crate) fn secrets(&self, namespace: &str) -> Vec<String> {
        let all = self.api.list("v1", "Secret", Some(namespace));
        let names = all.iter().filter_map(|secret| secret["metadata"]["name"].as_str());
        names.filter(|name| name.starts_with("spark-injector-")).map(str::to_owned).collect()
    }

    /// Waits until a namespace has so many of our Secrets, and says how long it took.
    #[track_caller]
    pub(crate) fn until_secrets(&self, namespace: &str, count: usize) -> Duration {
        let began = Instant::now();
        let found = wait_until(WITHIN, || (self.secrets(namespace).len() == count).then_some(()));
        assert!(found.is_some(), "{namespace} has {:?}", self.secrets(namespace));
        began.elapsed()
    }

    /// The ledger, by profile.
    pub(crate) fn ledger(&self) -> BTreeMap<String, Value> {
        let path = format!("/api/v1/namespaces/{}/configmaps/spark-injector-ledger", self.name);
        let stored = self.api.get(&path).expect(200);
        let data = stored["data"].as_object().cloned().unwrap_or_default();
        let parse = |text: Value| serde_json::from_str(text.as_str().expect("text")).expect("JSON");
        data.into_iter().map(|(profile, text)| (profile, parse(text))).collect()
    }

    /// The Events on a profile with this reason, by their notes.
    pub(crate) fn events(&self, profile: &str, reason: &str) -> Vec<String> {
        let all = self.api.list("events.k8s.io/v1", "Event", Some("default"));
        let fits = |event: &&Value| event["regarding"]["name"] == profile && event["reason"] == reason;
        all.iter().filter(fits).map(|event| event["note"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The revision that pods of a namespace are given at this moment.
    pub(crate) fn served_revision(&self, profile: &str) -> String {
        let catalog = self.source.live.load_full();
        let served = catalog.profiles().into_iter().find(|served| served.name == profile);
        served.expect("the profile").revision.clone()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.source.ended.store(true, Ordering::Relaxed);
    }
}

impl Replica {
    /// Ends it in the middle of whatever it does, as SIGKILL would.
    pub(crate) fn kill(self) {
        for task in &self.tasks {
            task.abort();
        }
    }

    pub(crate) fn leads(&self) -> bool {
        *self.leads.borrow()
    }
}

impl Source {
    fn inputs(&self) -> std::sync::MutexGuard<'_, Inputs> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Inputs)) {
        let mut inputs = self.inputs();
        change(&mut inputs);
        inputs.changed = true;
    }

    /// Compiles again where anything changed.
    fn look(&self, own_namespace: &str) {
        let mut inputs = self.inputs();
        let mut profiles = Vec::new();
        for (name, object) in &inputs.profiles {
            let path = format!("/apis/spark-injector.io/v1alpha1/sparkprofiles/{name}");
            let Ok(reply) = self.api.send("GET", &path, "", Vec::new()) else { return };
            let delivered = reply.body["status"]["deliveredRevision"].as_str().map(str::to_owned);
            profiles.push(ProfileInput { origin: name.clone(), object: object.clone().into(), delivered });
        }
        let before: Vec<&Option<String>> =
            inputs.snapshot.profiles.iter().map(|profile| &profile.delivered).collect();
        let after: Vec<&Option<String>> = profiles.iter().map(|profile| &profile.delivered).collect();
        if !inputs.changed && before == after {
            return;
        }
        inputs.snapshot.profiles = profiles;
        inputs.changed = false;
        let settings = Settings {
            namespace: own_namespace.to_owned(),
            switch_after_delivery: true,
            ..Settings::default()
        };
        let previous = self.live.load_full();
        let is_first = std::mem::take(&mut inputs.restarted) || !self.live.is_synced();
        let previous = (!is_first).then_some(&*previous);
        self.live.store(Catalog::compile(&inputs.snapshot, &settings, previous));
    }
}

/// The condition `Delivered` of a status.
pub(crate) fn delivered(status: &Value) -> Value {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.clone().find(|condition| condition["type"] == "Delivered").cloned().unwrap_or_default()
}

/// Waits until a profile is delivered to so many namespaces, and says its status.
#[track_caller]
pub(crate) fn until_delivered(api: &Api, profile: &str, namespaces: usize) -> Value {
    let path = format!("/apis/spark-injector.io/v1alpha1/sparkprofiles/{profile}");
    let mut status = Value::Null;
    let done = wait_until(WITHIN, || {
        status = api.get(&path).expect(200)["status"].take();
        (status["deliveredRevision"].is_string() && status["namespaces"]["delivered"] == namespaces)
            .then_some(())
    });
    assert!(done.is_some(), "{status:#}");
    status
}

/// Names of namespaces that start alike.
pub(crate) fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{prefix}-{index:03}")).collect()
}
