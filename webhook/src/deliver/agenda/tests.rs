//! Who is visited when, in time that is made up.

use std::collections::BTreeMap;

use super::*;
use crate::catalog::{Catalog, NamespaceInput, ProfileInput, Settings, Snapshot};

const INTERVAL: Duration = Duration::from_secs(60);

/// The Secrets of a profile whose file has this content.
fn secrets(content: &str) -> Arc<[Arc<SecretBody>]> {
    let object = serde_json::json!({
        "apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile", "metadata": {"name": "p"},
        "spec": {"delivery": "Secret", "namespaces": {"names": ["n"]},
                 "files": [{"mountPath": "/f", "inline": {"f": content}}]},
    });
    let mut snapshot = Snapshot::default();
    snapshot.profiles.push(ProfileInput { origin: String::new(), object: object.into(), delivered: None });
    let labels = BTreeMap::from([("spark-injector.io/inject".to_owned(), "enabled".to_owned())]);
    snapshot.namespaces.insert("n".to_owned(), NamespaceInput { labels, ..NamespaceInput::default() }.into());
    let catalog = Catalog::compile(&snapshot, &Settings::default(), None);
    catalog.deliveries().remove(0).secrets.into()
}

fn place(namespace: &str) -> Place {
    ("p".into(), namespace.into())
}

fn present(content: &str) -> Target {
    Target { present: Some(secrets(content)), ..Target::default() }
}

fn settled(verdict: Verdict) -> Visited {
    Visited::Settled { verdict: Some(verdict), removal: Ok(()) }
}

fn refused() -> Verdict {
    Verdict::Refused(Failure { reason: "QuotaExceeded", message: String::new() })
}

fn next(agenda: &mut Agenda, now: Instant) -> Option<String> {
    agenda.next(now).map(|visit| visit.place.1.to_string())
}

#[test]
fn what_is_new_goes_before_what_changed_and_that_before_the_rest() {
    let mut agenda = Agenda::new(INTERVAL);
    let now = Instant::now();
    agenda.set(&place("known"), present("1"), Novelty::Nothing, now);
    assert_eq!(next(&mut agenda, now).as_deref(), Some("known"));
    agenda.visited(&place("known"), settled(Verdict::Present), now);
    let later = now + INTERVAL;
    agenda.set(&place("changed"), present("1"), Novelty::Secrets, later);
    agenda.set(&place("new"), present("1"), Novelty::Place, later);
    let order: Vec<String> = std::iter::from_fn(|| next(&mut agenda, later)).collect();
    assert_eq!(order, ["new", "changed", "known"]);
}

/// A source that changes while many wait: nobody goes back to the end, and a namespace that has nothing yet stays first.
#[test]
fn another_revision_costs_nobody_its_turn() {
    let mut agenda = Agenda::new(INTERVAL);
    let now = Instant::now();
    agenda.set(&place("late"), present("1"), Novelty::Secrets, now);
    agenda.set(&place("new"), present("1"), Novelty::Place, now);
    let later = now + Duration::from_secs(1);
    agenda.set(&place("first"), present("2"), Novelty::Secrets, later);
    for waiting in ["late", "new"] {
        // By now it is in the ledger.
        agenda.set(&place(waiting), present("2"), Novelty::Secrets, later);
    }
    let order: Vec<String> = std::iter::from_fn(|| next(&mut agenda, later)).collect();
    assert_eq!(order, ["new", "late", "first"]);
}

#[test]
fn a_place_is_asked_again_after_the_interval_and_not_before() {
    let mut agenda = Agenda::new(INTERVAL);
    let now = Instant::now();
    agenda.set(&place("n"), present("1"), Novelty::Place, now);
    let visit = agenda.next(now).unwrap();
    assert!(!visit.is_likely, "nothing was made there");
    assert!(agenda.next(now).is_none(), "one visit at a time");
    agenda.visited(&place("n"), settled(Verdict::Present), now);
    // The same wish again, as after every change of the catalog.
    agenda.set(&place("n"), present("1"), Novelty::Nothing, now);
    assert!(agenda.next(now + INTERVAL / 2).is_none());
    assert!(agenda.next(now + INTERVAL).unwrap().is_likely);
    assert_eq!(agenda.backlog(), 0);
}

#[test]
fn a_change_during_a_visit_is_seen_to_after_it() {
    let mut agenda = Agenda::new(INTERVAL);
    let now = Instant::now();
    agenda.set(&place("n"), present("1"), Novelty::Place, now);
    agenda.next(now).unwrap();
    agenda.set(&place("n"), present("2"), Novelty::Secrets, now);
    assert!(agenda.next(now).is_none(), "not beside the visit");
    agenda.visited(&place("n"), settled(Verdict::Present), now);
    assert!(!agenda.is_complete(), "what was found is about the old revision");
    let again = agenda.next(now).unwrap();
    assert_eq!(again.target.present.unwrap()[0].name(), secrets("2")[0].name());
}

