//! What may lie in the namespaces of teams. The injector cannot list Secrets there, so it writes down what it makes
//! *before* it makes it, and strikes it out *after* it was deleted: an entry too many costs one DELETE, an entry too few
//! would be a keytab that nobody ever removes. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::wishes::{Wish, Wishes};

/// All entries, by profile.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ledger {
    pub(super) entries: BTreeMap<String, Entry>,
}

/// What one profile has delivered: any of these Secrets may be in any of these namespaces.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Entry {
    /// Secrets by name, and since when nothing refers to them any more.
    pub(super) secrets: BTreeMap<String, Option<Timestamp>>,
    pub(super) namespaces: BTreeSet<String>,
}

impl Ledger {
    /// Writes down what is about to be made, and dates what is no longer wanted. `is_open` tells profiles of which it is
    /// not known what they want: theirs stays as it is.
    pub(super) fn prepare(&mut self, wishes: &Wishes, is_open: impl Fn(&str) -> bool, now: Timestamp) {
        for (profile, wish) in wishes.iter() {
            if wish.namespaces.is_empty() && !self.entries.contains_key(profile) {
                continue;
            }
            let entry = self.entries.entry(profile.to_owned()).or_default();
            for name in wish.names() {
                entry.secrets.insert(name.to_owned(), None);
            }
            entry.namespaces.extend(wish.namespaces.iter().cloned());
        }
        for (profile, entry) in &mut self.entries {
            let wish = wishes.get(profile);
            if wish.is_none() && is_open(profile) {
                continue;
            }
            let wanted: BTreeSet<&str> = wish.into_iter().flat_map(Wish::names).collect();
            for (name, since) in &mut entry.secrets {
                if !wanted.contains(name.as_str()) {
                    // A leader whose clock was years ahead must not keep a keytab for years.
                    *since = Some(since.map_or(now, |since| since.min(now)));
                }
            }
        }
    }

    /// Strikes out profiles that have nothing anywhere.
    pub(super) fn tidy(&mut self, wishes: &Wishes) {
        self.entries.retain(|profile, entry| {
            wishes.get(profile).is_some() || !(entry.namespaces.is_empty() || entry.secrets.is_empty())
        });
    }
}

impl Entry {
    /// Names of the Secrets that nothing has referred to for so long.
    pub(super) fn expired(&self, keep: Duration, now: Timestamp) -> Vec<String> {
        let is_old = |since: &Timestamp| {
            let age = now.duration_since(*since);
            // A clock that was set back makes nothing older.
            !age.is_negative() && age.unsigned_abs() >= keep
        };
        let old = self.secrets.iter().filter(|(_, since)| since.as_ref().is_some_and(is_old));
        old.map(|(name, _)| name.clone()).collect()
    }

    /// The revisions that nothing refers to any more, and since when.
    pub(super) fn superseded(&self) -> BTreeMap<&str, Timestamp> {
        let mut superseded = BTreeMap::new();
        for (name, since) in &self.secrets {
            // Every name ends with its revision.
            if let (Some(revision), Some(since)) = (name.rsplit('-').next(), since) {
                superseded.insert(revision, *since);
            }
        }
        superseded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(secrets: &[(&str, Option<i64>)], namespaces: &[&str]) -> Entry {
        let since = |second: &i64| Timestamp::from_second(*second).unwrap();
        Entry {
            secrets: secrets
                .iter()
                .map(|(name, old)| ((*name).to_owned(), old.as_ref().map(since)))
                .collect(),
            namespaces: namespaces.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn what_nothing_wants_is_dated_once() {
        let mut ledger = Ledger::default();
        ledger.entries.insert("p".to_owned(), entry(&[("s-1", None), ("s-2", Some(50))], &["n"]));
        let now = Timestamp::from_second(100).unwrap();
        ledger.prepare(&Wishes::default(), |_| true, now);
        assert_eq!(
            ledger.entries["p"],
            entry(&[("s-1", None), ("s-2", Some(50))], &["n"]),
            "it is not known what it wants"
        );
        ledger.prepare(&Wishes::default(), |_| false, now);
        ledger.prepare(&Wishes::default(), |_| false, Timestamp::from_second(200).unwrap());
        assert_eq!(ledger.entries["p"], entry(&[("s-1", Some(100)), ("s-2", Some(50))], &["n"]));
        ledger.tidy(&Wishes::default());
        assert!(ledger.entries.contains_key("p"), "its Secrets are there still");
    }

    #[test]
    fn a_date_in_the_future_is_none() {
        let mut ledger = Ledger::default();
        ledger.entries.insert("p".to_owned(), entry(&[("s-1", Some(1_000)), ("s-2", Some(50))], &["n"]));
        ledger.prepare(&Wishes::default(), |_| false, Timestamp::from_second(100).unwrap());
        assert_eq!(ledger.entries["p"], entry(&[("s-1", Some(100)), ("s-2", Some(50))], &["n"]));
    }

    #[test]
    fn secrets_expire_by_their_age_and_never_by_a_clock_that_was_set_back() {
        let entry = entry(&[("s-new", Some(95)), ("s-old", Some(10)), ("s-used", None)], &[]);
        let expired =
            |keep, now| entry.expired(Duration::from_secs(keep), Timestamp::from_second(now).unwrap());
        assert_eq!(expired(60, 100), ["s-old"]);
        assert_eq!(expired(60, 70), ["s-old"]);
        assert_eq!(expired(0, 5), Vec::<String>::new());
        assert_eq!(entry.superseded().into_keys().collect::<Vec<_>>(), ["new", "old"]);
    }

    #[test]
    fn a_ledger_is_read_as_it_was_written() {
        let entry = entry(&[("s-1", None), ("s-2", Some(50))], &["m", "n"]);
        let text = serde_json::to_string(&entry).unwrap();
        assert_eq!(text, r#"{"secrets":{"s-1":null,"s-2":"1970-01-01T00:00:50Z"},"namespaces":["m","n"]}"#);
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
    }
}
