//! What the review port proves itself with, kept up to date while it is served.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use spark_injector_certs::{ClientAuthorities, Event, Pair, Protocols, Reloader};

use crate::args::{TlsArgs, TlsVersion};
use crate::cli::exit::Failure;
use crate::server::Tls;
use crate::server::metrics::{Metrics, Reloaded};

/// The pair of files that is served.
pub(super) struct Files {
    reloader: Reloader,
    every: Duration,
    /// What the server shows; replaced in place.
    pub(super) tls: Tls,
}

impl Files {
    /// Loads the pair for the first time.
    pub(super) fn start(
        args: TlsArgs,
        clients: Option<Arc<ClientAuthorities>>,
        metrics: &Metrics,
    ) -> Result<Self, Failure> {
        let TlsArgs { tls_cert, tls_key, tls_min, tls_poll } = args;
        let protocols = match tls_min {
            TlsVersion::V1_2 => Protocols::Tls12And13,
            TlsVersion::V1_3 => Protocols::Tls13,
        };
        let pair = Pair { certificate: tls_cert, key: tls_key, protocols, clients };
        let (reloader, credentials) =
            Reloader::start(pair, SystemTime::now()).map_err(|error| Failure::Unusable(error.to_string()))?;
        metrics.certificate_in_use(credentials.not_after);
        Ok(Self { reloader, every: tls_poll, tls: Tls::new(credentials.config) })
    }

    /// Looks at the files for ever.
    pub(super) async fn keep(self, metrics: Arc<Metrics>) {
        let Self { mut reloader, every, tls } = self;
        loop {
            tokio::time::sleep(every).await;
            let looked = tokio::task::spawn_blocking(move || {
                let event = reloader.poll(SystemTime::now());
                (reloader, event)
            });
            let Ok((next, event)) = looked.await else {
                metrics.certificate_reloaded(Reloaded::Error);
                tracing::error!("the certificate is no longer reloaded; restart spark-injector");
                return;
            };
            reloader = next;
            match event {
                Event::Unchanged => {}
                Event::Loaded(credentials) => {
                    tls.replace(credentials.config);
                    metrics.certificate_in_use(credentials.not_after);
                    metrics.certificate_reloaded(Reloaded::Ok);
                    tracing::info!("another certificate is served");
                }
                Event::Refused(error) => {
                    metrics.certificate_reloaded(Reloaded::Error);
                    tracing::error!(%error, "certificate not usable; the old one stays");
                }
            }
        }
    }
}
