//! Flags of `check`.

use clap::{Args, ValueEnum};

use super::ClusterArgs;
use super::values::namespace;

/// Flags of `check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Only this namespace; repeatable. Default: every one that opted in or is isolated
    #[arg(long, short, value_name = "NS", env = "SPARK_INJECTOR_NAMESPACE", value_delimiter = ',',
          value_parser = namespace)]
    pub namespace: Vec<String>,
    /// Namespace of the injector; default spark-injector
    #[arg(long, value_name = "NAMESPACE", env = "SPARK_INJECTOR_OWN_NAMESPACE", value_parser = namespace)]
    pub own_namespace: Option<String>,
    /// Service account of the injector, whose permissions are looked at
    #[arg(long, value_name = "NAME", env = "SPARK_INJECTOR_SERVICE_ACCOUNT", default_value = crate::api::names::DEFAULT_NAMESPACE)]
    pub service_account: String,
    /// Name of the MutatingWebhookConfiguration
    #[arg(long, value_name = "NAME", env = "SPARK_INJECTOR_WEBHOOK_CONFIGURATION", default_value = crate::api::names::DEFAULT_NAMESPACE)]
    pub webhook_configuration: String,
    /// Image that the init container has to have; default: it is not looked at
    #[arg(long, value_name = "IMAGE", env = "SPARK_INJECTOR_INIT_IMAGE")]
    pub init_image: Option<String>,
    /// Write only what failed, and the counts
    #[arg(long)]
    pub failed: bool,
    /// How the result is written
    #[arg(long, short, value_enum, default_value_t = CheckOutput::Text)]
    pub output: CheckOutput,
}

/// How `check` writes its result.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum CheckOutput {
    /// A table for people
    Text,
    /// The same for programs
    Json,
}
