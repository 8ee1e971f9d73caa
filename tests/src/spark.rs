//! Real Spark against the cluster, as its users run it: `spark-submit` in cluster mode, which makes the driver pod,
//! and a driver on this machine in client mode, which makes executor pods. Without a node no pod ever runs; on one
//! ([`crate::node`]) a job runs to its end.
//!
//! Everything is on loopback and isolated from the user's own Spark and Kubernetes configuration.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Api;
use crate::cluster::Cluster;
use crate::pki;
use crate::places;
use crate::process::{Process, wait_until};
use crate::scratch::Scratch;

/// The service account that submits and that drivers run as.
pub const SERVICE_ACCOUNT: &str = "spark";

/// The image in the pods; nothing pulls it, and only a node has it.
pub const IMAGE: &str = "apache/spark:4.3.0";

const LIMIT: Duration = Duration::from_secs(120);

/// What became of a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// The exit code of `spark-submit`; none where it was ended from here because enough had been seen.
    pub status: Option<i32>,
    /// What Spark printed, both streams, without the frames of stack traces.
    pub output: String,
    /// The pods that it made, as the API server keeps them, by name.
    pub pods: Vec<Value>,
    /// How long it took.
    pub took: Duration,
}

/// Submits an application in cluster mode with these settings on top, and returns when `spark-submit` has ended:
/// the driver pod is made, or refused.
///
/// # Panics
/// When it takes longer than two minutes.
pub fn submit_driver(cluster: &Cluster, namespace: &str, settings: &[(&str, &str)]) -> Run {
    // Without it spark-submit waits for a pod that never runs.
    let mut all = vec![("spark.kubernetes.submission.waitAppCompletion", "false")];
    all.extend(settings);
    let application = [
        "--class",
        "org.apache.spark.examples.SparkPi",
        "local:///opt/spark/examples/jars/spark-examples.jar",
        "1000",
    ];
    submit(cluster, namespace, &all, &application, LIMIT)
}

/// Submits an application in cluster mode, where there is a node, and returns when the job has ended. The pods stay.
///
/// # Panics
/// When it takes longer than ten minutes.
pub fn run_job(cluster: &Cluster, namespace: &str, settings: &[(&str, &str)], application: &[&str]) -> Run {
    let mut all = vec![
        ("spark.kubernetes.report.interval", "1s"),
        ("spark.kubernetes.executor.deleteOnTermination", "false"),
    ];
    all.extend(settings);
    submit(cluster, namespace, &all, application, 5 * LIMIT)
}

fn submit(
    cluster: &Cluster,
    namespace: &str,
    settings: &[(&str, &str)],
    application: &[&str],
    limit: Duration,
) -> Run {
    let user = User::new(cluster, namespace);
    let mut all = user.settings("spark.kubernetes.authenticate.submission");
    all.extend(pairs(&[
        ("spark.submit.deployMode", "cluster"),
        ("spark.kubernetes.authenticate.driver.serviceAccountName", SERVICE_ACCOUNT),
    ]));
    all.extend(pairs(settings));

    let begin = Instant::now();
    let mut process = user.spark_submit(&all, application);
    let status = process.wait(limit);
    let output = user.output();
    let status = status.unwrap_or_else(|| panic!("spark-submit did not end: {output}"));
    let mut pods = user.pods("driver");
    pods.extend(user.pods("executor"));
    Run { status: status.code(), output, pods, took: begin.elapsed() }
}

/// Runs a driver on this machine that asks for `count` executors, and ends it when they are there or when it gives
/// up by itself. The pods stay until somebody deletes them.
///
/// # Panics
/// When neither happens within two minutes.
pub fn client_mode_executors(
    cluster: &Cluster,
    namespace: &str,
    count: usize,
    settings: &[(&str, &str)],
) -> Run {
    let user = User::new(cluster, namespace);
    let mut all = user.settings("spark.kubernetes.authenticate");
    all.extend(pairs(&[
        ("spark.submit.deployMode", "client"),
        ("spark.driver.host", "127.0.0.1"),
        ("spark.driver.bindAddress", "127.0.0.1"),
        ("spark.connect.grpc.binding.address", "127.0.0.1"),
        ("spark.connect.grpc.binding.port", "0"),
    ]));
    all.insert("spark.executor.instances".to_owned(), count.to_string());
    all.extend(pairs(settings));
    // The one long-lived application among Spark's own jars: nothing to compile, and a single process to end. A
    // Python driver is two, and the second one outlives a kill of the first.
    let application =
        ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"];

    let begin = Instant::now();
    let mut process = user.spark_submit(&all, &application);
    let ended = wait_until(LIMIT, || {
        let enough = user.pods("executor").len() >= count;
        let status = process.ended();
        (enough || status.is_some()).then_some(status)
    });
    // Killed, not asked to stop: a driver that stops in order deletes its executors first.
    process.kill();
    let output = user.output();
    let Some(status) = ended else { panic!("the driver made too few executors: {output}") };
    let status = status.and_then(|status| status.code());
    Run { status, output, pods: user.pods("executor"), took: begin.elapsed() }
}

