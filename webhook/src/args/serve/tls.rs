//! Flags about the certificate of the review port.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::args::duration::interval;

/// What the review port proves itself with.
#[derive(Args, Debug)]
pub struct TlsArgs {
    /// PEM file with the serving certificate and its intermediates
    #[arg(long, value_name = "FILE", env = "SPARK_INJECTOR_TLS_CERT")]
    pub tls_cert: PathBuf,
    /// PEM file with the private key
    #[arg(long, value_name = "FILE", env = "SPARK_INJECTOR_TLS_KEY")]
    pub tls_key: PathBuf,
    /// Oldest protocol version that is offered
    #[arg(long, value_enum, env = "SPARK_INJECTOR_TLS_MIN", default_value_t = TlsVersion::V1_3)]
    pub tls_min: TlsVersion,
    /// How often the certificate's files are looked at, at most 10s
    #[arg(long, value_name = "DURATION", env = "SPARK_INJECTOR_TLS_POLL", default_value = "5s", value_parser = tls_poll)]
    pub tls_poll: Duration,
}

/// Oldest protocol version that is offered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum TlsVersion {
    /// TLS 1.2
    #[value(name = "1.2")]
    V1_2,
    /// TLS 1.3
    #[value(name = "1.3")]
    V1_3,
}

fn tls_poll(text: &str) -> Result<Duration, String> {
    let interval = interval(text)?;
    if interval > Duration::from_secs(10) { Err("expected at most 10s".to_owned()) } else { Ok(interval) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_looked_at_often_enough() {
        assert!(tls_poll("11s").is_err() && tls_poll("10s").is_ok());
    }
}
