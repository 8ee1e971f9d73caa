//! The node's processes. This runs inside the namespaces of [`super::machine`] only.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::machine::ADDRESS;
use super::settings::{self, NAME, SOCKET};
use crate::client::Api;
use crate::cluster::{Cluster, ClusterOptions};
use crate::pki;
use crate::places;
use crate::process::{self, Process, wait_until};

const START: Duration = Duration::from_secs(120);

const PROXY_USER: &str = "system:kube-proxy";

/// A cluster of one node, which is ready. It ends when it is dropped.
#[derive(Debug)]
pub struct Node {
    // Dropped in this order.
    _kubelet: Process,
    _proxy: Process,
    _scheduler: Process,
    _containerd: Process,
    cluster: Cluster,
}

impl Node {
    /// Starts control plane and node, with these images (OCI archives) in its store.
    ///
    /// # Panics
    /// When something does not start, with its last words.
    pub fn start(images: &[PathBuf]) -> Self {
        let begin = Instant::now();
        let options = ClusterOptions {
            controller_manager: true,
            node: Some(ADDRESS.parse().expect("an address")),
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start_with(&options);
        say(begin, "the API server is ready");
        let (built, home) = (places::node(), cluster.directory().to_owned());
        let start = |name: &str, command: &Command| {
            Process::spawn_logged(name, command, &home.join(format!("{name}.log")))
        };

        let configuration = pki::write(&home, "containerd.toml", &settings::containerd(built, &home));
        std::fs::create_dir(home.join("network")).expect("a directory");
        pki::write(&home, "network/10-pods.conflist", &settings::network(&home).to_string());
        let mut command = program(built, "containerd");
        command.arg("--config").arg(configuration);
        let containerd = start("containerd", &command);
        let imported = import(built, &home, images);
        say(begin, &format!("{imported} images are imported"));

        let scheduler = cluster.kubeconfig_for("system:kube-scheduler", None);
        let mut command = program(built, "kube-scheduler");
        command.arg("--kubeconfig").arg(scheduler).args(["--leader-elect=false", "--secure-port", "0"]);
        let scheduler = start("kube-scheduler", &command);

        let kubelet = start("kubelet", &kubelet(built, &home, &cluster));
        let proxy = start("kube-proxy", &proxy(built, &home, &cluster));
        let node = Self {
            _kubelet: kubelet,
            _proxy: proxy,
            _scheduler: scheduler,
            _containerd: containerd,
            cluster,
        };
        node.wait_until_ready();
        say(begin, "the node is ready");
        node
    }

    /// The control plane.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Requests as cluster administrator.
    pub fn api(&self) -> &Api {
        self.cluster.admin()
    }

    /// A directory of the node's own, for volumes.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.cluster.directory().join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        path
    }

    /// Which programs make up the node, with their versions as the node itself reports them.
    pub fn versions(&self) -> Vec<String> {
        let info = self.node()["status"]["nodeInfo"].clone();
        let text = |key: &str| info[key].as_str().unwrap_or_default().to_owned();
        let mut runc = program(places::node(), "runc");
        runc.arg("--version");
        let runc = process::run(runc, b"", Duration::from_secs(10)).stdout;
        vec![
            format!("kubelet {}", text("kubeletVersion")),
            text("containerRuntimeVersion").replace("://", " "),
            runc.lines().next().unwrap_or_default().replace(" version", ""),
            format!("kernel {}", text("kernelVersion")),
            text("osImage"),
        ]
    }

    fn node(&self) -> serde_json::Value {
        self.api().get(&format!("/api/v1/nodes/{NAME}")).body
    }

    fn wait_until_ready(&self) {
        let ready = wait_until(START, || {
            let node = self.node();
            let conditions = node["status"]["conditions"].as_array()?;
            let ready = conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
            // The taint of a new node goes a moment later.
            (ready && node["spec"]["taints"].is_null()).then_some(())
        });
        let logs = ["containerd", "kubelet", "kube-proxy", "kube-scheduler"].map(|name| {
            let log = self.cluster.directory().join(format!("{name}.log"));
            format!("--- {name}\n{}", process::tail(&log, 15))
        });
        assert!(ready.is_some(), "the node is not ready: {}\n{}", self.node()["status"], logs.join("\n"));
        let labels = json!({"metadata": {"labels": {"pool": "a"}}});
        self.api()
            .patch(&format!("/api/v1/nodes/{NAME}"), "application/merge-patch+json", &labels)
            .expect(200);
    }
}

/// One of the built programs, with the others beside it in its path.
fn program(built: &Path, name: &str) -> Command {
    let bin = built.join("bin");
    let mut command = Command::new(bin.join(name));
    command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display()));
    command.env("LD_LIBRARY_PATH", built.join("lib"));
    command
}

fn import(built: &Path, home: &Path, images: &[PathBuf]) -> usize {
    let ctr = |args: &[&str]| {
        let mut command = program(built, "ctr");
        command.args(["--address", SOCKET, "--namespace", "k8s.io"]).args(args);
        process::run(command, b"", START)
    };
    let listening = wait_until(START, || (ctr(&["version"]).status == 0).then_some(()));
    let log = home.join("containerd.log");
    assert!(listening.is_some(), "containerd does not answer:\n{}", process::tail(&log, 15));
    let pause = built.join("images/pause.tar");
    for archive in std::iter::once(&pause).chain(images) {
        // `--local` takes a third of the time; layers are unpacked when the first container needs them.
        let path = archive.to_str().expect("a path in UTF-8");
        let finished = ctr(&["images", "import", "--local", "--no-unpack", path]);
        assert_eq!(finished.status, 0, "importing {path}: {}{}", finished.stdout, finished.stderr);
    }
    images.len() + 1
}

fn kubelet(built: &Path, home: &Path, cluster: &Cluster) -> Command {
    cluster.authority().server_of(&[NAME, ADDRESS], NAME).write(home, "kubelet");
    // Pods resolve nothing.
    pki::write(home, "resolv.conf", "nameserver 127.0.0.1\n");
    let configuration = pki::write(home, "kubelet.json", &settings::kubelet(home).to_string());
    let user = cluster.kubeconfig_for(&format!("system:node:{NAME}"), Some("system:nodes"));
    let mut command = program(built, "kubelet");
    command.arg("--config").arg(configuration).arg("--kubeconfig").arg(user);
    command.arg("--root-dir").arg(home.join("kubelet"));
    command.args(["--hostname-override", NAME, "--node-ip", ADDRESS]);
    command
}

fn proxy(built: &Path, home: &Path, cluster: &Cluster) -> Command {
    let settings = settings::proxy(&cluster.kubeconfig_for(PROXY_USER, None));
    let configuration = pki::write(home, "kube-proxy.json", &settings.to_string());
    let mut command = program(built, "kube-proxy");
    command.arg("--config").arg(configuration);
    command
}

fn say(begin: Instant, what: &str) {
    eprintln!("{:5.1} s  {what}", begin.elapsed().as_secs_f64());
}
