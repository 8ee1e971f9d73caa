//! Flags about what callers may take.

use std::num::NonZeroUsize;

use clap::Args;

use crate::args::values::{count, workers};

/// What callers may take.
#[derive(Args, Debug)]
pub struct LimitArgs {
    /// Connections to each port at the same time; beyond it, those that ask nothing are closed first
    #[arg(long, value_name = "COUNT", env = "SPARK_INJECTOR_MAX_CONNECTIONS", default_value = "2000", value_parser = count)]
    pub max_connections: NonZeroUsize,
    /// Threads that judge reviews; one of them judges some 25,000 of usual size in a second
    #[arg(long, value_name = "COUNT", env = "SPARK_INJECTOR_WORKERS", default_value = "2", value_parser = workers)]
    pub workers: usize,
}
