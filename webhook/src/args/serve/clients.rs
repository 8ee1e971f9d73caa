//! Flags about what callers of the review port have to prove.

use std::path::PathBuf;

use clap::Args;

/// What callers of the review port have to prove. Every proof that is asked for is needed.
#[derive(Args, Debug)]
pub struct ClientArgs {
    /// PEM file with the authorities that sign client certificates of the API server; without such a proof or a token,
    /// no Secret can be delivered in the environment
    #[arg(long, value_name = "FILE", env = "SPARK_INJECTOR_CLIENT_CA")]
    pub client_ca: Option<PathBuf>,
    /// Name that the client certificate has to have, as its common name or a DNS name; repeatable, one is enough;
    /// default any
    #[arg(
        long,
        value_name = "NAME",
        requires = "client_ca",
        env = "SPARK_INJECTOR_CLIENT_NAME",
        value_delimiter = ','
    )]
    pub client_name: Vec<String>,
    /// File with the bearer token that the API server sends; while one follows another, both, one on each line
    #[arg(long, value_name = "FILE", env = "SPARK_INJECTOR_CLIENT_TOKEN_FILE")]
    pub client_token_file: Option<PathBuf>,
}

impl ClientArgs {
    /// Whether callers have to prove anything: then, and only then, a patch may hold what is secret.
    pub fn authenticate(&self) -> bool {
        self.client_ca.is_some() || self.client_token_file.is_some()
    }
}
