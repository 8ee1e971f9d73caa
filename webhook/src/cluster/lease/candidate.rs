//! What one candidate knows of the lease, and what follows from it. Pure: the time comes from outside.
//!
//! Clocks of machines differ, so the timestamps in the object are for people to read. A lease is judged by how long
//! *this* process has seen it unchanged, as client-go does.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::Terms;

/// One replica that wants to write.
#[derive(Debug)]
pub(super) struct Candidate {
    name: String,
    identity: String,
    terms: Terms,
    seen: Option<Seen>,
    /// When the last successful write of ours was sent: whoever else looks at the lease saw it change later than that.
    renewed: Option<Instant>,
}

#[derive(Debug)]
struct Seen {
    lease: Lease,
    changed: Instant,
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Move {
    /// Look at the lease: it is not known, or somebody else holds it.
    Read,
    /// Write this object over the one that was seen, or not at all.
    Replace(Box<Lease>),
}

impl Candidate {
    pub(super) fn new(name: &str, identity: String, terms: Terms) -> Self {
        Self { name: name.to_owned(), identity, terms, seen: None, renewed: None }
    }

    /// Until when nobody else can hold the lease; nothing where we do not hold it.
    pub(super) fn leads_until(&self) -> Option<Instant> {
        self.renewed.map(|renewed| renewed + self.terms.renew_deadline)
    }

    /// Who holds the lease, as far as is known.
    pub(super) fn holder(&self) -> Option<&str> {
        let spec = self.seen.as_ref()?.lease.spec.as_ref()?;
        spec.holder_identity.as_deref().filter(|holder| !holder.is_empty())
    }

    /// The lease as somebody wrote it.
    pub(super) fn observe(&mut self, lease: Lease, now: Instant) {
        // Not the resource version: a label that somebody adds renews nothing.
        let changed = match self.seen.take() {
            Some(seen) if seen.lease.spec == lease.spec => seen.changed,
            _ => now,
        };
        self.seen = Some(Seen { lease, changed });
        if self.holder() != Some(&self.identity) {
            self.renewed = None;
        }
    }

    /// A write of ours, sent at `sent`, was answered with this.
    pub(super) fn written(&mut self, lease: Lease, sent: Instant) {
        self.seen = Some(Seen { lease, changed: sent });
        self.renewed = Some(sent);
    }

    /// A write of ours came too late, or the lease is gone: what was seen is worth nothing.
    pub(super) fn forget(&mut self) {
        self.seen = None;
    }

    /// We could not renew in time.
    pub(super) fn step_down(&mut self) {
        self.renewed = None;
    }

    /// What a leader does: without looking, since nobody else may have written.
    pub(super) fn renewal(&self, wall: Timestamp) -> Move {
        match (&self.seen, self.renewed) {
            (Some(seen), Some(_)) => Move::Replace(Box::new(self.claim(&seen.lease, wall))),
            _ => Move::Read,
        }
    }

    /// What whoever has just looked does.
    pub(super) fn bid(&self, now: Instant, wall: Timestamp) -> Option<Box<Lease>> {
        let seen = self.seen.as_ref()?;
        let spec = seen.lease.spec.as_ref();
        let seconds = spec.and_then(|spec| spec.lease_duration_seconds).and_then(|s| u64::try_from(s).ok());
        let duration = seconds.map_or(self.terms.duration, Duration::from_secs);
        let is_free = match self.holder() {
            None => true,
            // Ours from before an interruption.
            Some(holder) if holder == self.identity => true,
            Some(_) => now >= seen.changed + duration,
        };
        is_free.then(|| Box::new(self.claim(&seen.lease, wall)))
    }

    /// The lease for the first time.
    pub(super) fn first(&self, wall: Timestamp) -> Lease {
        let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
        self.claim(&Lease { metadata, spec: None }, wall)
    }

    /// The lease given back, if we hold it.
    pub(super) fn release(&self, wall: Timestamp) -> Option<Lease> {
        let seen = self.seen.as_ref()?;
        if self.holder() != Some(&self.identity) {
            return None;
        }
        let mut lease = seen.lease.clone();
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(wall));
        }
        Some(lease)
    }

    /// The same object with us as its holder. It keeps the resource version: the API server refuses the write if
    /// anybody was faster.
    fn claim(&self, lease: &Lease, wall: Timestamp) -> Lease {
        let mut lease = lease.clone();
        let before = lease.spec.take().unwrap_or_default();
        let is_ours = before.holder_identity.as_deref() == Some(&self.identity);
        let transitions = before.lease_transitions.unwrap_or_default();
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.terms.duration.as_secs()).ok(),
            acquire_time: if is_ours { before.acquire_time } else { Some(MicroTime(wall)) },
            renew_time: Some(MicroTime(wall)),
            lease_transitions: Some(if is_ours { transitions } else { transitions.saturating_add(1) }),
            ..before
        });
        lease
    }
}
