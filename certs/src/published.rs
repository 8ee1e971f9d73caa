//! What the webhook configuration tells the API server, and since when one has seen it say so.

use std::time::{Duration, SystemTime};

use crate::certificate::Certificate;
use crate::{Bundle, Leaf};

/// One webhook of the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The host name that the API server asks for.
    pub host: String,
    /// Whom it trusts.
    pub bundle: Bundle,
}

/// The webhook configuration at one moment. Without entries nobody calls us.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Published {
    /// Every entry.
    pub entries: Vec<Entry>,
}

impl Published {
    /// Whether every entry takes this leaf; never where there is no entry.
    pub fn verifies(&self, leaf: &Leaf, now: SystemTime) -> bool {
        !self.entries.is_empty() && self.refusing(leaf, now).is_none()
    }

    /// The first entry that does not take this leaf.
    pub fn refusing(&self, leaf: &Leaf, now: SystemTime) -> Option<&Entry> {
        self.entries.iter().find(|entry| !entry.bundle.verifies(leaf, &entry.host, now))
    }

    /// Every authority that some entry has.
    pub(crate) fn authorities(&self) -> Bundle {
        let mut all = Bundle::default();
        for certificate in self.entries.iter().flat_map(|entry| entry.bundle.iter()) {
            all.add(certificate);
        }
        all
    }

    pub(crate) fn is_everywhere(&self, certificate: &Certificate) -> bool {
        !self.entries.is_empty() && self.entries.iter().all(|entry| entry.bundle.contains(certificate))
    }
}

/// Since when each authority has been seen in every entry, without a break. In monotonic time: however clocks jump,
/// a wait is not cut short.
#[derive(Debug, Default)]
pub struct Sightings(Vec<(Certificate, Duration)>);

impl Sightings {
    /// The configuration as it is seen at `elapsed`, any monotonic time.
    pub fn observe(&mut self, published: &Published, elapsed: Duration) {
        self.0.retain(|(certificate, _)| published.is_everywhere(certificate));
        for certificate in published.authorities().iter() {
            if published.is_everywhere(certificate) && self.since(certificate).is_none() {
                self.0.push((certificate.clone(), elapsed));
            }
        }
    }

    pub(crate) fn since(&self, certificate: &Certificate) -> Option<Duration> {
        self.0.iter().find(|(seen, _)| seen == certificate).map(|(_, since)| *since)
    }

    /// How long until `certificate` has been seen for as long as `confirm`; `None` where it is not everywhere.
    pub(crate) fn remaining(
        &self,
        certificate: &Certificate,
        confirm: Duration,
        elapsed: Duration,
    ) -> Option<Duration> {
        self.since(certificate).map(|since| (since + confirm).saturating_sub(elapsed))
    }

    /// How long until the next authority has been seen for as long as `confirm`.
    pub(crate) fn unconfirmed(&self, confirm: Duration, elapsed: Duration) -> Option<Duration> {
        let remaining = self.0.iter().map(|(_, since)| (*since + confirm).saturating_sub(elapsed));
        remaining.filter(|remaining| !remaining.is_zero()).min()
    }

    /// Whether the authority that signed `leaf` has been seen for as long as `confirm`.
    pub(crate) fn confirmed(&self, leaf: &Leaf, confirm: Duration, elapsed: Duration) -> bool {
        self.0
            .iter()
            .any(|(authority, since)| *since + confirm <= elapsed && leaf.certificate.is_signed_by(authority))
    }
}
