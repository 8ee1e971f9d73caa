//! What the node's programs are told.

use std::path::Path;

use serde_json::{Value, json};

use super::machine::ADDRESS;

/// Where containerd listens; `/run` is the node's own.
pub(super) const SOCKET: &str = "/run/containerd/containerd.sock";

/// The name of the node.
pub(super) const NAME: &str = "node";

const PODS: &str = "10.244.0.0/24";

/// containerd's configuration, for binaries in `built`.
pub(super) fn containerd(built: &Path, home: &Path) -> String {
    let (built, home) = (built.display(), home.display());
    // Without CAP_SYS_RESOURCE, as root of a container or a small virtual machine often is, nobody may lower
    // oom_score_adj, and runc ends with "can't get final child's PID from pipe: EOF".
    format!(
        r#"version = 3
root = "{home}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{SOCKET}"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "node.local/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = "{built}/bin/runc"
  SystemdCgroup = false
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["{built}/cni"]
  conf_dir = "{home}/network"
"#
    )
}

/// The network of pods: a bridge.
pub(super) fn network(home: &Path) -> Value {
    let addresses = json!({"type": "host-local", "dataDir": home.join("addresses"),
                           "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]});
    json!({"cniVersion": "1.0.0", "name": "pods", "plugins": [
        {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true, "ipam": addresses}]})
}

/// The kubelet's configuration.
pub(super) fn kubelet(home: &Path) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        // Its default is to refuse.
        "failCgroupV1": false,
        "failSwapOn": false,
        "cgroupDriver": "cgroupfs",
        // See containerd's.
        "oomScoreAdj": 0,
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "address": ADDRESS,
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true},
                           "x509": {"clientCAFile": home.join("ca.crt")}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": home.join("kubelet.crt"),
        "tlsPrivateKeyFile": home.join("kubelet.key"),
        // No cluster DNS: pods find the API server by the address in their environment, and Spark's drivers by a host
        // alias of their profile.
        "clusterDomain": "cluster.local",
        "resolvConf": home.join("resolv.conf"),
        "podLogsDir": home.join("pod-logs"),
        "volumePluginDir": home.join("volume-plugins"),
        "makeIPTablesUtilChains": false,
        // How full this machine's disk is is nobody's affair here.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    })
}

/// kube-proxy's configuration.
pub(super) fn proxy(kubeconfig: &Path) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": PODS,
        "hostnameOverride": NAME,
        "bindAddress": ADDRESS,
        "clientConnection": {"kubeconfig": kubeconfig},
        // Settings of the whole machine, which it leaves alone then.
        "conntrack": {"maxPerCore": 0, "min": 0},
    })
}
