//! The profiles and their sources, kept up to date while requests are answered.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::args::Inputs;
use crate::cli::exit::Failure;
use crate::server::metrics::{Metrics, Reloaded};
use crate::sources::live::LiveCatalog;
use crate::sources::watch::{Change, Reload, Watch};

/// A directory that is looked at again and again.
pub(super) struct FromDirectory {
    watch: Watch,
    every: Duration,
}

impl FromDirectory {
    /// Reads and compiles for the first time.
    pub(super) fn start(inputs: Inputs, every: Duration, metrics: &Metrics) -> Result<Self, Failure> {
        let Inputs { directory, settings } = inputs;
        let (watch, first) =
            Watch::start(directory, settings).map_err(|error| Failure::Unusable(error.to_string()))?;
        report(&first, metrics);
        for warning in watch.catalog().load().warnings() {
            tracing::warn!(%warning, "worth knowing");
        }
        Ok(Self { watch, every })
    }

    pub(super) fn catalog(&self) -> LiveCatalog {
        self.watch.catalog()
    }

    /// Looks at the inputs for ever.
    pub(super) async fn keep(self, metrics: Arc<Metrics>) {
        let Self { mut watch, every } = self;
        loop {
            tokio::time::sleep(every).await;
            // Reading and compiling block; requests go on meanwhile with the catalog of before.
            let looked = tokio::task::spawn_blocking(move || {
                let change = watch.poll();
                (watch, change)
            });
            let Ok((next, change)) = looked.await else {
                metrics.catalog_reloaded(Reloaded::Error);
                tracing::error!("profiles are no longer reloaded; restart spark-injector");
                return;
            };
            watch = next;
            match change {
                Change::None => {}
                Change::Reloaded(reload) => {
                    metrics.catalog_reloaded(Reloaded::Ok);
                    report(&reload, &metrics);
                }
                Change::Kept(unreadable) => {
                    metrics.catalog_reloaded(Reloaded::Error);
                    let problems: Vec<String> = unreadable.0.iter().map(ToString::to_string).collect();
                    tracing::error!(
                        problems = problems.join("; "),
                        "inputs unreadable; the last good ones stay"
                    );
                }
            }
        }
    }
}

fn report(reload: &Reload, metrics: &Metrics) {
    let Reload { appeared, resolved, moved, problems, namespaces } = reload;
    metrics.catalog_in_use(*problems, SystemTime::now());
    tracing::info!(namespaces, problems, "profiles compiled");
    for (namespace, profile) in moved {
        if let Some(profile) = profile {
            tracing::info!(namespace, profile, "namespace served");
        } else {
            tracing::warn!(namespace, "namespace opted in, but no profile serves it");
        }
    }
    for problem in appeared {
        tracing::warn!(%problem, "mistake in the inputs");
    }
    for problem in resolved {
        tracing::info!(%problem, "mistake resolved");
    }
}
