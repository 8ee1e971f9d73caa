//! With which arguments the servers are started.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{Audit, ClusterOptions, WEBHOOK_CLIENT};
use crate::pki::{self, Authority};

/// The Service `kubernetes`: the first address of the range of Services.
pub(crate) const SERVICE_ADDRESS: &str = "10.96.0.1";

/// What the controller manager runs: what makes namespaces, accounts, roles, workloads and their deletion behave as
/// in any cluster. Every further controller only makes the start slower.
const CONTROLLERS: [&str; 16] = [
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "statefulset-controller",
    "validatingadmissionpolicy-status-controller",
];

pub(super) fn etcd(binaries: &Path, home: &Path, store: &str, peer: &str) -> Command {
    let mut command = Command::new(binaries.join("etcd"));
    command.arg("--data-dir").arg(home.join("etcd"));
    command.args(["--listen-client-urls", store, "--advertise-client-urls", store]);
    command.args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]);
    command.args(["--initial-cluster", &format!("default={peer}")]);
    // The data live as long as the test: waiting for the disk would double the time of every write.
    command.args(["--unsafe-no-fsync", "--log-level", "warn"]);
    command
}

pub(super) fn api_server(
    binaries: &Path,
    home: &Path,
    authority: &Authority,
    store: &str,
    port: u16,
    options: &ClusterOptions,
) -> Command {
    let ca = pki::write(home, "ca.crt", authority.certificate());
    let address = options.node.map(|address| address.to_string());
    let mut names = vec!["127.0.0.1", "localhost"];
    names.extend(address.iter().flat_map(|address| [address, SERVICE_ADDRESS, "kubernetes.default.svc"]));
    let certificate = authority.server_of(&names, "kube-apiserver");
    let (certificate, key) = certificate.write(home, "kube-apiserver");
    let (signing, verifying) = pki::token_key();
    let signing = pki::write(home, "tokens.key", &signing);
    let verifying = pki::write(home, "tokens.pub", &verifying);

    let mut command = Command::new(binaries.join("kube-apiserver"));
    command.args(["--etcd-servers", store, "--secure-port", &port.to_string()]);
    if let Some(address) = options.node {
        serve_node(&mut command, home, authority, address);
    } else {
        // Nothing leads to the Service `kubernetes`, and the default reconciler refuses a loopback address.
        command.args(["--bind-address", "127.0.0.1", "--endpoint-reconciler-type", "none"]);
    }
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
    audit(&mut command, home, options.audit);
    if options.identify_to_webhooks {
        identify(&mut command, home, authority);
    }
    command.args(&options.api_server_args);
    command
}

/// Pods reach the API server at the node's address, and it asks the kubelet for logs.
fn serve_node(command: &mut Command, home: &Path, authority: &Authority, address: Ipv4Addr) {
    command.args(["--bind-address", "0.0.0.0", "--advertise-address", &address.to_string()]);
    let client = authority.client("kube-apiserver-kubelet-client", Some("system:masters"));
    let (certificate, key) = client.write(home, "kubelet-client");
    command.arg("--kubelet-certificate-authority").arg(home.join("ca.crt"));
    command.arg("--kubelet-client-certificate").arg(certificate).arg("--kubelet-client-key").arg(key);
    command.args(["--kubelet-preferred-address-types", "InternalIP"]);
}

fn audit(command: &mut Command, home: &Path, audit: Audit) {
    let nothing = json!({"level": "None", "nonResourceURLs": ["/readyz*", "/livez*"]});
    let secrets = json!({"level": "Metadata", "resources": [{"group": "", "resources": ["secrets"]}]});
    let whole = json!({"level": "RequestResponse"});
    let rules = match audit {
        Audit::Off => return,
        Audit::Metadata => json!([nothing, {"level": "Metadata"}]),
        Audit::ButSecrets => json!([nothing, secrets, whole]),
        Audit::Whole => json!([nothing, whole]),
    };
    let policy = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
                        "rules": rules});
    command.arg("--audit-policy-file").arg(pki::write(home, "audit-policy.json", &policy.to_string()));
    command.arg("--audit-log-path").arg(home.join("audit.log"));
}

fn identify(command: &mut Command, home: &Path, authority: &Authority) {
    authority.client(WEBHOOK_CLIENT, None).write(home, "webhook-client");
    let users = json!([{"name": "*", "user": {"client-certificate": home.join("webhook-client.crt"),
                                              "client-key": home.join("webhook-client.key")}}]);
    let credentials = json!({"apiVersion": "v1", "kind": "Config", "users": users});
    let file = pki::write(home, "webhook-client.kubeconfig", &credentials.to_string());
    let version = "apiserver.config.k8s.io/v1";
    let inner =
        json!({"apiVersion": version, "kind": "WebhookAdmissionConfiguration", "kubeConfigFile": file});
    let plugin = json!({"name": "MutatingAdmissionWebhook", "configuration": inner});
    let outer: Value = json!({"apiVersion": version, "kind": "AdmissionConfiguration", "plugins": [plugin]});
    command.arg("--admission-control-config-file");
    command.arg(pki::write(home, "admission.json", &outer.to_string()));
}

pub(super) fn controller_manager(binaries: &Path, home: &Path, kubeconfig: &Path, all: bool) -> Command {
    let chosen = CONTROLLERS.join(",");
    let mut command = Command::new(binaries.join("kube-controller-manager"));
    command.arg("--kubeconfig").arg(kubeconfig);
    command.arg("--service-account-private-key-file").arg(home.join("tokens.key"));
    command.arg("--root-ca-file").arg(home.join("ca.crt"));
    // Each controller under its own name, as installed clusters have it: policies name them.
    command.args(["--use-service-account-credentials", "--leader-elect=false"]);
    command.args(["--controllers", if all { "*" } else { &chosen }]);
    // Nobody asks it anything; and one client's share of an API server that has little else to do.
    command.args(["--secure-port", "0", "--kube-api-qps", "500", "--kube-api-burst", "1000"]);
    command
}
