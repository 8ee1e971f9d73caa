//! The time of one leader: from reading the ledger until it leads no longer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::agenda::{Agenda, Novelty, Place, Target, Verdict, Visited};
use super::answer::Failure;
use super::ledger::Ledger;
use super::pace::Pace;
use super::report::{NAMED, Reporter, Summary};
use super::store::{Store, StoreError};
use super::visit::Visitor;
use super::wishes::{Wishes, is_mistaken, stays};
use super::{Delivery, DeliverySettings};
use crate::catalog::Catalog;
use crate::sources::live::LiveCatalog;

/// Visits at a time: enough to keep the pace with an API server that takes 100 ms, and a new namespace waits for few.
const VISITS: usize = 8;
/// Statuses that are written at a time.
const REPORTS: usize = 2;
/// How often progress is written into a status.
const PROGRESS: Duration = Duration::from_secs(2);
/// How long until a status that was not written is tried again.
const REPORT_AGAIN: Duration = Duration::from_secs(5);
/// The pauses while the API server is away.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

type Running<T> = FuturesUnordered<Pin<Box<dyn Future<Output = T> + Send>>>;

/// What a leader knows.
pub(super) struct Term {
    catalog: LiveCatalog,
    changes: watch::Receiver<u64>,
    settings: DeliverySettings,
    metrics: super::DeliveryMetrics,
    visitor: Visitor,
    reporter: Reporter,
    store: Store,
    ledger: Ledger,
    wishes: Wishes,
    agenda: Agenda,
    /// Profiles whose status is not what it should be, and when to write it.
    due_reports: BTreeMap<Arc<str>, Instant>,
    /// What was written into statuses; forgotten now and then, so that it is compared with what they say.
    reported: BTreeMap<Arc<str>, Summary>,
    /// Causes for which Secrets were not removed, and which the log has told of; forgotten with `reported`.
    told_removals: BTreeSet<(Arc<str>, &'static str)>,
    /// The clock of the API server when the term began, and the moment: a leader whose own clock is wrong makes no Secret
    /// older than it is.
    began: (Timestamp, Instant),
    /// The API server is away until then, as far as is known.
    pause: Option<Instant>,
    misses: u32,
}

impl Term {
    pub(super) async fn begin(delivery: &Delivery) -> Result<Self, StoreError> {
        let Delivery { client, namespace, catalog, settings, metrics } = delivery;
        let (store, ledger) = Store::open(client.clone(), namespace).await?;
        let began = (store.server_time().await, Instant::now());
        let pace = Pace::per_second(settings.rate);
        Ok(Self {
            catalog: catalog.clone(),
            changes: catalog.changes(),
            settings: *settings,
            metrics: metrics.clone(),
            visitor: Visitor::new(client.clone(), pace, metrics.clone()),
            reporter: Reporter::new(client.clone()),
            store,
            ledger,
            wishes: Wishes::default(),
            agenda: Agenda::new(settings.interval),
            due_reports: BTreeMap::new(),
            reported: BTreeMap::new(),
            told_removals: BTreeSet::new(),
            began,
            pause: None,
            misses: 0,
        })
    }

