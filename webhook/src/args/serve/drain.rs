//! Flags about the end of the server.

use std::time::Duration;

use clap::Args;

use crate::args::duration::duration;

/// How the server ends.
#[derive(Args, Debug)]
pub struct DrainArgs {
    /// After SIGTERM: how long nobody must have asked anything before the process ends
    #[arg(long, value_name = "DURATION", env = "SPARK_INJECTOR_DRAIN_QUIET", default_value = "5s", value_parser = duration)]
    pub drain_quiet: Duration,
    /// After SIGTERM: the least time before the process ends
    #[arg(long, value_name = "DURATION", env = "SPARK_INJECTOR_DRAIN_MIN", default_value = "10s", value_parser = duration)]
    pub drain_min: Duration,
    /// After SIGTERM: the most time before the process ends; keep it below the pod's grace period
    #[arg(long, value_name = "DURATION", env = "SPARK_INJECTOR_DRAIN_MAX", default_value = "45s", value_parser = duration)]
    pub drain_max: Duration,
}
