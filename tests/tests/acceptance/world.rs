//! Namespaces, the profiles that serve them, and the built webhook between them and an API server. The same
//! documents are on the API server, before the webhook and on the command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use acceptance::cli;
use acceptance::client::{Api, Namespace, Reply};
use acceptance::cluster::Cluster;
use acceptance::places;
use acceptance::process::{Finished, wait_until};
use acceptance::registration::Registered;
use acceptance::webhook::Webhook;
use serde_json::{Value, json};
use tempfile::TempDir;

const LABEL: &str = "acceptance/world";

/// Everything that a world is made of.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) namespaces: Vec<Namespace>,
    /// Profiles and sources.
    pub(crate) documents: Vec<Value>,
    /// Folders with more of them.
    pub(crate) folders: Vec<PathBuf>,
    /// More arguments for `serve`.
    pub(crate) arguments: Vec<&'static str>,
}

/// Namespaces of their own on an API server, and a webhook that only they reach.
#[derive(Debug)]
pub(crate) struct World {
    // Unregistered before the webhook ends, or other pods of these namespaces would be refused.
    _registered: Registered,
    pub(crate) webhook: Webhook,
    pub(crate) api: Api,
    folder: TempDir,
    folders: Vec<PathBuf>,
}

impl World {
    /// On the control plane that all tests share.
    pub(crate) fn start(plan: Plan) -> Self {
        Self::start_on(Cluster::shared(), plan)
    }

    pub(crate) fn start_on(cluster: &Cluster, plan: Plan) -> Self {
        let Plan { name, namespaces, documents, folders, arguments } = plan;
        let api = cluster.admin().clone();
        // No profile serves it: its pods are refused in the webhook's name, which shows that the webhook is in effect.
        let probe = Namespace::new(&format!("{name}-probe")).opted_in();
        let folder = tempfile::tempdir().expect("a folder");
        let labelled =
            namespaces.into_iter().chain([probe.clone()]).map(|namespace| namespace.label(LABEL, name));
        let mut objects = Vec::new();
        for namespace in labelled {
            api.create_namespace(&namespace);
            objects.push(namespace.object());
        }
        write(folder.path(), "namespaces", &objects);
        write(folder.path(), "documents", &documents);

        let mut all = vec!["--poll", "50ms"];
        for more in &folders {
            all.extend(["--from", more.to_str().expect("a path in UTF-8")]);
        }
        all.extend(arguments);
        let webhook = Webhook::start(folder.path(), &all);
        let registered = webhook.registration(name).only(LABEL, name).register(&api);
        registered.wait(probe.name());
        Self { _registered: registered, webhook, api, folder, folders }
    }

    /// Runs a command of `spark-injector` on the same documents.
    pub(crate) fn run(&self, command: &str, args: &[&str], stdin: &[u8]) -> Finished {
        let mut all = vec![command, "--from", self.folder.path().to_str().expect("a path in UTF-8")];
        for more in &self.folders {
            all.extend(["--from", more.to_str().expect("a path in UTF-8")]);
        }
        all.extend(args);
        cli::run(&all, stdin)
    }

    /// What `inject` makes of a pod.
    #[track_caller]
    pub(crate) fn inject(&self, namespace: &str, pod: &Value) -> Value {
        let finished = self.run("inject", &["-n", namespace, "-o", "json"], pod.to_string().as_bytes());
        assert_eq!(finished.status, 0, "{}", finished.stderr);
        serde_json::from_str(&finished.stdout).expect("one object")
    }

    /// The Secrets of a namespace, as `secrets` prints them, on the API server.
    #[track_caller]
    pub(crate) fn deliver(&self, namespace: &str) -> Vec<Value> {
        let finished = self.run("secrets", &["-n", namespace, "-o", "json"], b"");
        assert_eq!(finished.status, 0, "{}", finished.stderr);
        let list: Value = serde_json::from_str(&finished.stdout).expect("a List");
        let items = list["items"].as_array().expect("items").clone();
        items.into_iter().map(|secret| self.api.create(&secret).expect(201)).collect()
    }

    /// Replaces the profiles and sources that the webhook reads.
    pub(crate) fn rewrite(&self, documents: &[Value]) {
        write(self.folder.path(), "documents", documents);
    }

    /// Puts this text where the profiles and sources were.
    pub(crate) fn rewrite_text(&self, text: &str) {
        replace(&self.folder.path().join("documents.json"), text);
    }

    /// The line of the log on the last admission of a pod of this name.
    #[track_caller]
    pub(crate) fn logged(&self, namespace: &str, name: &str) -> Value {
        // Written after the answer was sent.
        let found = wait_until(Duration::from_secs(10), || {
            let lines = self.webhook.log().into_iter().rev();
            let mut entries = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
            entries.find(|entry| entry["namespace"] == namespace && entry["name"] == name)
        });
        found.unwrap_or_else(|| panic!("no line on {namespace}/{name}"))
    }
}

fn write(folder: &Path, name: &str, documents: &[Value]) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": documents});
    replace(&folder.join(format!("{name}.json")), &list.to_string());
}

/// In one step: a webhook that looks in between sees the old text or the new one.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("a file");
    std::fs::rename(new, path).expect("the file in its place");
}

/// The folder with the profiles under which every recorded pod can be injected.
pub(crate) fn bundle() -> PathBuf {
    places::repository().join("tests/bundle")
}

/// A profile of this name that serves the namespace of this name.
pub(crate) fn profile(name: &str, spec: &Value) -> Value {
    let mut object = json!({"apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile",
                            "metadata": {"name": name}, "spec": spec});
    object["spec"]["namespaces"] = json!({"names": [name]});
    object
}

/// A driver as Spark 4.3 makes it, reduced to what matters.
pub(crate) fn driver(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
           "metadata": {"name": name, "namespace": namespace, "labels": {"spark-role": "driver"}},
           "spec": {"restartPolicy": "Never", "containers": [
               {"name": "spark-kubernetes-driver", "image": "apache/spark:4.3.0", "args": ["driver"]}]}})
}

/// An executor, likewise.
pub(crate) fn executor(namespace: &str, name: &str) -> Value {
    let mut pod = driver(namespace, name);
    pod["metadata"]["labels"]["spark-role"] = "executor".into();
    pod["spec"]["containers"][0]["name"] = "spark-kubernetes-executor".into();
    pod["spec"]["containers"][0]["args"] = json!(["executor"]);
    pod
}

/// An inline file, the least that makes a profile need an init container.
pub(crate) fn one_file() -> Value {
    json!([{"mountPath": "/conf", "inline": {"app.conf": "on\n"}}])
}

/// Bytes without a pattern, the same in every run.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// The items of a list, or none.
pub(crate) fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The names in a list.
pub(crate) fn names(list: &Value) -> Vec<&str> {
    items(list).iter().map(|item| item["name"].as_str().unwrap_or_default()).collect()
}

/// The value of a container's variable.
pub(crate) fn variable<'p>(container: &'p Value, name: &str) -> Option<&'p str> {
    items(&container["env"]).iter().find(|variable| variable["name"] == name)?["value"].as_str()
}

/// Asserts a refusal by the webhook: the status and, but for the API server's own words before it, the message.
#[track_caller]
pub(crate) fn assert_denied(reply: &Reply, status: u16, sentence: &str) {
    let preamble = "admission webhook \"pods.spark-injector.io\" denied the request: ";
    assert_eq!((reply.status, reply.message()), (status, &*format!("{preamble}{sentence}")));
}
