//! What to do next, so that no client ever meets a certificate that it does not trust.
//!
//! ```text
//! nothing there ──▶ authority and leaf in the Secret ──▶ published ──▶ served
//! authority is old ──▶ next in the Secret ──▶ {authority, next} published, seen for `confirm` in every entry
//!                  ──▶ next signs the leaf; the old one is retired, and trusted until its last leaf has expired
//! ```
//!
//! Every replica does all of this on its own, on the same two objects, by writes that fail when the object has
//! changed; whoever loses looks again and adopts. The rules hold only if the *configuration is read before the Secret*
//! and both are written over the very version that was read: then nobody can take an authority out of the
//! configuration that another one has just put there.
//!
//! `now` is the time of the API server, because it is the one who verifies; waits are in monotonic time.

use std::time::{Duration, SystemTime};

use crate::certificate::Certificate;
use crate::stored::is_needed;
use crate::{Authority, Bundle, Error, Published, Sightings, Stored};

/// Strange authorities that are kept in the configuration. Each may have leaves that are served; more than a few are
/// a mistake, and a configuration has a size.
const STRANGERS: usize = 32;

/// Never sleep longer than this: a machine that was suspended does not know how long.
pub const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How certificates are made and replaced.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Host names and addresses of the serving certificate.
    pub names: Vec<String>,
    /// How long an authority lives; it is replaced after two thirds.
    pub ca_lifetime: Duration,
    /// How long a serving certificate lives; it is replaced after two thirds.
    pub certificate_lifetime: Duration,
    /// How long an authority has to be seen in the configuration before its leaf is served: what API servers take to
    /// honour a changed configuration, with a margin.
    pub confirm: Duration,
    /// Between 0 and 1, another one in each replica.
    pub jitter: f64,
}

/// What is there.
#[derive(Clone, Copy, Debug)]
pub struct View<'v> {
    /// The Secret, read after the configuration; empty where there is none.
    pub stored: &'v Stored,
    /// The configuration.
    pub published: &'v Published,
    /// Since when it has been as it is; includes `published`.
    pub sightings: &'v Sightings,
    /// The time of the API server.
    pub now: SystemTime,
    /// Monotonic.
    pub elapsed: Duration,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Write the Secret, only over what was seen; then look again.
    Store(Box<Stored>),
    /// Write this `caBundle` into every entry, only over what was seen; then look again.
    Publish(Bundle),
    /// All is well for so long; at most [`LOOK_EVERY`].
    Wait(Duration),
}

impl Rules {
    /// What to do next.
    ///
    /// # Errors
    ///
    /// When a certificate cannot be made.
    pub fn next(&self, view: &View<'_>) -> Result<Step, Error> {
        let mut wanted = view.stored.sound();
        for orphan in view.stored.orphans().iter().chain(view.published.authorities().iter()) {
            self.adopt_stranger(&mut wanted, orphan, view.now);
        }
        drop_forgotten(&mut wanted, view);
        self.renew_authority(&mut wanted, view)?;
        self.renew_leaf(&mut wanted, view.now)?;
        if wanted != *view.stored {
            return Ok(Step::Store(Box::new(wanted)));
        }
        let bundle = wanted.bundle(view.now);
        if view.published.entries.iter().any(|entry| entry.bundle != bundle) {
            return Ok(Step::Publish(bundle));
        }
        Ok(Step::Wait(self.wait(&wanted, view)))
    }

    /// An authority whose key is not ours any more: the Secret was damaged or deleted, or files were served before.
    /// Its leaf may still be served somewhere, so it is trusted until that must have expired.
    fn adopt_stranger(&self, wanted: &mut Stored, stranger: &Certificate, now: SystemTime) {
        let counts = stranger.is_authority() && now <= stranger.not_after();
        if counts && !wanted.knows(stranger) && wanted.retired.len() < STRANGERS {
            wanted.retire(stranger.clone(), now + self.certificate_lifetime);
        }
    }

