//! Who is visited when. One place for each namespace of each profile; a visit sets right whatever is wrong there. Pure:
//! the time comes from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::Failure;
use crate::catalog::SecretBody;

/// A namespace of a profile.
pub(super) type Place = (Arc<str>, Arc<str>);

/// Which visit goes first among those that are due.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Lane {
    /// A namespace that has nothing yet: its first job may start any moment.
    New,
    /// Something changed, or nobody has looked yet.
    Changed,
    /// Is all still there? Has what failed become possible?
    Again,
}

/// What the ledger said of a place before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Novelty {
    /// Nothing was ever made there.
    Place,
    /// These Secrets were not made there.
    Secrets,
    /// They were made there, by us or by the leader before us.
    Nothing,
}

/// What has to be true of a place.
#[derive(Clone, Debug, Default)]
pub(super) struct Target {
    /// Secrets that have to be there.
    pub(super) present: Option<Arc<[Arc<SecretBody>]>>,
    /// Names of Secrets that must not be there.
    pub(super) absent: Vec<String>,
    /// Whether the place is of no more interest once they are gone.
    pub(super) leaves: bool,
    /// Whether the namespace is not known: it is gone, or what is known of namespaces is old. Nothing is deleted there.
    pub(super) is_unknown: bool,
}

/// What is known of the Secrets that have to be there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    Present,
    Refused(Failure),
    /// The namespace ends, or has ended: nobody misses anything there.
    Ending,
}

/// How a visit ended.
#[derive(Clone, Debug)]
pub(super) enum Visited {
    /// The answers settle what is there.
    Settled { verdict: Option<Verdict>, removal: Result<(), Failure> },
    /// No usable answer. With a failure it was about this namespace, and counts in the end.
    Unsettled(Option<Failure>),
}

#[derive(Debug)]
struct State {
    target: Target,
    verdict: Option<Verdict>,
    is_removed: bool,
    attempts: u32,
    is_likely: bool,
    queued: Option<(Lane, Instant)>,
    is_visited: bool,
    /// The target changed while a visit was under way: its result is about the past, and another one has to follow.
    follow_up: Option<Lane>,
}

/// The place of a visit, what is to be done there, and whether it may be done already.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) place: Place,
    pub(super) target: Target,
    /// Whether the Secrets are likely to be there, so that asking is cheaper than making.
    pub(super) is_likely: bool,
}

/// All places.
#[derive(Debug)]
pub(super) struct Agenda {
    places: BTreeMap<Place, State>,
    lanes: [BTreeSet<(Instant, Place)>; 3],
    interval: Duration,
}

/// After so many answers that settle nothing, a namespace holds nobody back any more.
const PATIENCE: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

impl Agenda {
    pub(super) fn new(interval: Duration) -> Self {
        Self { places: BTreeMap::new(), lanes: Default::default(), interval }
    }

    /// Sets what has to be true of a place; nothing happens where that is what it was.
    pub(super) fn set(&mut self, place: &Place, target: Target, novelty: Novelty, now: Instant) {
        let lane = if novelty == Novelty::Place { Lane::New } else { Lane::Changed };
        let is_first = !self.places.contains_key(place);
        let state = self.places.entry(place.clone()).or_insert_with(|| State {
            target: Target::default(),
            verdict: None,
            is_removed: true,
            attempts: 0,
            is_likely: false,
            queued: None,
            is_visited: false,
            follow_up: None,
        });
        let is_same = same(state.target.present.as_deref(), target.present.as_deref());
        let is_more = target.absent.iter().any(|name| !state.target.absent.contains(name));
        let begins_to_leave = target.leaves && !state.target.leaves;
        if !is_same {
            state.verdict = None;
        }
        state.is_removed = target.absent.is_empty() || (state.is_removed && !is_more);
        // In any case: the bodies of a catalog that is gone would stay in memory.
        state.target = target;
        if is_same && !is_more && !begins_to_leave && !is_first {
            return;
        }
        state.attempts = 0;
        state.is_likely = novelty == Novelty::Nothing;
        if state.is_visited {
            // Two visits at once could do and undo.
            state.follow_up = Some(lane);
        } else {
            self.queue(place, lane, now);
        }
    }

    pub(super) fn forget(&mut self, place: &Place) {
        if let Some(State { queued: Some((lane, due)), .. }) = self.places.remove(place) {
            self.lane(lane).remove(&(due, place.clone()));
        }
    }

