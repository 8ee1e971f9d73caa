//! The profiles and their sources, kept up to date while requests are answered: from a directory, or from the cluster.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::kept::{keep, keep_looking};
use super::writers;
use crate::args::{CompileArgs, Inputs};
use crate::cli::exit::Failure;
use crate::cluster;
use crate::deliver::DeliverySettings;
use crate::server::Stop;
use crate::server::metrics::{Metrics, Reloaded};
use crate::sources::cluster::{ClusterSource, Event};
use crate::sources::live::LiveCatalog;
use crate::sources::reload::Reload;
use crate::sources::watch::{Change, Watch};

/// Where profiles come from.
pub(super) enum Source {
    /// A directory that is looked at again and again.
    Directory { watch: Box<Watch>, every: Duration },
    /// An API server that tells of every change, and whether Secrets are delivered to its namespaces.
    Cluster { source: Box<ClusterSource>, delivery: Option<DeliverySettings> },
}

impl Source {
    /// Reads and compiles a directory for the first time.
    pub(super) fn directory(inputs: Inputs, every: Duration, metrics: &Metrics) -> Result<Self, Failure> {
        let Inputs { directory, settings } = inputs;
        let (watch, first) =
            Watch::start(directory, settings).map_err(|error| Failure::Unusable(error.to_string()))?;
        report(&first, &watch.catalog(), metrics);
        Ok(Self::Directory { watch: Box::new(watch), every })
    }

    /// Nothing is asked yet: an API server that does not answer is waited for, and the process is not ready until it
    /// has told everything.
    pub(super) fn cluster(
        client: Client,
        args: CompileArgs,
        every: Duration,
        delivery: Option<DeliverySettings>,
    ) -> Self {
        let (mut settings, files_root) = args.settings(cluster::own_namespace());
        settings.switch_after_delivery = delivery.is_some();
        settings.schema_bounds = false;
        Self::Cluster { source: Box::new(ClusterSource::new(client, settings, files_root, every)), delivery }
    }

    pub(super) fn catalog(&self) -> LiveCatalog {
        match self {
            Self::Directory { watch, .. } => watch.catalog(),
            Self::Cluster { source, .. } => source.catalog(),
        }
    }

    /// Begins to write into the cluster what follows from the inputs, until asked to stop. Files have nobody to tell.
    pub(super) fn write(&self, metrics: &Metrics, stop: watch::Receiver<Stop>) -> Option<JoinHandle<()>> {
        match self {
            Self::Directory { .. } => None,
            Self::Cluster { source, delivery } => Some(writers::start(source, *delivery, metrics, stop)),
        }
    }

    /// Follows the inputs for ever.
    pub(super) async fn keep(self, metrics: Arc<Metrics>) {
        let failures = metrics.task_failures("inputs");
        match self {
            Self::Directory { watch, every } => {
                keep_looking("inputs", failures, (*watch, every), move |watch| look(watch, &metrics)).await;
            }
            Self::Cluster { source, .. } => {
                let work = || {
                    let (source, catalog, metrics) = (source.clone(), source.catalog(), Arc::clone(&metrics));
                    source.run(move |event| note(&event, &catalog, &metrics))
                };
                keep("inputs", failures, work).await;
            }
        }
    }
}

fn look(watch: &mut Watch, metrics: &Metrics) {
    match watch.poll() {
        // Still so: who asks how often it failed learns by it that it goes on.
        Change::None if watch.is_behind() => metrics.catalog_reloaded(Reloaded::Error),
        Change::None => {}
        Change::Reloaded(reload) => {
            metrics.catalog_reloaded(Reloaded::Ok);
            report(&reload, &watch.catalog(), metrics);
        }
        Change::Kept(unreadable) => {
            metrics.catalog_reloaded(Reloaded::Error);
            let problems: Vec<String> = unreadable.0.iter().map(ToString::to_string).collect();
            tracing::error!(problems = problems.join("; "), "inputs unreadable; the last good ones stay");
        }
    }
}

fn note(event: &Event, catalog: &LiveCatalog, metrics: &Metrics) {
    match event {
        Event::Reloaded(reload) => {
            if !reload.first {
                metrics.catalog_reloaded(Reloaded::Ok);
            }
            report(reload, catalog, metrics);
        }
        // Whoever met it has said why.
        Event::Unread => metrics.catalog_reloaded(Reloaded::Error),
        Event::Failed => {
            metrics.catalog_reloaded(Reloaded::Error);
            metrics.task_failures("inputs").inc();
            tracing::error!(
                "profiles cannot be compiled: a defect of spark-injector; the last good ones stay"
            );
        }
    }
}

/// Most lines about one change: a cluster has thousands of namespaces.
const LINES: usize = 50;

fn report(reload: &Reload, catalog: &LiveCatalog, metrics: &Metrics) {
    let Reload { first, changed, appeared, resolved, moved, problems, namespaces } = reload;
    metrics.catalog_in_use(*problems, SystemTime::now());
    let changed = list(changed);
    tracing::info!(changed, namespaces, problems, "profiles compiled");
    for (namespace, profile) in moved.iter().take(LINES) {
        if let Some(profile) = profile {
            tracing::info!(namespace, profile, "namespace served");
        } else {
            tracing::warn!(namespace, "namespace opted in, but no profile serves it");
        }
    }
    for problem in appeared.iter().take(LINES) {
        tracing::warn!(%problem, "mistake in the inputs");
    }
    for problem in resolved.iter().take(LINES) {
        tracing::info!(%problem, "mistake resolved");
    }
    let more = [moved.len(), appeared.len(), resolved.len()].map(|count| count.saturating_sub(LINES));
    if more.iter().any(|more| *more > 0) {
        let [namespaces, appeared, resolved] = more;
        tracing::info!(namespaces, appeared, resolved, "and more of the same");
    }
    if *first {
        for warning in catalog.load().warnings() {
            tracing::warn!(%warning, "worth knowing");
        }
    }
}

fn list(names: &[String]) -> String {
    const NAMED: usize = 10;
    let first = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
