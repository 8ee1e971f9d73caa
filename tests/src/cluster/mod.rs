//! One control plane: etcd and kube-apiserver of a pinned release, on loopback, with certificates of its own; the
//! controller manager where [`ClusterOptions::controller_manager`] asks for it. It needs neither root nor namespaces
//! and is ready in a few seconds.
//!
//! What is not there: a scheduler, nodes, Services that lead anywhere. And without the controller manager: nobody
//! makes the `default` service account, finishes the deletion of a namespace, removes what an owner leaves, fills a
//! quota's status so that it counts, or fills the aggregated roles `view`, `edit` and `admin`.
//!
//! | module | owns |
//! | --- | --- |
//! | `commands` | the arguments of the servers |
//! | `component` | one server, which can end and come back |
//! | `accounts` | who asks: users, service accounts, kubeconfigs |
//! | `outage` | what goes wrong |

mod accounts;
mod commands;
mod component;
mod outage;

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use self::component::Component;
use crate::client::{Api, Credential};
use crate::pki::Authority;
use crate::places;
use crate::process::wait_until;
use crate::scratch::Scratch;

/// The name in the client certificate that the API server shows to webhooks when asked to.
pub const WEBHOOK_CLIENT: &str = "kube-apiserver-admission";

const READY: Duration = Duration::from_secs(60);

/// What a control plane may have beyond the usual.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools, reason = "switches that have nothing to do with each other")]
pub struct ClusterOptions {
    /// The in-tree `PodNodeSelector` admission plugin. Off: the webhook's own selector logic is what is tested.
    pub pod_node_selector: bool,
    /// What the audit log holds, see [`Cluster::audit_log`].
    pub audit: Audit,
    /// The API server shows webhooks a client certificate of [`WEBHOOK_CLIENT`], signed by the cluster's authority.
    pub identify_to_webhooks: bool,
    /// A controller manager: service accounts, deletion of namespaces and of what has an owner, aggregated roles,
    /// quotas, workloads (pods are made of Deployments, Jobs and others, and stay pending).
    pub controller_manager: bool,
    /// For a node at this address, see [`crate::node`]: the API server is behind its Service there, calls kubelets, and
    /// every controller runs.
    pub node: Option<Ipv4Addr>,
    /// More arguments for kube-apiserver.
    pub api_server_args: Vec<String>,
}

/// What an audit log holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Audit {
    /// There is none.
    #[default]
    Off,
    /// Who did what, without bodies.
    Metadata,
    /// Requests and responses whole, but those about Secrets without bodies.
    ButSecrets,
    /// Requests and responses whole.
    Whole,
}

/// A running control plane. It ends when it is dropped and when this process ends.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: clients before the server, the server before its store, the directory when nobody
    // writes to it any more.
    controller_manager: Option<Component>,
    api_server: Component,
    etcd: Component,
    store: String,
    authority: Authority,
    port: u16,
    admin: Api,
    directory: Scratch,
}

impl Cluster {
    /// Starts a control plane with default options.
    pub fn start() -> Self {
        Self::start_with(&ClusterOptions::default())
    }

    /// The control plane of this test process, started at the first use.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a control plane and waits until it is ready.
    pub fn start_with(options: &ClusterOptions) -> Self {
        let binaries = places::control_plane();
        // A free port may be taken by somebody else before the server binds it: rare, and another try cures it.
        for _ in 0..4 {
            match Self::attempt(binaries, options) {
                Ok(cluster) => return cluster,
                Err(why) if why.contains("address already in use") => eprintln!("port taken, trying again"),
                Err(why) => panic!("the control plane did not start: {why}"),
            }
        }
        panic!("the control plane found no free port in four attempts");
    }

