//! Flags about the cluster, shared by every command that asks one.

use std::path::PathBuf;

use clap::Args;

use crate::cluster::Access;

/// Which cluster is meant: by default the one that this process runs in, else the one of `~/.kube/config`.
#[derive(Args, Clone, Debug, Default)]
pub struct ClusterArgs {
    /// Kubeconfig of the cluster; several are separated by colons
    #[arg(long, value_name = "FILE", env = "KUBECONFIG", value_delimiter = ':', hide_env_values = true)]
    kubeconfig: Vec<PathBuf>,
    /// Context of the kubeconfig, if not its current one
    #[arg(long, value_name = "NAME", env = "SPARK_INJECTOR_CONTEXT")]
    context: Option<String>,
}

impl From<ClusterArgs> for Access {
    fn from(args: ClusterArgs) -> Self {
        let ClusterArgs { mut kubeconfig, context } = args;
        // An empty part of the variable means nothing, to kubectl too.
        kubeconfig.retain(|path| !path.as_os_str().is_empty());
        Self { kubeconfig, context: context.filter(|name| !name.is_empty()) }
    }
}
