//! What the user typed, as it was typed. [`Inputs`] turns the shared flags into what the program needs; every flag of
//! `serve` has an environment variable beside it. Nothing is read or done here.

#![allow(
    clippy::doc_markdown,
    reason = "these comments are printed as help texts, where backticks are noise"
)]

mod check;
mod cluster;
mod duration;
mod help;
mod serve;
mod values;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use check::{CheckArgs, CheckOutput};
pub use cluster::ClusterArgs;
pub use serve::{
    ClientArgs, DeliveryArgs, DrainArgs, LimitArgs, LogArgs, LogLevel, LogLook, OwnTlsArgs, ServeArgs,
    TlsArgs, TlsSource, TlsVersion,
};

use crate::api::names;
use crate::catalog::Settings;
use crate::sources::directory::Directory;

/// Gives Spark drivers and executors on Kubernetes what their team needs: as a webhook, and offline.
#[derive(Debug, Parser)]
#[command(name = "spark-injector", version, after_help = help::TOP, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print objects as the webhook would have them stored.
    #[command(after_help = help::INJECT)]
    Inject(InjectArgs),
    /// Say what would be injected, from which profile and field, and why not.
    #[command(after_help = help::EXPLAIN)]
    Explain(Box<ExplainArgs>),
    /// Prove the chain from the API server to an injected pod, and name the link that is broken.
    #[command(after_help = help::CHECK)]
    Check(Box<CheckArgs>),
    /// Check profiles and their sources; print every mistake.
    #[command(after_help = help::VALIDATE)]
    Validate(ValidateArgs),
    /// Print the Secrets that the profiles deliver to namespaces.
    #[command(after_help = help::SECRETS)]
    Secrets(SecretsArgs),
    /// Answer admission reviews over TLS.
    #[command(after_help = help::SERVE)]
    Serve(Box<ServeArgs>),
    /// Print the CustomResourceDefinition of SparkProfile.
    #[command(after_help = help::CRD)]
    Crd,
    /// Print a completion script for a shell.
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Where profiles come from and what the operator decides; the same flags for every command that compiles profiles.
#[derive(Args, Clone, Debug)]
pub struct InputArgs {
    /// Folder or file of YAML and JSON: SparkProfiles, Namespaces, ConfigMaps, Secrets; repeatable
    #[arg(long, value_name = "PATH", required = true, env = "SPARK_INJECTOR_FROM")]
    from: Vec<PathBuf>,
    /// How profiles are compiled.
    #[command(flatten)]
    compile: CompileArgs,
    /// Judge as a server whose callers prove who they are (serve --client-ca or --client-token-file); by default as
    /// one where anybody may ask, which hands out no Secret in the environment of a pod
    #[arg(long, env = "SPARK_INJECTOR_CLIENT_AUTHENTICATION")]
    client_authentication: bool,
}

/// What the operator decides, wherever profiles come from.
#[derive(Args, Clone, Debug)]
pub struct CompileArgs {
    /// Folder below which the `directory` sources of profiles are
    #[arg(long, value_name = "DIR", env = "SPARK_INJECTOR_FILES_ROOT")]
    files_root: Option<PathBuf>,
    /// The injector's own namespace: never injected, and where sources are unless they say otherwise; default that of
    /// the pod it runs in when it serves a cluster, else spark-injector
    #[arg(long, value_name = "NAMESPACE", env = "SPARK_INJECTOR_OWN_NAMESPACE", value_parser = values::namespace)]
    own_namespace: Option<String>,
    /// Further namespace from which sources may be read; repeatable
    #[arg(long, value_name = "NAMESPACE", env = "SPARK_INJECTOR_SOURCE_NAMESPACE", value_delimiter = ',',
          value_parser = values::namespace)]
    source_namespace: Vec<String>,
    /// The cluster's default PriorityClass: a pod that has it did not choose it
    #[arg(long, value_name = "NAME", env = "SPARK_INJECTOR_DEFAULT_PRIORITY_CLASS")]
    default_priority_class: Option<String>,
    /// Image of the init container, best with a digest
    #[arg(long, value_name = "IMAGE", env = "SPARK_INJECTOR_INIT_IMAGE", value_parser = values::image,
          default_value_t = Settings::default().init_image)]
    init_image: String,
    /// CPU of the init container, as request and limit
    #[arg(long, value_name = "QUANTITY", env = "SPARK_INJECTOR_INIT_CPU", value_parser = values::amount,
          default_value_t = Settings::default().init_cpu)]
    init_cpu: String,
    /// Memory of the init container, as request and limit
    #[arg(long, value_name = "QUANTITY", env = "SPARK_INJECTOR_INIT_MEMORY", value_parser = values::amount,
          default_value_t = Settings::default().init_memory)]
    init_memory: String,
    /// Whether callers prove that they are the API server. No flag here: `serve` knows it by other flags, a cluster by
    /// what the injector says of profiles, and where there are files alone somebody has to say it.
    #[arg(skip)]
    pub client_authentication: bool,
}

/// The shared flags as the program needs them.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// What is read.
    pub directory: Directory,
    /// How it is compiled.
    pub settings: Settings,
}

impl Inputs {
    /// What is read from these files.
    pub fn new(from: Vec<PathBuf>, compile: CompileArgs) -> Self {
        let (settings, files_root) = compile.settings(None);
        let directory = Directory { from, files_root, default_namespace: settings.namespace.clone() };
        Self { directory, settings }
    }
}

