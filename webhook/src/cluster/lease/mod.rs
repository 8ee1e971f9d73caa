//! Which replica may write: an election by a `coordination.k8s.io` Lease in the injector's own namespace. Serving needs
//! no leader.
//!
//! Our own code because the crates for it compare the clocks of different machines; `candidate` does not.

mod candidate;
mod store;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use candidate::{Candidate, Move};
use store::{Store, Trouble};

/// Name of the lease, and of what else the writers share.
pub const NAME: &str = "spark-injector";

/// The times of an election.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How long a lease must be seen unchanged before somebody else takes it.
    pub duration: Duration,
    /// How long after its last renewal a leader still counts itself one. The difference to `duration` is what a
    /// request under way has to end.
    pub renew_deadline: Duration,
    /// How long to wait between two looks, or two renewals.
    pub retry: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// The end of a release is waited for no longer: the lease expires by itself.
const RELEASE: Duration = Duration::from_secs(2);

/// One replica's part in the election.
#[derive(Debug)]
pub struct Election<S> {
    store: S,
    candidate: Candidate,
    terms: Terms,
    leads: watch::Sender<bool>,
}

impl Election<store::Leases> {
    /// A candidate for the lease of `namespace`; the receiver says whether this process may write. It turns false
    /// before anybody else can be leader, also where the API server is away. A process that was stopped learns of it
    /// when it goes on, so a write must be harmless when it comes late.
    pub fn new(client: Client, namespace: &str, terms: Terms) -> (Self, watch::Receiver<bool>) {
        Self::among(store::Leases::new(client, namespace), identity(), terms)
    }
}

impl<S: Store> Election<S> {
    fn among(store: S, identity: String, terms: Terms) -> (Self, watch::Receiver<bool>) {
        let (leads, receiver) = watch::channel(false);
        (Self { store, candidate: Candidate::new(NAME, identity, terms), terms, leads }, receiver)
    }

    /// Takes part until `stop` is ready, then gives the lease back so that nobody has to wait for its end.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = self.round() => {}
            }
        }
        self.publish(false);
        if !matches!(timeout(RELEASE, self.release()).await, Ok(Ok(()))) {
            tracing::info!("the lease of the writers was not given back; it expires by itself");
        }
    }

    async fn release(&mut self) -> Result<(), Trouble> {
        // A renewal may have been broken off, so what was seen last may be old.
        if let Some(lease) = self.store.read().await? {
            self.candidate.observe(lease, Instant::now());
        }
        match self.candidate.release(Timestamp::now()) {
            Some(lease) => self.store.replace(&lease).await.map(drop),
            None => Ok(()),
        }
    }

    /// One attempt and the pause after it, broken off when leadership ends in between.
    async fn round(&mut self) {
        let deadline = self.candidate.leads_until();
        let limit = deadline.unwrap_or_else(|| Instant::now() + self.terms.renew_deadline);
        let attempted = tokio::time::timeout_at(limit, self.attempt()).await;
        match attempted {
            Ok(Ok(())) => {}
            Ok(Err(Trouble::Lost)) => self.candidate.forget(),
            Ok(Err(Trouble::Other(why))) => {
                tracing::warn!(why, "the lease of the writers cannot be read or written");
            }
            Err(_) => tracing::warn!("no answer about the lease of the writers in time"),
        }
        self.judge();
        let pause = self.terms.retry.mul_f64(1.0 + fastrand::f64() / 5.0);
        match self.candidate.leads_until() {
            Some(end) => {
                tokio::select! {
                    () = sleep(pause) => {}
                    () = sleep_until(end) => self.judge(),
                }
            }
            None => sleep(pause).await,
        }
    }

    async fn attempt(&mut self) -> Result<(), Trouble> {
        if let Move::Replace(lease) = self.candidate.renewal(Timestamp::now()) {
            let sent = Instant::now();
            match self.store.replace(&lease).await {
                Ok(lease) => {
                    self.candidate.written(lease, sent);
                    return Ok(());
                }
                // Somebody touched it: look who.
                Err(Trouble::Lost) => {}
                Err(other) => return Err(other),
            }
        }
        let lease = self.store.read().await?;
        let sent = Instant::now();
        let written = match lease {
            None => self.store.create(&self.candidate.first(Timestamp::now())).await?,
            Some(lease) => {
                self.candidate.observe(lease, sent);
                match self.candidate.bid(sent, Timestamp::now()) {
                    None => return Ok(()),
                    Some(lease) => self.store.replace(&lease).await?,
                }
            }
        };
        self.candidate.written(written, sent);
        Ok(())
    }

    /// Says whether we lead at this moment.
    fn judge(&mut self) {
        let leads = self.candidate.leads_until().is_some_and(|end| Instant::now() < end);
        if !leads {
            self.candidate.step_down();
        }
        self.publish(leads);
    }

    fn publish(&self, leads: bool) {
        let changed = self.leads.send_if_modified(|led| std::mem::replace(led, leads) != leads);
        if changed {
            let holder = self.candidate.holder();
            tracing::info!(leads, holder, "leadership of the writers");
        }
    }
}

/// The name of the pod, which is the host name inside it, and what tells two processes of one name apart.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "spark-injector" } else { host };
    format!("{host}_{:016x}", fastrand::u64(..))
}
