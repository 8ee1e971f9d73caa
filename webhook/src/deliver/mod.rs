//! Keeps one immutable Secret per profile revision in each namespace that the profile serves, by POST and DELETE alone.
//!
//! ```text
//! catalog ──wishes──▶ ledger (written ahead) ──targets──▶ agenda ──visits──▶ POST, DELETE
//!                                                            └──verdicts──▶ report ──▶ status, Events
//! ```
//!
//! Only the leader does this. What a leader leaves behind at any moment is enough for the next one: the ledger names
//! every Secret that may exist, the status names the revision that pods are given, and everything else is asked anew.
//! Contents are in the requests and nowhere else.

mod agenda;
mod answer;
mod ledger;
pub mod metrics;
mod pace;
mod report;
mod store;
mod term;
mod visit;
mod wishes;

use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::sources::live::LiveCatalog;
use metrics::DeliveryMetrics;
use term::Term;

/// Name under which fields of objects are ours.
const FIELD_MANAGER: &str = "spark-injector-delivery";

/// What the operator decides of the delivery.
#[derive(Clone, Copy, Debug)]
pub struct DeliverySettings {
    /// How often each namespace is asked whether its Secrets are still there.
    pub interval: Duration,
    /// Most requests in a second.
    pub rate: u32,
    /// How long Secrets stay that nothing refers to any more: an init container may run again after a node rebooted.
    pub keep_revisions: Duration,
}

/// The delivery of Secrets.
#[derive(Clone)]
pub struct Delivery {
    /// A client of the API server.
    pub client: Client,
    /// The injector's own namespace, where the ledger is.
    pub namespace: String,
    /// What is to be delivered.
    pub catalog: LiveCatalog,
    /// How.
    pub settings: DeliverySettings,
    /// What is counted.
    pub metrics: DeliveryMetrics,
}

/// The pauses between attempts to begin.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl Delivery {
    /// Delivers while `leads` is true; ends when its sender is gone.
    pub async fn run(self, mut leads: watch::Receiver<bool>) {
        self.catalog.synced().await;
        let mut pause = FIRST_PAUSE;
        while leads.wait_for(|leads| *leads).await.is_ok() {
            self.metrics.leads(true);
            let began = tokio::time::Instant::now();
            let failed = tokio::select! {
                biased;
                _ = leads.wait_for(|leads| !leads) => None,
                error = self.term() => Some(error),
            };
            self.metrics.leads(false);
            if let Some(error) = failed {
                if began.elapsed() > LONGEST_PAUSE {
                    pause = FIRST_PAUSE;
                }
                tracing::warn!(%error, "the delivery of Secrets begins again");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            } else {
                pause = FIRST_PAUSE;
            }
        }
    }

    /// Until something makes it necessary to begin anew. Dropping it at any moment is safe.
    async fn term(&self) -> store::StoreError {
        match Term::begin(self).await {
            Ok(mut term) => match term.run().await {
                Ok(never) => match never {},
                Err(error) => error,
            },
            Err(error) => error,
        }
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("settings", &self.settings).finish_non_exhaustive()
    }
}