impl From<InputArgs> for Inputs {
    fn from(args: InputArgs) -> Self {
        let InputArgs { from, mut compile, client_authentication } = args;
        compile.client_authentication = client_authentication;
        Self::new(from, compile)
    }
}

impl CompileArgs {
    /// The injector's own namespace. `namespace` is what it is where no flag says so.
    pub fn own_namespace(&self, namespace: Option<String>) -> String {
        let flag = self.own_namespace.clone().filter(|name| !name.is_empty());
        flag.or(namespace).unwrap_or_else(|| names::DEFAULT_NAMESPACE.to_owned())
    }

    /// The settings of the compiler, and where directories are. `namespace` is our own one where no flag says so.
    pub fn settings(self, namespace: Option<String>) -> (Settings, Option<PathBuf>) {
        let namespace = self.own_namespace(namespace);
        // Every flag by its name: one that is not used does not compile.
        let Self {
            files_root,
            own_namespace: _,
            source_namespace,
            default_priority_class,
            init_image,
            init_cpu,
            init_memory,
            client_authentication,
        } = self;
        let settings = Settings {
            init_image,
            init_cpu,
            init_memory,
            namespace,
            source_namespaces: source_namespace.into_iter().filter(|name| !name.is_empty()).collect(),
            default_priority_class: default_priority_class.filter(|name| !name.is_empty()),
            client_authentication,
            switch_after_delivery: false,
            schema_bounds: true,
        };
        (settings, files_root)
    }
}

/// Flags of `inject`.
#[derive(Args, Debug)]
pub struct InjectArgs {
    /// Shared flags.
    #[command(flatten)]
    pub inputs: InputArgs,
    /// Namespace in which the objects would be created
    #[arg(long, short, value_name = "NS", env = "SPARK_INJECTOR_NAMESPACE", value_parser = values::given_namespace)]
    pub namespace: String,
    /// File with the objects; `-` is the standard input
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// How the result is written
    #[arg(long, short, value_enum, default_value_t = InjectOutput::Yaml)]
    pub output: InjectOutput,
    /// Put the Secrets that the pods refer to before them
    #[arg(long)]
    pub with_secrets: bool,
}

/// How `inject` writes its result.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum InjectOutput {
    /// YAML documents, one for each object
    Yaml,
    /// One JSON object; several objects as one List
    Json,
    /// RFC 6902 operations with paths relative to the input object; one JSON array per object and line
    Patch,
    /// Unified diff of the YAML before and after
    Diff,
}

/// Flags of `explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// Folder or file of YAML and JSON to explain from, instead of the cluster; repeatable
    #[arg(long, value_name = "PATH", env = "SPARK_INJECTOR_FROM")]
    pub from: Vec<PathBuf>,
    /// Which cluster, without --from.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Shared flags.
    #[command(flatten)]
    pub compile: CompileArgs,
    /// With --from, judge as a server whose callers prove who they are (serve --client-ca or --client-token-file); of a
    /// cluster it is known
    #[arg(long, env = "SPARK_INJECTOR_CLIENT_AUTHENTICATION")]
    pub client_authentication: bool,
    /// Namespace in which the objects would be created
    #[arg(long, short, value_name = "NS", env = "SPARK_INJECTOR_NAMESPACE", value_parser = values::given_namespace)]
    pub namespace: String,
    /// File with the objects; `-` is the standard input
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// A pod of the cluster instead of a file: what one like it would be given today
    #[arg(long, value_name = "NAME", value_parser = values::pod, conflicts_with_all = ["file", "from", "running"])]
    pub pod: Option<String>,
    /// The Spark pods that run in the namespace: which were injected, and with an old revision or the current one
    #[arg(long, conflicts_with_all = ["file", "from"])]
    pub running: bool,
    /// How the result is written
    #[arg(long, short, value_enum, default_value_t = ExplainOutput::Text)]
    pub output: ExplainOutput,
}

/// How `explain` writes its result.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ExplainOutput {
    /// For people
    Text,
    /// The same facts for programs
    Json,
}

/// Flags of `validate`.
#[derive(Args, Debug)]
pub struct ValidateArgs {
    /// Shared flags.
    #[command(flatten)]
    pub inputs: InputArgs,
}

/// Flags of `secrets`.
#[derive(Args, Debug)]
pub struct SecretsArgs {
    /// Shared flags.
    #[command(flatten)]
    pub inputs: InputArgs,
    /// Only the Secrets of this namespace
    #[arg(long, short, value_name = "NS")]
    pub namespace: Option<String>,
    /// How the result is written
    #[arg(long, short, value_enum, default_value_t = SecretsOutput::Yaml)]
    pub output: SecretsOutput,
}

/// How `secrets` writes its result.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum SecretsOutput {
    /// YAML documents
    Yaml,
    /// One JSON List
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "{}", command.get_name());
        }
    }

    #[test]
    fn defaults_are_those_of_the_compiler() {
        let line = [
            "spark-injector",
            "validate",
            "--from",
            "x",
            "--source-namespace",
            "a",
            "--source-namespace",
            "b,",
            "--source-namespace",
            "",
        ];
        let Command::Validate(ValidateArgs { inputs }) = Cli::parse_from(line).command else {
            panic!("not validate")
        };
        let inputs = Inputs::from(inputs);
        assert_eq!(inputs.settings.init_image, Settings::default().init_image);
        assert_eq!(inputs.settings.source_namespaces, ["a", "b"]);
        assert_eq!(inputs.directory.default_namespace, Settings::default().namespace);
    }
}