/// A Spark user of one namespace, for one run.
struct User {
    api: Api,
    url: String,
    authority: PathBuf,
    namespace: String,
    application: String,
    scratch: Scratch,
}

impl User {
    fn new(cluster: &Cluster, namespace: &str) -> Self {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let api = cluster.admin().clone();
        let scratch = Scratch::new("spark");
        let metadata = json!({"name": SERVICE_ACCOUNT, "namespace": namespace});
        api.apply(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}));
        // The cluster role `edit` would do on a real cluster; here no controller fills it.
        let resources = ["pods", "services", "configmaps", "secrets", "persistentvolumeclaims"];
        let rules = json!([{"apiGroups": [""], "resources": resources, "verbs": ["*"]},
                           {"apiGroups": ["apps"], "resources": ["statefulsets", "deployments"], "verbs": ["*"]},
                           {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["*"]}]);
        let group = "rbac.authorization.k8s.io";
        let version = format!("{group}/v1");
        api.apply(&json!({"apiVersion": version, "kind": "Role", "metadata": metadata, "rules": rules}));
        api.apply(&json!({
            "apiVersion": version, "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": SERVICE_ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": namespace}],
        }));
        std::fs::create_dir(scratch.path().join("conf")).expect("a directory");
        pki::write(scratch.path(), "token", &api.token(namespace, SERVICE_ACCOUNT));
        Self {
            api,
            url: cluster.url(),
            authority: cluster.directory().join("ca.crt"),
            namespace: namespace.to_owned(),
            application: format!(
                "acceptance-{}-{}",
                std::process::id(),
                RUNS.fetch_add(1, Ordering::Relaxed)
            ),
            scratch,
        }
    }

    fn settings(&self, authentication: &str) -> BTreeMap<String, String> {
        let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
        let home = self.scratch.path();
        let mut all = pairs(&[
            ("spark.kubernetes.container.image", IMAGE),
            ("spark.kubernetes.namespace", &self.namespace),
            ("spark.app.name", &self.application),
            ("spark.executor.instances", "2"),
            ("spark.ui.enabled", "false"),
        ]);
        all.insert("spark.master".to_owned(), format!("k8s://{}", self.url));
        all.insert("spark.sql.warehouse.dir".to_owned(), text(&home.join("warehouse")));
        all.insert(format!("{authentication}.caCertFile"), text(&self.authority));
        all.insert(format!("{authentication}.oauthTokenFile"), text(&home.join("token")));
        all
    }

    fn spark_submit(&self, settings: &BTreeMap<String, String>, application: &[&str]) -> Process {
        let home = self.scratch.path();
        let properties = settings.iter().fold(String::new(), |mut text, (key, value)| {
            // The format of java.util.Properties, in which a backslash escapes.
            let _ = writeln!(text, "{key} {}", value.replace('\\', "\\\\"));
            text
        });
        let properties = pki::write(home, "spark.properties", &properties);
        let mut command = Command::new(places::spark_home().join("bin/spark-submit"));
        command.arg("--properties-file").arg(properties).args(application);
        command.current_dir(home).env("SPARK_HOME", places::spark_home());
        command.env("SPARK_LOCAL_IP", "127.0.0.1").env("SPARK_LOCAL_DIRS", home);
        // Empty, and not the directory of the token: every file in it goes into the driver's ConfigMap.
        command.env("SPARK_CONF_DIR", home.join("conf"));
        // The Kubernetes client of Spark also reads ~/.kube/config and the variables of a pod, and mixes them in.
        command.env("HOME", home);
        for foreign in
            ["KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBERNETES_MASTER"]
        {
            command.env_remove(foreign);
        }
        for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(proxy);
        }
        for foreign in ["HADOOP_CONF_DIR", "YARN_CONF_DIR"] {
            command.env_remove(foreign);
        }
        // A driver that is killed leaves its temporary directory behind, so that has to be one that goes anyway.
        command.env("SPARK_SUBMIT_OPTS", format!("-Djava.io.tmpdir={}", home.display()));
        Process::spawn_logged("spark-submit", &command, &home.join("spark.log"))
    }

    fn output(&self) -> String {
        let bytes = std::fs::read(self.scratch.path().join("spark.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        text.lines().filter(|line| !line.starts_with("\tat ")).collect::<Vec<_>>().join("\n")
    }

    fn pods(&self, role: &str) -> Vec<Value> {
        let ours = |pod: &Value| {
            let labels = &pod["metadata"]["labels"];
            labels["spark-role"] == role && labels["spark-app-name"] == self.application.as_str()
        };
        self.api.list("v1", "Pod", Some(&self.namespace)).into_iter().filter(ours).collect()
    }
}

fn pairs(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
    settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