    pub(super) async fn run(&mut self) -> Result<Infallible, StoreError> {
        let mut visits: Running<(Place, Visited)> = FuturesUnordered::new();
        let mut reports: Running<(Arc<str>, Result<Summary, kube::Error>)> = FuturesUnordered::new();
        let review = self.settings.keep_revisions.div_f64(4.0);
        let review =
            review.clamp(Duration::from_millis(200), self.settings.interval.max(Duration::from_millis(200)));
        let mut next_review = Instant::now();
        let recall = self.settings.interval.max(PROGRESS);
        let mut next_recall = Instant::now() + recall;
        loop {
            let now = Instant::now();
            if now >= next_recall {
                // What was written may be gone: with a profile that was made anew, or by somebody's hand.
                self.reported.clear();
                self.told_removals.clear();
                (next_recall, next_review) = (now + recall, now);
            }
            if now >= next_review || self.changes.has_changed().unwrap_or_default() {
                self.changes.mark_unchanged();
                self.reconcile().await?;
                next_review = Instant::now() + review;
            }
            self.start_visits(&mut visits);
            self.start_reports(&mut reports);
            let mut wake = next_review;
            if visits.len() < VISITS
                && let Some(due) = self.agenda.next_due()
            {
                wake = wake.min(self.pause.map_or(due, |pause| due.max(pause)));
            }
            if reports.len() < REPORTS
                && let Some(due) = self.due_reports.values().min()
            {
                wake = wake.min(*due);
            }
            tokio::select! {
                // Only waits: the next round looks itself. The sender lives in the catalog, which we hold.
                _ = self.changes.changed() => self.changes.mark_changed(),
                Some((place, visited)) = visits.next() => self.visited(&place, visited),
                Some((profile, result)) = reports.next() => self.reported(profile, result),
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Takes over what the catalog in use wants.
    async fn reconcile(&mut self) -> Result<(), StoreError> {
        let catalog = self.catalog.load_full();
        let now = Instant::now();
        let (began, since) = self.began;
        let wall = began.saturating_add(now - since).unwrap_or(began);
        self.strike_out(wall);
        let before = self.ledger.clone();
        let wishes = Wishes::of(&catalog);
        self.ledger.prepare(&wishes, |profile| is_mistaken(&catalog, profile), wall);
        self.ledger.tidy(&wishes);
        match self.store.write(&self.ledger).await {
            // The delivery matters more than the memory of it.
            Err(error @ (StoreError::TooLarge | StoreError::Refused(_))) => {
                tracing::error!(%error, "Secrets are delivered that nobody will remove");
            }
            other => other?,
        }
        self.wishes = wishes;
        self.aim(&catalog, &before, wall, now);
        self.consider_all();
        self.metrics.backlog(self.agenda.backlog());
        Ok(())
    }

    /// Strikes out the Secrets that are gone from everywhere.
    fn strike_out(&mut self, wall: Timestamp) {
        for (profile, entry) in &mut self.ledger.entries {
            let profile: Arc<str> = profile.as_str().into();
            for name in entry.expired(self.settings.keep_revisions, wall) {
                let is_gone = |namespace: &String| {
                    self.agenda.is_removed(&(Arc::clone(&profile), namespace.as_str().into()), &name)
                };
                if entry.namespaces.iter().all(is_gone) {
                    entry.secrets.remove(&name);
                }
            }
        }
    }

    /// Sets what has to be true of every place in the ledger.
    fn aim(&mut self, catalog: &Catalog, before: &Ledger, wall: Timestamp, now: Instant) {
        for (profile, entry) in &self.ledger.entries {
            let key: Arc<str> = profile.as_str().into();
            let wish = self.wishes.get(profile);
            let known = before.entries.get(profile);
            let is_open = wish.is_none() && is_mistaken(catalog, profile);
            let expired =
                if is_open { Vec::new() } else { entry.expired(self.settings.keep_revisions, wall) };
            let is_written = |wish: &super::wishes::Wish| {
                known.is_some_and(|known| wish.names().all(|name| known.secrets.contains_key(name)))
            };
            let are_known = wish.is_some_and(is_written);
            for namespace in &entry.namespaces {
                let present = wish.filter(|wish| wish.namespaces.contains(namespace));
                let leaves = present.is_none() && !stays(catalog, profile, namespace);
                let target = Target {
                    present: present.map(|wish| Arc::clone(&wish.secrets)),
                    absent: if leaves { entry.secrets.keys().cloned().collect() } else { expired.clone() },
                    leaves,
                    is_unknown: catalog.namespace(namespace).is_none() && !catalog.excludes(namespace),
                };
                let novelty = match known.is_some_and(|known| known.namespaces.contains(namespace)) {
                    false => Novelty::Place,
                    true if are_known => Novelty::Nothing,
                    true => Novelty::Secrets,
                };
                self.agenda.set(&(Arc::clone(&key), namespace.as_str().into()), target, novelty, now);
            }
        }
    }

    fn start_visits(&mut self, visits: &mut Running<(Place, Visited)>) {
        let now = Instant::now();
        if self.pause.is_some_and(|pause| now < pause) {
            return;
        }
        while visits.len() < VISITS {
            let Some(visit) = self.agenda.next(now) else { break };
            let visitor = self.visitor.clone();
            visits.push(Box::pin(async move {
                let visited = visitor.visit(&visit).await;
                (visit.place, visited)
            }));
        }
        if visits.is_empty() {
            self.visitor.rest();
        }
    }

    fn visited(&mut self, place: &Place, visited: Visited) {
        let now = Instant::now();
        if matches!(visited, Visited::Unsettled(None)) {
            // Those that were under way with it tell nothing new.
            if self.pause.is_none_or(|pause| now >= pause) {
                let pause = FIRST_PAUSE.saturating_mul(1 << self.misses.min(10)).min(LONGEST_PAUSE);
                self.pause = Some(now + pause.mul_f64(0.8 + fastrand::f64() / 5.0));
                self.misses = self.misses.saturating_add(1);
            }
        } else {
            (self.pause, self.misses) = (None, 0);
        }
        self.note_removal(place, &visited);
        if self.agenda.visited(place, visited, now) {
            self.agenda.forget(place);
            if let Some(entry) = self.ledger.entries.get_mut(&*place.0) {
                // Stored with the next change, or the next review: until then it costs a DELETE at worst.
                entry.namespaces.remove(&*place.1);
            }
        }
        self.consider(&place.0);
        self.metrics.backlog(self.agenda.backlog());
        if self.agenda.is_complete() {
            self.metrics.full_pass(SystemTime::now());
        }
    }

    /// Says once for each profile and cause that Secrets which must not be there stay.
    fn note_removal(&mut self, (profile, namespace): &Place, visited: &Visited) {
        let Visited::Settled { removal: Err(failure), .. } = visited else { return };
        if self.told_removals.insert((Arc::clone(profile), failure.reason)) {
            let Failure { reason, message } = failure;
            let (profile, namespace) = (&**profile, &**namespace);
            tracing::warn!(
                profile,
                namespace,
                reason,
                message,
                "a delivered Secret cannot be removed; it is tried again"
            );
        }
    }

    /// Looks whether what is known of a profile is what its status says.
    fn consider(&mut self, profile: &Arc<str>) {
        // Of what a profile with a mistake delivered before, its status tells still.
        if self.wishes.get(profile).is_none() && is_mistaken(&self.catalog.load(), profile) {
            self.due_reports.remove(profile);
            return;
        }
        let summary = self.summary(profile);
        if self.reported.get(profile) == Some(&summary) {
            self.due_reports.remove(profile);
            return;
        }
        let now = Instant::now();
        let is_switch = summary.is_complete
            && self
                .reported
                .get(profile)
                .is_none_or(|old| !old.is_complete || old.revision != summary.revision);
        let due = if is_switch { now } else { now + PROGRESS };
        let entry = self.due_reports.entry(Arc::clone(profile)).or_insert(due);
        *entry = due.min(*entry);
    }

    fn consider_all(&mut self) {
        let mut profiles: BTreeSet<Arc<str>> = self.reported.keys().cloned().collect();
        profiles.extend(self.wishes.iter().map(|(profile, _)| Arc::from(profile)));
        profiles.extend(self.ledger.entries.keys().map(|profile| Arc::from(profile.as_str())));
        for profile in profiles {
            self.consider(&profile);
        }
    }

    fn summary(&self, profile: &Arc<str>) -> Summary {
        let mut summary = Summary {
            revision: self.wishes.get(profile).map(|wish| wish.revision.clone()),
            is_complete: true,
            ..Summary::default()
        };
        for (namespace, verdict) in self.agenda.verdicts(profile) {
            summary.namespaces += 1;
            match verdict {
                None => summary.is_complete = false,
                Some(Verdict::Present) => summary.delivered += 1,
                Some(Verdict::Refused(failure)) => {
                    summary.failed += 1;
                    if summary.failures.len() < NAMED {
                        summary.failures.push((namespace.to_owned(), failure.clone()));
                    }
                }
                Some(Verdict::Ending) => summary.namespaces -= 1,
            }
        }
        if let Some(entry) = self.ledger.entries.get(&**profile) {
            let mut superseded: Vec<(String, Timestamp)> = entry
                .superseded()
                .into_iter()
                .map(|(revision, since)| (revision.to_owned(), since))
                .collect();
            superseded.sort_by_key(|(_, since)| Reverse(*since));
            summary.superseded = superseded;
        }
        summary
    }

    fn start_reports(&mut self, reports: &mut Running<(Arc<str>, Result<Summary, kube::Error>)>) {
        let now = Instant::now();
        while reports.len() < REPORTS {
            let due =
                self.due_reports.iter().find(|(_, due)| **due <= now).map(|(profile, _)| Arc::clone(profile));
            let Some(profile) = due else { break };
            self.due_reports.remove(&profile);
            let (reporter, summary) = (self.reporter.clone(), self.summary(&profile));
            reports.push(Box::pin(async move {
                let result = reporter.report(&profile, &summary).await;
                (profile, result.map(|()| summary))
            }));
        }
    }

    fn reported(&mut self, profile: Arc<str>, result: Result<Summary, kube::Error>) {
        match result {
            Ok(summary) => {
                self.reported.insert(Arc::clone(&profile), summary);
                // It may have changed meanwhile.
                self.consider(&profile);
            }
            Err(error) => {
                let code = if let kube::Error::Api(status) = &error { Some(status.code) } else { None };
                tracing::warn!(profile = &*profile, code, "the status of a profile was not written");
                self.due_reports.insert(profile, Instant::now() + REPORT_AGAIN);
            }
        }
    }
}
