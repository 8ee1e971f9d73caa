//! What the node shows of pods: their states and logs, by way of the API server, and their processes as the kernel has
//! them, for which no tool is needed inside an image.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::client::Api;
use crate::process::wait_until;

/// The pods of a namespace with this label, as `key=value`.
pub fn pods(api: &Api, namespace: &str, label: &str) -> Vec<Value> {
    let list = api.get(&format!("/api/v1/namespaces/{namespace}/pods?labelSelector={label}")).expect(200);
    list["items"].as_array().cloned().unwrap_or_default()
}

/// The name of a pod.
pub fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap_or_default()
}

/// Whether the pod is ready.
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
        && pod["metadata"]["deletionTimestamp"].is_null()
}

/// What a container has written, as the kubelet keeps it.
pub fn log(api: &Api, pod: &Value, container: &str) -> String {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let path = format!("/api/v1/namespaces/{namespace}/pods/{}/log?container={container}", name(pod));
    api.get(&path).text
}

/// The state of a container or init container, as the kubelet reports it.
pub fn status<'p>(pod: &'p Value, container: &str) -> &'p Value {
    let statuses = |key: &str| pod["status"][key].as_array().into_iter().flatten();
    statuses("initContainerStatuses")
        .chain(statuses("containerStatuses"))
        .find(|status| status["name"] == container)
        .unwrap_or(&Value::Null)
}

/// Waits for a state of the objects below a path.
///
/// # Panics
/// When it does not come, with the last one.
#[track_caller]
pub fn wait_for<T>(
    api: &Api,
    path: &str,
    what: &str,
    limit: Duration,
    mut question: impl FnMut(&Value) -> Option<T>,
) -> T {
    let mut last = Value::Null;
    let answer = wait_until(limit, || {
        last = api.get(path).body;
        last["metadata"]["managedFields"].take();
        question(&last)
    });
    answer.unwrap_or_else(|| panic!("{what} did not happen within {} s: {last}", limit.as_secs()))
}

/// A process of a container, as the node sees it.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its id.
    pub id: u32,
    status: String,
    mounts: String,
}

impl Running {
    /// The process of a pod whose program has this path in its container.
    pub fn of(pod: &Value, program: &str) -> Option<Self> {
        let pod = pod["metadata"]["uid"].as_str().unwrap_or("without an id");
        let entries = std::fs::read_dir("/proc").expect("/proc");
        let mut ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        ids.find_map(|id| Self::read(id, pod, program))
    }

    fn read(id: u32, pod: &str, program: &str) -> Option<Self> {
        let folder: PathBuf = ["/proc", &id.to_string()].iter().collect();
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
        let command = std::fs::read(folder.join("cmdline")).ok()?;
        // The kubelet names the control group of a pod by its uid.
        (command.split(|byte| *byte == 0).next()? == program.as_bytes() && text("cgroup")?.contains(pod))
            .then(|| Some(Self { id, status: text("status")?, mounts: text("mountinfo")? }))?
    }

    /// Sends a signal by its short name, as in `TERM`.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args(["-s", name, &self.id.to_string()]).status().expect("kill runs");
        assert!(status.success(), "kill -s {name} {}: {status}", self.id);
    }

    /// The fields of a line of `/proc/ID/status`.
    pub fn field(&self, name: &str) -> Vec<&str> {
        let line = self.status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().split_whitespace().collect()
    }

    /// Whether nothing can be written to its root.
    pub fn is_root_read_only(&self) -> bool {
        let root = self.mounts.lines().find(|line| line.split(' ').nth(4) == Some("/"));
        let options = root.and_then(|line| line.split(' ').nth(5));
        options.is_some_and(|options| options.split(',').any(|one| one == "ro"))
    }
}
