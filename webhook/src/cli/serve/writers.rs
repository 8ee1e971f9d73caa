//! What only one replica does at a time: the one that holds the Lease writes, the others wait for it.

use std::pin::pin;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::kept::keep;
use crate::cluster::lease::{Election, Terms};
use crate::deliver::{Delivery, DeliverySettings};
use crate::server::Stop;
use crate::server::metrics::Metrics;
use crate::sources::cluster::ClusterSource;
use crate::status::StatusWriter;

/// Stands for election until it is asked to stop; the result ends when the Lease is given back.
pub(super) fn start(
    source: &ClusterSource,
    delivery: Option<DeliverySettings>,
    metrics: &Metrics,
    mut stop: watch::Receiver<Stop>,
) -> JoinHandle<()> {
    let client = source.client();
    let (election, leads) = Election::new(client.clone(), source.own_namespace(), Terms::default());
    let (observed, verdicts) = (source.observed(), source.verdicts());
    let (asked, led) = (client.clone(), leads.clone());
    let status = move || StatusWriter::new(&asked, observed.clone(), verdicts.clone()).run(led.clone());
    // The Lease is renewed by another task: a writer that has died would leave a leader that writes nothing.
    tokio::spawn(keep("status", metrics.task_failures("status"), status));
    if let Some(settings) = delivery {
        let delivery = Delivery {
            client: client.clone(),
            namespace: source.own_namespace().to_owned(),
            catalog: source.catalog(),
            settings,
            metrics: metrics.delivery.clone(),
        };
        let failures = metrics.task_failures("delivery");
        tokio::spawn(keep("delivery", failures, move || delivery.clone().run(leads.clone())));
    }
    let catalog = source.catalog();
    tokio::spawn(async move {
        // Whoever drains lets another one write at once. A sender that is gone means the end as well.
        let mut stopped = pin!(stop.wait_for(|asked| *asked != Stop::Serve));
        // One that cannot read everything has nothing to write, and would keep those who have from it.
        tokio::select! {
            () = catalog.synced() => {}
            _ = &mut stopped => return,
        }
        election.run(async { drop(stopped.await) }).await;
    })
}
