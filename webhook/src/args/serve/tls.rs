//! Flags about the certificate of the review port.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::args::duration::{interval, lifetime};

/// What the review port proves itself with.
#[derive(Args, Debug)]
pub struct TlsArgs {
    /// Where the serving certificate comes from; default files with --tls-cert, else self without --from
    #[arg(long, value_enum, env = "SPARK_INJECTOR_TLS")]
    tls: Option<TlsSource>,
    /// PEM file with the serving certificate and its intermediates
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "SPARK_INJECTOR_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the private key
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "SPARK_INJECTOR_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// Oldest protocol version that is offered
    #[arg(long, value_enum, env = "SPARK_INJECTOR_TLS_MIN", default_value_t = TlsVersion::V1_3)]
    pub tls_min: TlsVersion,
    /// How often the certificate's files are looked at, at most 10s
    #[arg(long, value_name = "DURATION", env = "SPARK_INJECTOR_TLS_POLL", default_value = "5s", value_parser = tls_poll)]
    pub tls_poll: Duration,
    /// How certificates of our own are made and published.
    #[command(flatten)]
    pub own: OwnTlsArgs,
}

/// Flags of `--tls self`.
#[derive(Args, Debug)]
pub struct OwnTlsArgs {
    /// Service by which the API server reaches us, in our own namespace
    #[arg(long, value_name = "NAME", env = "SPARK_INJECTOR_SERVICE_NAME", default_value = "spark-injector")]
    pub service_name: String,
    /// Further host name or address of the serving certificate; repeatable
    #[arg(long, value_name = "NAME", env = "SPARK_INJECTOR_TLS_SAN", value_delimiter = ',')]
    pub tls_san: Vec<String>,
    /// Secret in our own namespace for authority and serving certificate, shared by all replicas
    #[arg(
        long,
        value_name = "NAME",
        env = "SPARK_INJECTOR_TLS_SECRET",
        default_value = "spark-injector-tls"
    )]
    pub tls_secret: String,
    /// MutatingWebhookConfiguration whose caBundle is kept, in each of its webhooks
    #[arg(
        long,
        value_name = "NAME",
        env = "SPARK_INJECTOR_WEBHOOK_CONFIGURATION",
        default_value = "spark-injector"
    )]
    pub webhook_configuration: String,
    /// How long an authority of our own lives; it is replaced after two thirds
    #[arg(long, value_name = "DURATION", env = "SPARK_INJECTOR_CA_LIFETIME", default_value = "365d", value_parser = lifetime)]
    pub ca_lifetime: Duration,
    /// How long a serving certificate lives; it is replaced after two thirds
    #[arg(long, value_name = "DURATION", env = "SPARK_INJECTOR_CERTIFICATE_LIFETIME", default_value = "30d", value_parser = lifetime)]
    pub certificate_lifetime: Duration,
    /// How long a new authority has to be seen in the configuration before its certificate is served. Hidden: shorter
    /// than what API servers take to honour a change is a gap, and only tests, with certificates that live for
    /// seconds, have no time for the default
    #[arg(long, value_name = "DURATION", env = "SPARK_INJECTOR_TLS_CONFIRM", default_value = "30s", value_parser = interval, hide = true)]
    pub tls_confirm: Duration,
}

/// Where the serving certificate comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum TlsSource {
    /// An authority of our own, in a Secret of the cluster
    #[value(name = "self")]
    Own,
    /// The files of --tls-cert and --tls-key
    Files,
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

impl TlsArgs {
    /// Where the certificate comes from; `is_cluster` where profiles come from a cluster.
    ///
    /// # Errors
    ///
    /// When flags contradict each other or say too little: what to give.
    pub fn source(&self, is_cluster: bool) -> Result<TlsSource, String> {
        let default = if self.tls_cert.is_some() || !is_cluster { TlsSource::Files } else { TlsSource::Own };
        let source = self.tls.unwrap_or(default);
        match (source, &self.tls_cert) {
            (TlsSource::Files, None) => {
                Err("no certificate: give --tls-cert and --tls-key, or --tls self in a cluster".to_owned())
            }
            (TlsSource::Own, Some(_)) => {
                Err("--tls self makes its own certificate: leave --tls-cert and --tls-key out".to_owned())
            }
            (TlsSource::Own, None) => self.own.check().map(|()| source),
            (TlsSource::Files, Some(_)) => Ok(source),
        }
    }
}

impl OwnTlsArgs {
    /// A leaf lives no longer than its authority, which stops signing after two thirds of its life.
    fn check(&self) -> Result<(), String> {
        if self.certificate_lifetime.saturating_mul(3) > self.ca_lifetime {
            return Err("--ca-lifetime has to be at least three times --certificate-lifetime".to_owned());
        }
        // Renewal begins with a third of the life left.
        if self.tls_confirm.saturating_mul(3) > self.certificate_lifetime {
            let confirm = self.tls_confirm.as_secs_f64();
            return Err(format!("--certificate-lifetime has to be at least {}s", confirm * 3.0));
        }
        Ok(())
    }
}

fn tls_poll(text: &str) -> Result<Duration, String> {
    let interval = interval(text)?;
    if interval > Duration::from_secs(10) { Err("expected at most 10s".to_owned()) } else { Ok(interval) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        tls: TlsArgs,
    }

    fn source(is_cluster: bool, flags: &[&str]) -> Result<TlsSource, String> {
        let all = ["serve"].iter().chain(flags);
        Flags::try_parse_from(all).map_err(|error| error.to_string())?.tls.source(is_cluster)
    }

    #[test]
    fn files_are_looked_at_often_enough() {
        assert!(tls_poll("11s").is_err() && tls_poll("10s").is_ok());
    }

    #[test]
    fn a_cluster_needs_no_files_and_files_need_no_cluster() {
        let files = ["--tls-cert", "c", "--tls-key", "k"];
        assert_eq!(source(true, &[]), Ok(TlsSource::Own));
        assert_eq!(source(true, &files), Ok(TlsSource::Files));
        assert_eq!(source(false, &files), Ok(TlsSource::Files));
        assert_eq!(source(false, &["--tls", "self"]), Ok(TlsSource::Own));
        for (is_cluster, flags, word) in [
            (false, &[][..], "--tls-cert and --tls-key"),
            (true, &["--tls", "files"], "--tls-cert and --tls-key"),
            (true, &["--tls", "self", "--tls-cert", "c", "--tls-key", "k"], "leave --tls-cert"),
            (true, &["--tls-cert", "c"], "--tls-key"),
            (true, &["--ca-lifetime", "89d"], "three times"),
            (true, &["--certificate-lifetime", "80s"], "at least 90s"),
        ] {
            let refused = source(is_cluster, flags).unwrap_err();
            assert!(refused.contains(word), "{flags:?}: {refused}");
        }
    }
}
