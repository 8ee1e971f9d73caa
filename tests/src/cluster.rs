//! One control plane: etcd and kube-apiserver of a pinned release, on loopback, with certificates of its own. It
//! needs neither root nor namespaces and is ready in a few seconds.
//!
//! What is not there: a controller manager (nobody makes the `default` service account, finishes the deletion of a
//! namespace, fills a quota's status so that it counts, or fills the aggregated roles `view`, `edit` and `admin`), a
//! scheduler, nodes, Services that lead anywhere.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Api, Credential};
use crate::pki::{self, Authority};
use crate::places;
use crate::process::{self, Process, wait_until};
use crate::scratch::Scratch;

/// The name in the client certificate that the API server shows to webhooks when asked to.
pub const WEBHOOK_CLIENT: &str = "kube-apiserver-admission";

const READY: Duration = Duration::from_secs(60);

/// What a control plane may have beyond the usual.
#[derive(Debug, Clone, Default)]
pub struct ClusterOptions {
    /// The in-tree `PodNodeSelector` admission plugin. Off: the webhook's own selector logic is what is tested.
    pub pod_node_selector: bool,
    /// An audit log of requests and responses, see [`Cluster::audit_log`].
    pub audit: bool,
    /// The API server shows webhooks a client certificate of [`WEBHOOK_CLIENT`], signed by the cluster's authority.
    pub identify_to_webhooks: bool,
    /// More arguments for kube-apiserver.
    pub api_server_args: Vec<String>,
}

