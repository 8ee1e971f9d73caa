//! Flags of `serve`.

mod drain;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

pub use drain::DrainArgs;
pub use tls::{TlsArgs, TlsVersion};

use super::InputArgs;
use super::duration::interval;

/// Flags of `serve`.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Shared flags.
    #[command(flatten)]
    pub inputs: InputArgs,
    /// How often the inputs are looked at
    #[arg(long, value_name = "DURATION", env = "SPARK_INJECTOR_POLL", default_value = "1s", value_parser = interval)]
    pub poll: Duration,
    /// Address for reviews; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "SPARK_INJECTOR_LISTEN")]
    pub listen: SocketAddr,
    /// Address for health and metrics, without TLS; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "SPARK_INJECTOR_ADMIN", default_value = "127.0.0.1:0")]
    pub admin: SocketAddr,
    /// What the review port proves itself with.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// How it ends.
    #[command(flatten)]
    pub drain: DrainArgs,
}
