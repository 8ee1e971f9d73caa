//! What only one replica does at a time: the one that holds the Lease writes, the others wait for it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::cluster::lease::{Election, Terms};
use crate::deliver::{Delivery, DeliverySettings};
use crate::server::Stop;
use crate::server::metrics::Metrics;
use crate::sources::cluster::ClusterSource;
use crate::status::StatusWriter;

/// How long until a writer that a defect has ended begins again.
const AGAIN: Duration = Duration::from_secs(30);

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
    tokio::spawn(keep("status", status));
    if let Some(settings) = delivery {
        let delivery = Delivery {
            client: client.clone(),
            namespace: source.own_namespace().to_owned(),
            catalog: source.catalog(),
            settings,
            metrics: metrics.delivery.clone(),
        };
        tokio::spawn(keep("delivery", move || delivery.clone().run(leads.clone())));
    }
    tokio::spawn(election.run(async move {
        // Whoever drains lets another one write at once. A sender that is gone means the end as well.
        drop(stop.wait_for(|asked| *asked != Stop::Serve).await);
    }))
}

/// Keeps a writer at work. One that dies of a defect would leave a leader that renews its Lease and writes nothing, for
/// all replicas; whoever serves pods goes on.
async fn keep<F: Future<Output = ()> + Send + 'static>(writer: &'static str, work: impl Fn() -> F) {
    while tokio::spawn(work()).await.is_err_and(|error| error.is_panic()) {
        tracing::error!(writer, "a writer died of a defect of spark-injector; it begins again");
        sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_dies_begins_again() {
        let begun = Arc::new(AtomicU32::new(0));
        let work = || {
            let before = begun.fetch_add(1, Ordering::Relaxed);
            async move { assert!(before > 1, "a defect") }
        };
        keep("test", work).await;
        assert_eq!(begun.load(Ordering::Relaxed), 3);
    }
}