/// A running control plane. It ends when it is dropped and when this process ends.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: the server before its store, the directory when nobody writes to it any more.
    api_server: Process,
    etcd: Process,
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
        let mut command = Command::new(binaries.join("etcd"));
        command.arg("--data-dir").arg(home.join("etcd"));
        command.args(["--listen-client-urls", &store, "--advertise-client-urls", &store]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("default={peer}")]);
        // The data live as long as the test: waiting for the disk would double the time of every write.
        command.args(["--unsafe-no-fsync", "--log-level", "warn"]);
        let etcd = Process::spawn_logged("etcd", &command, &home.join("etcd.log"));

        let command = api_server(binaries, home, &authority, &store, port, options);
        let api_server = Process::spawn_logged("kube-apiserver", &command, &home.join("kube-apiserver.log"));

        let administrator = authority.client("acceptance-admin", Some("system:masters"));
        administrator.write(home, "admin");
        write_kubeconfig(home, "admin.kubeconfig", &format!("https://127.0.0.1:{port}"), "admin", "admin");
        let url = format!("https://127.0.0.1:{port}");
        let admin = Api::new(&url, authority.der(), Credential::Certificate(administrator));
        let mut cluster = Self { api_server, etcd, authority, port, admin, directory };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let mut last = String::new();
        let ready = wait_until(READY, || {
            for (name, process) in [("etcd", &mut self.etcd), ("kube-apiserver", &mut self.api_server)] {
                if let Some(status) = process.ended() {
                    return Some(Err(format!("{name} ended with {status}")));
                }
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
        let logs = ["etcd.log", "kube-apiserver.log"].map(|log| {
            let path = self.directory.path().join(log);
            format!("--- last lines of {}\n{}", path.display(), process::tail(&path, 20))
        });
        Err(format!("{why}\n{}\n(set KEEP=1 to keep the logs)", logs.join("\n")))
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

    /// Requests as this user, with nothing but what RBAC gives to it.
    pub fn as_user(&self, name: &str, group: Option<&str>) -> Api {
        let identity = self.authority.client(name, group);
        Api::new(&self.url(), self.authority.der(), Credential::Certificate(identity))
    }

    /// Requests with a bearer token, as of [`Api::token`].
    pub fn as_token(&self, token: &str) -> Api {
        Api::new(&self.url(), self.authority.der(), Credential::Token(token.to_owned()))
    }

    /// Where everything of this control plane lies: certificates (`ca.crt`, `admin.crt`, `admin.key`), logs.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A kubeconfig of the administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("admin.kubeconfig")
    }

    /// Writes a kubeconfig for this user and returns its path.
    pub fn kubeconfig_for(&self, name: &str, group: Option<&str>) -> PathBuf {
        // A user name may hold colons and slashes.
        let file: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        self.authority.client(name, group).write(self.directory(), &file);
        write_kubeconfig(self.directory(), &format!("{file}.kubeconfig"), &self.url(), name, &file)
    }

    /// Runs the pinned kubectl as administrator.
    pub fn kubectl(&self, args: &[&str]) -> Output {
        let mut command = Command::new(places::control_plane().join("kubectl"));
        command.arg("--kubeconfig").arg(self.kubeconfig()).args(args).output().expect("kubectl runs")
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

fn api_server(
    binaries: &Path,
    home: &Path,
    authority: &Authority,
    store: &str,
    port: u16,
    options: &ClusterOptions,
) -> Command {
    let ca = pki::write(home, "ca.crt", authority.certificate());
    let (certificate, key) = authority.server("kube-apiserver").write(home, "kube-apiserver");
    let (signing, verifying) = pki::token_key();
    let signing = pki::write(home, "tokens.key", &signing);
    let verifying = pki::write(home, "tokens.pub", &verifying);

    let mut command = Command::new(binaries.join("kube-apiserver"));
    command.args(["--etcd-servers", store, "--secure-port", &port.to_string()]);
    // Nothing leads to the Service `kubernetes`, and the default reconciler refuses a loopback address.
    command.args(["--bind-address", "127.0.0.1", "--endpoint-reconciler-type", "none"]);
    command.arg("--client-ca-file").arg(ca);
    command.arg("--tls-cert-file").arg(certificate).arg("--tls-private-key-file").arg(key);
    command.args(["--service-account-issuer", "https://kubernetes.default.svc"]);
    command.arg("--service-account-signing-key-file").arg(signing);
    command.arg("--service-account-key-file").arg(verifying);
    command.args(["--authorization-mode", "Node,RBAC", "--service-cluster-ip-range", "10.96.0.0/16"]);
    command.args(["--allow-privileged", "--profiling=false"]);
    let plugins =
        if options.pod_node_selector { "NodeRestriction,PodNodeSelector" } else { "NodeRestriction" };
    command.args(["--enable-admission-plugins", plugins]);
    if options.audit {
        let rules = json!([{"level": "None", "nonResourceURLs": ["/readyz*", "/livez*"]}, {"level": "RequestResponse"}]);
        let policy = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
                            "rules": rules});
        command.arg("--audit-policy-file").arg(pki::write(home, "audit-policy.json", &policy.to_string()));
        command.arg("--audit-log-path").arg(home.join("audit.log"));
    }
    if options.identify_to_webhooks {
        authority.client(WEBHOOK_CLIENT, None).write(home, "webhook-client");
        let users = json!([{"name": "*", "user": {"client-certificate": home.join("webhook-client.crt"),
                                                  "client-key": home.join("webhook-client.key")}}]);
        let credentials = json!({"apiVersion": "v1", "kind": "Config", "users": users});
        let file = pki::write(home, "webhook-client.kubeconfig", &credentials.to_string());
        let version = "apiserver.config.k8s.io/v1";
        let inner =
            json!({"apiVersion": version, "kind": "WebhookAdmissionConfiguration", "kubeConfigFile": file});
        let plugin = json!({"name": "MutatingAdmissionWebhook", "configuration": inner});
        let outer = json!({"apiVersion": version, "kind": "AdmissionConfiguration", "plugins": [plugin]});
        command.arg("--admission-control-config-file");
        command.arg(pki::write(home, "admission.json", &outer.to_string()));
    }
    command.args(&options.api_server_args);
    command
}

fn write_kubeconfig(home: &Path, file: &str, server: &str, user: &str, identity: &str) -> PathBuf {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "acceptance",
        "contexts": [{"name": "acceptance", "context": {"cluster": "acceptance", "user": user}}],
        "clusters": [{"name": "acceptance",
                      "cluster": {"server": server, "certificate-authority": home.join("ca.crt")}}],
        "users": [{"name": user, "user": {"client-certificate": home.join(format!("{identity}.crt")),
                                          "client-key": home.join(format!("{identity}.key"))}}],
    });
    pki::write(home, file, &config.to_string())
}

/// Ports that were free a moment ago; held together so that they differ.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("its address").port())
}