/// Opts out and in again while a visit is under way: what was removed is made again.
#[test]
fn the_last_wish_wins() {
    let mut agenda = Agenda::new(INTERVAL);
    let now = Instant::now();
    let leaving = Target { absent: vec!["s".to_owned()], leaves: true, ..Target::default() };
    agenda.set(&place("n"), leaving, Novelty::Nothing, now);
    agenda.next(now).unwrap();
    agenda.set(&place("n"), present("1"), Novelty::Nothing, now);
    let has_left = agenda.visited(&place("n"), Visited::Settled { verdict: None, removal: Ok(()) }, now);
    assert!(!has_left);
    assert!(agenda.next(now).unwrap().target.present.is_some());
}

#[test]
fn a_place_that_leaves_is_left_once_nothing_is_there() {
    let mut agenda = Agenda::new(INTERVAL);
    let now = Instant::now();
    let leaving = || Target { absent: vec!["s".to_owned()], leaves: true, ..Target::default() };
    agenda.set(&place("n"), leaving(), Novelty::Nothing, now);
    agenda.next(now).unwrap();
    let failure = Failure { reason: "Denied", message: String::new() };
    assert!(!agenda.visited(&place("n"), Visited::Settled { verdict: None, removal: Err(failure) }, now));
    assert!(!agenda.is_removed(&place("n"), "s"));
    assert_eq!(agenda.backlog(), 1);
    // The same wish again does not forget the pause.
    agenda.set(&place("n"), leaving(), Novelty::Nothing, now);
    assert!(agenda.next(now).is_none());
    agenda.next(now + LONGEST_PAUSE).unwrap();
    assert!(agenda.visited(&place("n"), Visited::Settled { verdict: None, removal: Ok(()) }, now));
    assert!(agenda.is_removed(&place("n"), "s") && !agenda.is_removed(&place("n"), "other"));
}

#[test]
fn who_refuses_is_asked_less_and_less_and_holds_nobody_back() {
    let mut agenda = Agenda::new(INTERVAL);
    let mut now = Instant::now();
    agenda.set(&place("n"), present("1"), Novelty::Place, now);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        agenda.next(now).unwrap();
        agenda.visited(&place("n"), settled(refused()), now);
        assert!(agenda.is_complete());
        let due = agenda.next_due().unwrap();
        pauses.push(due - now);
        now = due;
    }
    assert!(pauses[0] <= FIRST_PAUSE && pauses[1] > FIRST_PAUSE, "{pauses:?}");
    assert!(pauses[11] > LONGEST_PAUSE / 2 && pauses[11] <= LONGEST_PAUSE, "{pauses:?}");
}

#[test]
fn errors_that_may_pass_count_against_a_namespace_only_in_the_end() {
    let mut agenda = Agenda::new(INTERVAL);
    let now = Instant::now();
    let failure = Failure { reason: "ServerError", message: String::new() };
    agenda.set(&place("n"), present("1"), Novelty::Place, now);
    for attempt in 1..=PATIENCE {
        agenda.next(now + LONGEST_PAUSE * attempt).unwrap();
        assert!(!agenda.is_complete());
        agenda.visited(&place("n"), Visited::Unsettled(Some(failure.clone())), now);
    }
    assert!(agenda.is_complete());
    // An API server that is away never counts.
    agenda.set(&place("m"), present("1"), Novelty::Place, now);
    for _ in 0..20 {
        let visit = agenda.next(now + FIRST_PAUSE).unwrap();
        assert_eq!(&*visit.place.1, "m");
        agenda.visited(&visit.place, Visited::Unsettled(None), now);
    }
    assert!(!agenda.is_complete());
}

#[test]
fn old_secrets_are_removed_beside_those_that_stay() {
    let mut agenda = Agenda::new(INTERVAL);
    let now = Instant::now();
    agenda.set(&place("n"), present("1"), Novelty::Place, now);
    agenda.next(now).unwrap();
    agenda.visited(&place("n"), settled(Verdict::Present), now);
    let with =
        |absent: &[&str]| Target { absent: absent.iter().map(ToString::to_string).collect(), ..present("1") };
    agenda.set(&place("n"), with(&["old"]), Novelty::Nothing, now);
    assert!(!agenda.is_removed(&place("n"), "old"));
    assert!(agenda.is_complete(), "what is there is not forgotten");
    assert_eq!(agenda.next(now).unwrap().target.absent, ["old"]);
    agenda.visited(&place("n"), settled(Verdict::Present), now);
    assert!(agenda.is_removed(&place("n"), "old"));
    // Struck out: that is no reason for a visit.
    agenda.set(&place("n"), with(&[]), Novelty::Nothing, now);
    assert!(agenda.next(now).is_none());
}