    fn renew_authority(&self, wanted: &mut Stored, view: &View<'_>) -> Result<(), Error> {
        let now = view.now;
        if wanted.authority.as_ref().is_some_and(|one| !one.certificate.is_valid(now)) {
            self.retire_authority(wanted, now);
        }
        wanted.next.take_if(|one| !one.certificate.is_valid(now));
        let is_old = |one: &Authority| now >= one.certificate.renewal(self.jitter);
        if wanted.next.is_none() && wanted.authority.as_ref().is_none_or(is_old) {
            wanted.next = Some(Authority::generate(now, self.ca_lifetime)?);
        }
        let may_sign = |next: &Authority| {
            // Not in the look that made it: whoever else starts at this moment may have published something since.
            if view.stored.next.as_ref() != Some(next) {
                return false;
            }
            let remaining = view.sightings.remaining(&next.certificate, self.confirm, view.elapsed);
            remaining == Some(Duration::ZERO) || nobody_is_trusted(wanted, view)
        };
        if wanted.next.as_ref().is_some_and(may_sign) {
            self.retire_authority(wanted, now);
            wanted.authority = wanted.next.take();
        }
        Ok(())
    }

    fn retire_authority(&self, wanted: &mut Stored, now: SystemTime) {
        let Some(old) = wanted.authority.take() else { return };
        // The leaf in the Secret was the last; one that was made when the clock was ahead may live longer than usual.
        let last = wanted.leaf.as_ref().map_or(now, |leaf| leaf.certificate.not_after());
        wanted.retire(old.certificate, last.max(now + self.certificate_lifetime));
    }

    fn renew_leaf(&self, wanted: &mut Stored, now: SystemTime) -> Result<(), Error> {
        let Some(authority) = &wanted.authority else {
            // Nobody can sign now: a leaf that counts is better than none.
            wanted.leaf.take_if(|leaf| !leaf.is_valid(now));
            return Ok(());
        };
        let mut names = self.names.clone();
        if let Some(leaf) = &wanted.leaf
            && leaf.is_valid(now)
            && leaf.certificate.is_signed_by(&authority.certificate)
            // One that ends with its authority cannot be replaced by a longer one.
            && (now < leaf.certificate.renewal(self.jitter)
                || leaf.certificate.not_after() >= authority.certificate.not_after())
        {
            let had = leaf.certificate.names();
            if names.iter().all(|name| had.contains(name)) {
                return Ok(());
            }
            // While replicas with other flags are being replaced: what they ask for stays until the next renewal, or
            // the two would replace each other's leaf for ever.
            names.extend(had.into_iter().filter(|name| !self.names.contains(name)));
        }
        wanted.leaf = Some(authority.sign(&names, now, self.certificate_lifetime)?);
        Ok(())
    }

    fn wait(&self, stored: &Stored, view: &View<'_>) -> Duration {
        let renewals = [
            stored.authority.as_ref().filter(|_| stored.next.is_none()).map(|one| &one.certificate),
            stored.leaf.as_ref().map(|leaf| &leaf.certificate),
        ];
        let renewals = renewals.into_iter().flatten().map(|one| one.renewal(self.jitter));
        let ends = stored.retired.iter().map(|(until, one)| *until.min(&one.not_after()));
        let due = renewals.chain(ends).filter_map(|moment| moment.duration_since(view.now).ok());
        // Also the one that has just begun to sign: another replica may have seen it earlier.
        let confirmed = view.sightings.unconfirmed(self.confirm, view.elapsed);
        due.chain(confirmed).min().unwrap_or(LOOK_EVERY).min(LOOK_EVERY)
    }
}

/// Those that are past their time leave the configuration first, and the Secret when no entry has them any more:
/// otherwise they would be taken for strangers.
fn drop_forgotten(wanted: &mut Stored, view: &View<'_>) {
    let published = view.published.authorities();
    wanted.retired.retain(|retired| is_needed(retired, view.now) || published.contains(&retired.1));
}

/// Whether no leaf can be in service, so that there is nothing to wait for: the first start, or everything expired.
fn nobody_is_trusted(wanted: &Stored, view: &View<'_>) -> bool {
    let next = wanted.next.as_ref().map(|one| &one.certificate);
    let is_other = |one: &Certificate| one.is_valid(view.now) && Some(one) != next;
    let published = view.published.authorities();
    wanted.authority.is_none()
        && !published.iter().any(is_other)
        && !wanted.retired.iter().any(|retired| is_needed(retired, view.now) && is_other(&retired.1))
}

#[cfg(test)]
mod tests;
