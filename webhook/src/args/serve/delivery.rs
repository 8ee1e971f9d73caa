//! Flags about the delivery of Secrets.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::args::duration::{interval, lifetime};
use crate::deliver::DeliverySettings;

/// How Secrets get into the namespaces of teams.
#[derive(Args, Debug)]
pub struct DeliveryArgs {
    /// Whether the Secrets that profiles need are made and removed in the namespaces of teams; off where something else
    /// applies what `spark-injector secrets` prints. With --from nothing is delivered
    #[arg(long, value_enum, env = "SPARK_INJECTOR_DELIVERY", default_value_t = Switch::On)]
    delivery: Switch,
    /// How often each namespace is asked whether its Secrets are still there
    #[arg(long, value_name = "DURATION", env = "SPARK_INJECTOR_DELIVERY_INTERVAL", default_value = "60s", value_parser = interval)]
    delivery_interval: Duration,
    /// Most requests per second about Secrets
    #[arg(long, value_name = "NUMBER", env = "SPARK_INJECTOR_DELIVERY_RATE", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    delivery_rate: u32,
    /// How long Secrets stay that pods are no longer given: init containers run again after a node rebooted
    #[arg(long, value_name = "DURATION", env = "SPARK_INJECTOR_KEEP_REVISIONS", default_value = "7d", value_parser = lifetime)]
    keep_revisions: Duration,
}

/// On or off.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl DeliveryArgs {
    /// What they come to; nothing where it is off.
    pub fn settings(self) -> Option<DeliverySettings> {
        let Self { delivery, delivery_interval, delivery_rate, keep_revisions } = self;
        let settings = DeliverySettings { interval: delivery_interval, rate: delivery_rate, keep_revisions };
        (delivery == Switch::On).then_some(settings)
    }
}
