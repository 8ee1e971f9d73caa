//! Flags of `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::InputArgs;

/// Flags of `serve`.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Shared flags.
    #[command(flatten)]
    pub inputs: InputArgs,
    /// Address for reviews; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "SPARK_INJECTOR_LISTEN")]
    pub listen: SocketAddr,
    /// Address for health and metrics, without TLS; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "SPARK_INJECTOR_ADMIN", default_value = "127.0.0.1:0")]
    pub admin: SocketAddr,
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
    /// How often the inputs are looked at
    #[arg(long, value_name = "DURATION", env = "SPARK_INJECTOR_POLL", default_value = "1s", value_parser = interval)]
    pub poll: Duration,
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

/// Whole numbers with a unit, `500ms`, `5s` or `2m`: nothing here needs more, and no default unit can be wrong.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err("expected a whole number with a unit: 500ms, 5s or 2m".to_owned()),
    };
    let milliseconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    let milliseconds = milliseconds.filter(|milliseconds| *milliseconds <= 24 * 3_600_000);
    milliseconds.map(Duration::from_millis).ok_or_else(|| "expected at most 1440m".to_owned())
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < Duration::from_millis(10) { Err("expected at least 10ms".to_owned()) } else { Ok(interval) }
}

fn tls_poll(text: &str) -> Result<Duration, String> {
    let interval = interval(text)?;
    if interval > Duration::from_secs(10) { Err("expected at most 10s".to_owned()) } else { Ok(interval) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["5", "s", "", "-1s", "1.5s", "5 s", "99999999999999999999s", "18446744073709551615m"] {
            duration(wrong).unwrap_err();
        }
        assert!(interval("0s").is_err() && tls_poll("11s").is_err() && tls_poll("10s").is_ok());
    }
}