    /// The most urgent visit that is due.
    pub(super) fn next(&mut self, now: Instant) -> Option<Visit> {
        let lanes = &mut self.lanes;
        let due = lanes.iter_mut().find_map(|lane| {
            let is_due = lane.first().is_some_and(|(due, _)| *due <= now);
            if is_due { lane.pop_first() } else { None }
        });
        let (_, place) = due?;
        let state = self.places.get_mut(&place)?;
        state.queued = None;
        state.is_visited = true;
        let is_likely = match &state.verdict {
            None => state.is_likely && state.attempts == 0,
            Some(verdict) => *verdict == Verdict::Present,
        };
        Some(Visit { target: state.target.clone(), is_likely, place })
    }

    /// When the next visit is due, or was.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.lanes.iter().filter_map(|lane| lane.first().map(|(due, _)| *due)).min()
    }

    /// Takes the result of a visit, and says whether the place is of no more interest.
    pub(super) fn visited(&mut self, place: &Place, visited: Visited, now: Instant) -> bool {
        let interval = self.interval;
        let Some(state) = self.places.get_mut(place) else { return false };
        state.is_visited = false;
        if let Some(lane) = state.follow_up.take() {
            self.queue(place, lane, now);
            return false;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << state.attempts.min(16)).min(LONGEST_PAUSE);
        let due = match visited {
            Visited::Settled { verdict, removal } => {
                state.is_removed = removal.is_ok();
                let is_well = removal.is_ok() && !matches!(verdict, Some(Verdict::Refused(_)));
                state.verdict = verdict;
                if is_well {
                    state.attempts = 0;
                    // Spread: what was done at once is not asked for at once again.
                    interval.mul_f64(0.8 + fastrand::f64() / 5.0)
                } else {
                    state.attempts = state.attempts.saturating_add(1);
                    pause.mul_f64(0.8 + fastrand::f64() / 5.0)
                }
            }
            Visited::Unsettled(None) => FIRST_PAUSE.mul_f64(fastrand::f64()),
            Visited::Unsettled(Some(failure)) => {
                state.attempts = state.attempts.saturating_add(1);
                if state.attempts >= PATIENCE && state.target.present.is_some() {
                    state.verdict = Some(Verdict::Refused(failure));
                }
                pause
            }
        };
        let is_done = state.target.present.is_none() && state.is_removed;
        let has_left = is_done && state.target.leaves;
        if !is_done {
            self.queue(place, Lane::Again, now + due);
        }
        has_left
    }

    /// Whether a Secret that must not be there is gone.
    pub(super) fn is_removed(&self, place: &Place, name: &str) -> bool {
        let done =
            |state: &State| state.is_removed && state.target.absent.iter().any(|absent| absent == name);
        self.places.get(place).is_some_and(done)
    }

    /// The places of a profile where Secrets have to be, and what is known of them.
    pub(super) fn verdicts<'a>(
        &'a self,
        profile: &Arc<str>,
    ) -> impl Iterator<Item = (&'a str, Option<&'a Verdict>)> {
        let first = (Arc::clone(profile), Arc::from(""));
        let profile = Arc::clone(profile);
        let places = self.places.range(first..).take_while(move |((other, _), _)| *other == profile);
        let wanted = places.filter(|(_, state)| state.target.present.is_some());
        wanted.map(|((_, namespace), state)| (&**namespace, state.verdict.as_ref()))
    }

    /// Whether something is known of every place where Secrets have to be.
    pub(super) fn is_complete(&self) -> bool {
        self.places.values().all(|state| state.target.present.is_none() || state.verdict.is_some())
    }

    /// How many places are not as they have to be, as far as is known.
    pub(super) fn backlog(&self) -> usize {
        let is_open = |state: &&State| {
            !state.is_removed
                || (state.target.present.is_some()
                    && !matches!(state.verdict, Some(Verdict::Present | Verdict::Ending)))
        };
        self.places.values().filter(is_open).count()
    }

    /// Whoever waits already keeps its turn.
    fn queue(&mut self, place: &Place, lane: Lane, due: Instant) {
        let Some(state) = self.places.get_mut(place) else { return };
        let before = state.queued;
        let (lane, due) = before.map_or((lane, due), |(old, since)| (lane.min(old), due.min(since)));
        state.queued = Some((lane, due));
        if let Some((lane, due)) = before {
            self.lane(lane).remove(&(due, place.clone()));
        }
        self.lane(lane).insert((due, place.clone()));
    }

    fn lane(&mut self, lane: Lane) -> &mut BTreeSet<(Instant, Place)> {
        let [new, changed, again] = &mut self.lanes;
        match lane {
            Lane::New => new,
            Lane::Changed => changed,
            Lane::Again => again,
        }
    }
}

fn same(one: Option<&[Arc<SecretBody>]>, other: Option<&[Arc<SecretBody>]>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => {
            one.iter().map(|secret| secret.name()).eq(other.iter().map(|secret| secret.name()))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
