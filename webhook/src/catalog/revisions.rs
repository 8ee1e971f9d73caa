//! The revisions of one profile: what pods are given, what they will be given, and what was given a moment ago.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Settings;
use super::compiled::CompiledProfile;
use crate::api::Mode;

/// How long a superseded revision stays valid. Replicas that are one step apart, and the second call of a creation whose
/// first one met the old revision, are done long before.
const RECENT: Duration = Duration::from_secs(15 * 60);

/// At most so many recent revisions: a source that changes every second must not fill the memory.
const MAX_RECENT: usize = 4;

/// At most so many names of revisions that are not valid any more.
const MAX_FORGOTTEN: usize = 64;

/// The revisions of a profile that compiled at least once.
#[derive(Clone, Debug)]
pub(super) struct Revisions {
    /// What pods are given.
    pub(super) serving: Arc<CompiledProfile>,
    /// What they are given as soon as its Secrets are delivered.
    pub(super) pending: Option<Arc<CompiledProfile>>,
    /// What they were given, the newest first.
    recent: Vec<Recent>,
    /// What was recent once, by revision and fingerprint.
    forgotten: Vec<(String, String)>,
}

/// A superseded revision, without what was delivered for it: pods refer to that by name.
#[derive(Clone, Debug)]
struct Recent {
    profile: Arc<CompiledProfile>,
    superseded: SystemTime,
}

/// What a switch depends on beside the profile.
#[derive(Clone, Copy)]
pub(super) struct Moment<'m> {
    pub(super) now: SystemTime,
    /// The revision whose Secrets are everywhere.
    pub(super) delivered: Option<&'m str>,
    pub(super) settings: &'m Settings,
}

impl Revisions {
    /// The first one: without an older plan there is nothing to wait with, and the kubelet waits for a late Secret.
    pub(super) fn first(serving: Arc<CompiledProfile>) -> Self {
        Self { serving, pending: None, recent: Vec::new(), forgotten: Vec::new() }
    }

    /// After another compile: it serves at once, or waits until its Secrets are delivered.
    pub(super) fn next(&self, compiled: Arc<CompiledProfile>, moment: Moment<'_>) -> Self {
        let mut next = self.clone();
        // Another replica may have heard of its delivery, and serve it until the next one.
        let is_other = |pending: &Arc<_>| !Arc::ptr_eq(pending, &compiled) && **pending != *compiled;
        if let Some(passed_over) = next.pending.take().filter(is_other) {
            next.supersede(&passed_over, moment.now);
        }
        if Arc::ptr_eq(&compiled, &self.serving) || *compiled == *self.serving {
            // The same again: neither a step nor another object to hold.
        } else if self.waits(&compiled, moment) {
            next.pending = Some(compiled);
        } else {
            next.supersede(&self.serving, moment.now);
            next.serving = compiled;
        }
        next.forget(moment.now);
        next
    }

    fn supersede(&mut self, profile: &CompiledProfile, now: SystemTime) {
        let profile = Arc::new(profile.without_secrets());
        self.recent.retain(|recent| *recent.profile != *profile);
        self.recent.insert(0, Recent { profile, superseded: now });
        self.recent.truncate(MAX_RECENT);
    }

    fn waits(&self, compiled: &CompiledProfile, moment: Moment<'_>) -> bool {
        moment.settings.switch_after_delivery
            && compiled.mode == Mode::Enforce
            && compiled.revision != self.serving.revision
            && !compiled.secrets.is_empty()
            && moment.delivered != Some(&compiled.revision)
    }

    /// Drops what is not recent any more; says whether there was anything.
    pub(super) fn forget(&mut self, now: SystemTime) -> bool {
        // A clock that was set back makes nothing older.
        let is_old = |recent: &Recent| now.duration_since(recent.superseded).is_ok_and(|age| age >= RECENT);
        let before = self.recent.len();
        for old in self.recent.iter().filter(|recent| is_old(recent)) {
            self.forgotten.push((old.profile.revision.clone(), old.profile.fingerprint.clone()));
        }
        self.recent.retain(|recent| !is_old(recent));
        let excess = self.forgotten.len().saturating_sub(MAX_FORGOTTEN);
        self.forgotten.drain(..excess);
        self.recent.len() < before
    }

    /// Whether time and delivery change nothing.
    pub(super) fn are_settled(&self) -> bool {
        self.pending.is_none() && self.recent.is_empty()
    }

    /// The revision that is to be delivered.
    pub(super) fn wanted(&self) -> &Arc<CompiledProfile> {
        self.pending.as_ref().unwrap_or(&self.serving)
    }

    /// What a pod may have been given by another replica, or by this one before a switch; the newest first.
    pub(super) fn others(&self) -> impl Iterator<Item = &CompiledProfile> {
        self.pending.iter().chain(self.recent.iter().map(|recent| &recent.profile)).map(|profile| &**profile)
    }

    /// Whether this is or was one of them, with any revision where none is named.
    pub(super) fn knows(&self, revision: Option<&str>, fingerprint: &str) -> bool {
        let known = [&*self.serving].into_iter().chain(self.others());
        let known = known.map(|profile| (&profile.revision, &profile.fingerprint));
        let forgotten = self.forgotten.iter().map(|(revision, fingerprint)| (revision, fingerprint));
        known
            .chain(forgotten)
            .any(|(known, print)| print == fingerprint && revision.is_none_or(|revision| known == revision))
    }
}
