//! What the review port proves itself with, kept up to date while it is served.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kube::Client;
use spark_injector_certs::{ClientAuthorities, Event, Handshake, Pair, Protocols, Reloader, Rules};

use super::kept::{keep, keep_looking};
use crate::args::{OwnTlsArgs, TlsArgs, TlsVersion};
use crate::cli::exit::Failure;
use crate::server::Tls;
use crate::server::metrics::{Metrics, Reloaded};
use crate::tls::{Keeper, Names, Settings};

/// Where the certificate comes from.
pub(super) enum Credentials {
    /// A pair of files that is looked at every so often.
    Files(Files, Duration),
    /// Our own authority, which the replicas share.
    Own(Box<Keeper>),
}

/// The pair of files that is served.
pub(super) struct Files {
    reloader: Reloader,
    not_after: SystemTime,
    tls: Tls,
}

/// How a handshake is made, whatever is shown.
fn handshake(version: TlsVersion, clients: Option<Arc<ClientAuthorities>>) -> Handshake {
    let protocols = match version {
        TlsVersion::V1_2 => Protocols::Tls12And13,
        TlsVersion::V1_3 => Protocols::Tls13,
    };
    Handshake { protocols, clients }
}

impl Credentials {
    /// Loads the pair of files for the first time, and says what the server shows.
    pub(super) fn files(
        args: TlsArgs,
        clients: Option<Arc<ClientAuthorities>>,
        metrics: &Metrics,
    ) -> Result<(Self, Tls), Failure> {
        let TlsArgs { tls_cert, tls_key, tls_min, tls_poll, .. } = args;
        let (Some(certificate), Some(key)) = (tls_cert, tls_key) else {
            return Err(Failure::Unusable("give --tls-cert and --tls-key".to_owned()));
        };
        let pair = Pair { certificate, key, handshake: handshake(tls_min, clients) };
        let (reloader, credentials) =
            Reloader::start(pair, SystemTime::now()).map_err(|error| Failure::Unusable(error.to_string()))?;
        metrics.certificate_in_use(credentials.not_before, credentials.not_after);
        let tls = Tls::new(credentials.config);
        let files = Files { reloader, not_after: credentials.not_after, tls: tls.clone() };
        Ok((Self::Files(files, tls_poll), tls))
    }

    /// Nothing is shown, and the process is not ready, until the API server has been asked. Call it inside a runtime.
    pub(super) fn own(
        args: TlsArgs,
        clients: Option<Arc<ClientAuthorities>>,
        namespace: String,
        client: &Client,
        metrics: &Arc<Metrics>,
    ) -> Result<(Self, Tls), Failure> {
        let handshake = handshake(args.tls_min, clients);
        let nothing = handshake.config(None).map_err(|error| Failure::Unusable(error.to_string()))?;
        let tls = Tls::new(Arc::new(nothing));
        tls.set_trouble(Some("there is no serving certificate yet".to_owned()));
        let settings = settings(args.own, namespace, handshake);
        let keeper = Keeper::new(client, settings, tls.clone(), Arc::clone(metrics));
        Ok((Self::Own(Box::new(keeper)), tls))
    }

    /// Keeps what is shown up to date for ever.
    pub(super) async fn keep(self, metrics: Arc<Metrics>) {
        let failures = metrics.task_failures("certificate");
        match self {
            Self::Files(files, every) => {
                keep_looking("certificate", failures, (files, every), move |files| files.look(&metrics))
                    .await;
            }
            Self::Own(keeper) => {
                // It knows nothing that the next look would not find again.
                let keeper = Arc::new(tokio::sync::Mutex::new(*keeper));
                let work = move || {
                    let keeper = Arc::clone(&keeper);
                    async move { keeper.lock().await.run().await }
                };
                keep("certificate", failures, work).await;
            }
        }
    }
}

fn settings(args: OwnTlsArgs, namespace: String, handshake: Handshake) -> Settings {
    let OwnTlsArgs {
        service_name: service,
        tls_san,
        tls_secret,
        webhook_configuration,
        ca_lifetime,
        certificate_lifetime,
        tls_confirm,
    } = args;
    let mut names = vec![
        service.clone(),
        format!("{service}.{namespace}"),
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.cluster.local"),
    ];
    names.extend(tls_san.into_iter().filter(|name| !name.is_empty()));
    let rules =
        Rules { names, ca_lifetime, certificate_lifetime, confirm: tls_confirm, jitter: fastrand::f64() };
    let names = Names { namespace, secret: tls_secret, configuration: webhook_configuration };
    Settings { names, rules, handshake }
}

impl Files {
    fn look(&mut self, metrics: &Metrics) {
        let Self { reloader, not_after, tls } = self;
        match tracing::debug_span!("read_certificate").in_scope(|| reloader.poll(SystemTime::now())) {
            Event::Unchanged => {}
            Event::Loaded(credentials) => {
                *not_after = credentials.not_after;
                tls.replace(credentials.config);
                metrics.certificate_in_use(credentials.not_before, *not_after);
                metrics.certificate_reloaded(Reloaded::Ok);
                tracing::info!("another certificate is served");
            }
            Event::Refused(error) => {
                metrics.certificate_reloaded(Reloaded::Error);
                metrics.certificate_trouble(SystemTime::now());
                tracing::error!(%error, "certificate not usable; the old one stays");
            }
        }
        let is_expired = SystemTime::now() > *not_after;
        tls.set_trouble(is_expired.then(|| "the serving certificate has expired".to_owned()));
    }
}
