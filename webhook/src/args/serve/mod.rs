//! Flags of `serve`.

mod clients;
mod delivery;
mod drain;
mod limits;
mod log;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

pub use clients::ClientArgs;
pub use delivery::DeliveryArgs;
pub use drain::DrainArgs;
pub use limits::LimitArgs;
pub use log::{LogArgs, LogLevel, LogLook};
pub use tls::{OwnTlsArgs, TlsArgs, TlsSource, TlsVersion};

use super::duration::interval;
use super::values::address;
use super::{ClusterArgs, CompileArgs};

/// Flags of `serve`.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Folder or file of YAML and JSON to serve from, instead of the cluster; repeatable
    #[arg(long, value_name = "PATH", requires = "listen", env = "SPARK_INJECTOR_FROM")]
    pub from: Vec<PathBuf>,
    /// Which cluster, without --from.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Shared flags.
    #[command(flatten)]
    pub compile: CompileArgs,
    /// How often files and directories are looked at; the cluster tells by itself
    #[arg(long, value_name = "DURATION", env = "SPARK_INJECTOR_POLL", default_value = "1s", value_parser = interval)]
    pub poll: Duration,
    /// Address for reviews; port 0 takes a free one; has to be given with --from
    #[arg(long, value_name = "ADDR", env = "SPARK_INJECTOR_LISTEN", default_value = "0.0.0.0:8443", value_parser = address)]
    pub listen: SocketAddr,
    /// Address for health and metrics, without TLS; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "SPARK_INJECTOR_ADMIN", default_value = "127.0.0.1:0", value_parser = address)]
    pub admin: SocketAddr,
    /// What the review port proves itself with.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// What callers of the review port have to prove.
    #[command(flatten)]
    pub clients: ClientArgs,
    /// How Secrets get into the namespaces of teams.
    #[command(flatten)]
    pub delivery: DeliveryArgs,
    /// How it ends.
    #[command(flatten)]
    pub drain: DrainArgs,
    /// What callers may take.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
}