    fn attempt(binaries: &Path, options: &ClusterOptions) -> Result<Self, String> {
        let directory = Scratch::new("cluster");
        let home = directory.path();
        let authority = Authority::new("acceptance-ca");
        let [client_port, peer_port, port] = free_ports();

        let store = format!("http://127.0.0.1:{client_port}");
        let peer = format!("http://127.0.0.1:{peer_port}");
        let etcd = Component::start("etcd", commands::etcd(binaries, home, &store, &peer), home);
        let command = commands::api_server(binaries, home, &authority, &store, port, options);
        let api_server = Component::start("kube-apiserver", command, home);

        let administrator = authority.client("acceptance-admin", Some("system:masters"));
        administrator.write(home, "admin");
        let url = format!("https://127.0.0.1:{port}");
        let admin = Api::new(&url, authority.der(), Credential::Certificate(administrator));
        let mut cluster =
            Self { controller_manager: None, api_server, etcd, store, authority, port, admin, directory };
        let user = accounts::by_certificate(cluster.directory(), "admin");
        cluster.write_kubeconfig("admin", &url, &user);
        cluster.wait_until_ready()?;
        if options.controller_manager {
            cluster.start_controllers(binaries, options);
        }
        Ok(cluster)
    }

    fn start_controllers(&mut self, binaries: &Path, options: &ClusterOptions) {
        let kubeconfig = self.kubeconfig_for("system:kube-controller-manager", None);
        let command =
            commands::controller_manager(binaries, self.directory(), &kubeconfig, options.node.is_some());
        let mut component = Component::start("kube-controller-manager", command, self.directory());
        // Without a port of its own, what it does is how one sees that it is there.
        let account = "/api/v1/namespaces/default/serviceaccounts/default";
        let there = wait_until(READY, || {
            component.ended().map(Err).or_else(|| (self.admin.get(account).status == 200).then_some(Ok(())))
        });
        assert!(
            matches!(there, Some(Ok(()))),
            "no controller manager: {there:?}\n{}",
            component.last_words()
        );
        self.controller_manager = Some(component);
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let mut last = String::new();
        let ready = wait_until(READY, || {
            if let Some(why) = self.etcd.ended().or_else(|| self.api_server.ended()) {
                return Some(Err(why));
            }
            match self.admin.send("GET", "/readyz?verbose", "", Vec::new()) {
                // The namespaces come a moment after the hook that makes them has reported ready.
                Ok(reply) if reply.status == 200 => {
                    (self.admin.get("/api/v1/namespaces/default").status == 200).then_some(Ok(()))
                }
                Ok(reply) => {
                    last = reply.text;
                    None
                }
                Err(error) => {
                    last = error;
                    None
                }
            }
        });
        let why = match ready {
            Some(Ok(())) => return Ok(()),
            Some(Err(why)) => why,
            None => format!("not ready after {} s: {last}", READY.as_secs()),
        };
        let logs = [self.etcd.last_words(), self.api_server.last_words()].join("\n");
        Err(format!("{why}\n{logs}\n(set KEEP=1 to keep the logs)"))
    }

    /// The API server's address.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The authority that signed the server's certificate and whose client certificates the server takes.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Requests as cluster administrator.
    pub fn admin(&self) -> &Api {
        &self.admin
    }

    /// Where everything of this control plane lies: certificates (`ca.crt`, `admin.crt`, `admin.key`), logs.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Runs the pinned kubectl as administrator.
    pub fn kubectl(&self, args: &[&str]) -> Output {
        let mut command = Command::new(places::control_plane().join("kubectl"));
        command.arg("--kubeconfig").arg(self.kubeconfig()).args(args).output().expect("kubectl runs")
    }

    /// The same, which has to go well.
    ///
    /// # Panics
    /// When it fails, with its words.
    #[track_caller]
    pub fn kubectl_succeeds(&self, args: &[&str]) -> String {
        let output = self.kubectl(args);
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "kubectl {}: {stdout}{stderr}", args.join(" "));
        stdout.into_owned()
    }

    /// `kubectl apply` of a kustomization (a directory) or of a file, and what it printed.
    ///
    /// # Panics
    /// When it fails, with its words.
    #[track_caller]
    pub fn apply(&self, path: &Path) -> String {
        let flag = if path.is_dir() { "-k" } else { "-f" };
        self.kubectl_succeeds(&["apply", flag, path.to_str().expect("a path in UTF-8")])
    }

    /// The audit events so far, oldest first; empty without [`ClusterOptions::audit`].
    pub fn audit_log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.directory().join("audit.log")).unwrap_or_default();
        // The last line may be half written.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The process ids of etcd and kube-apiserver.
    pub fn process_ids(&self) -> [u32; 2] {
        [self.etcd.id(), self.api_server.id()]
    }
}

/// Ports that were free a moment ago; held together so that they differ.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("its address").port())
}
