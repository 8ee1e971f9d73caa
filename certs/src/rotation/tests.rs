//! The order of steps, one situation each. What a long life makes of them: `tests/years.rs`.

use super::*;
use crate::stored::Data;
use crate::{Entry, Leaf, Shown, Trouble};

const DAY: Duration = Duration::from_secs(86_400);
const CONFIRM: Duration = Duration::from_secs(30);
const HOST: &str = "spark-injector.spark-injector.svc";

/// A Secret and a configuration to which every step is applied at once.
struct Place {
    rules: Rules,
    secret: Data,
    published: Published,
    sightings: Sightings,
    shown: Shown,
    now: SystemTime,
    elapsed: Duration,
}

fn rules() -> Rules {
    Rules {
        names: vec![HOST.to_owned(), "127.0.0.1".to_owned()],
        ca_lifetime: 300 * DAY,
        certificate_lifetime: 30 * DAY,
        confirm: CONFIRM,
        jitter: 0.0,
    }
}

fn published(bundle: &Bundle) -> Published {
    let entry = || Entry { host: HOST.to_owned(), bundle: bundle.clone() };
    Published { entries: vec![entry(), entry()] }
}

impl Place {
    fn new() -> Self {
        Self {
            rules: rules(),
            secret: Data::new(),
            published: published(&Bundle::default()),
            sightings: Sightings::default(),
            shown: Shown::default(),
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            elapsed: Duration::ZERO,
        }
    }

    /// A place where all is well.
    fn settled() -> Self {
        let mut place = Self::new();
        place.settle();
        place
    }

    fn look(&mut self) -> Step {
        let stored = Stored::read(&self.secret);
        self.sightings.observe(&self.published, self.elapsed);
        let (now, elapsed) = (self.now, self.elapsed);
        let view =
            View { stored: &stored, published: &self.published, sightings: &self.sightings, now, elapsed };
        self.shown.adopt(&self.rules, &view);
        self.rules.next(&view).unwrap()
    }

    /// Carries out steps until there is nothing to do; says which.
    fn settle(&mut self) -> Vec<&'static str> {
        let mut steps = Vec::new();
        loop {
            match self.look() {
                Step::Store(stored) => {
                    steps.push(if stored.is_rotating() { "store next" } else { "store" });
                    self.secret = stored.write();
                }
                Step::Publish(bundle) => {
                    steps.push("publish");
                    self.published = published(&bundle);
                }
                Step::Wait(wait) => {
                    assert!(wait <= LOOK_EVERY);
                    return steps;
                }
            }
            assert!(steps.len() < 10, "{steps:?}");
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.elapsed += time;
    }

    fn served(&self) -> Certificate {
        self.shown.leaf().unwrap().certificate().clone()
    }

    fn trouble(&self) -> Option<Trouble> {
        self.shown.trouble(&self.published, self.now)
    }

    fn authorities(&self) -> usize {
        self.published.entries[0].bundle.iter().count()
    }
}

#[test]
fn a_first_start_waits_for_nothing() {
    let mut place = Place::new();
    assert_eq!(place.settle(), ["store next", "store", "publish"]);
    assert_eq!(place.trouble(), None);
    let leaf = place.served();
    assert_eq!(leaf.names(), place.rules.names);
    assert_eq!(leaf.not_after(), place.now + 30 * DAY);
    assert_eq!(leaf.not_before(), place.now - Duration::from_secs(3600));
}

#[test]
fn a_leaf_is_renewed_after_two_thirds_of_its_life_by_the_same_authority() {
    let mut place = Place::settled();
    let first = place.served();
    place.pass(19 * DAY);
    assert!(place.settle().is_empty());
    place.pass(DAY);
    assert_eq!(place.settle(), ["store"]);
    assert_ne!(place.served(), first);
    assert_eq!((place.trouble(), place.authorities()), (None, 1));
}

#[test]
fn an_authority_is_published_before_it_signs_and_trusted_until_its_last_leaf_expires() {
    let mut place = Place::settled();
    place.pass(200 * DAY);
    assert_eq!(place.settle(), ["store next", "publish"]);
    let before = place.served();
    assert_eq!((place.trouble(), place.authorities()), (None, 2));
    place.pass(CONFIRM / 3);
    assert!(matches!(place.look(), Step::Wait(wait) if wait == CONFIRM / 3 * 2));
    place.pass(CONFIRM / 3 * 2);
    assert_eq!(place.settle(), ["store"]);
    assert_ne!(place.served(), before);
    assert_eq!((place.trouble(), place.authorities()), (None, 2));
    place.pass(30 * DAY + Duration::from_secs(1));
    // A leaf, the configuration without the old authority, the Secret without it.
    assert_eq!(place.settle(), ["store", "publish", "store"]);
    assert_eq!((place.trouble(), place.authorities()), (None, 1));
}

#[test]
fn a_break_in_what_is_published_starts_the_wait_again() {
    let mut place = Place::settled();
    place.pass(200 * DAY);
    place.settle();
    let both = place.published.clone();
    place.pass(CONFIRM / 2);
    place.published.entries[1].bundle = Bundle::default();
    assert!(matches!(place.look(), Step::Publish(_)), "every entry");
    place.published = both;
    place.pass(CONFIRM / 2);
    assert!(matches!(place.look(), Step::Wait(wait) if wait == CONFIRM));
}

#[test]
fn clocks_that_jump_cut_no_wait_short() {
    let mut place = Place::settled();
    place.pass(200 * DAY);
    place.settle();
    place.now += DAY;
    assert!(place.settle().is_empty());
    place.now -= DAY + DAY / 48;
    assert!(place.settle().is_empty());
}

#[test]
fn a_lost_secret_is_made_anew_in_the_order_of_a_rotation() {
    let mut place = Place::settled();
    let before = place.served();
    place.secret.clear();
    assert_eq!(place.settle(), ["store next", "publish"]);
    assert_eq!((place.served(), place.trouble(), place.authorities()), (before.clone(), None, 2));
    // Whoever starts now has nothing to serve yet, and says so.
    let mut newcomer = Place { shown: Shown::default(), ..Place::new() };
    (newcomer.secret, newcomer.published) = (place.secret.clone(), place.published.clone());
    newcomer.look();
    assert_eq!(newcomer.trouble(), Some(Trouble::Nothing));
    place.pass(CONFIRM);
    assert_eq!(place.settle(), ["store"]);
    assert_ne!(place.served(), before);
    assert_eq!(place.trouble(), None);
}

#[test]
fn each_damaged_part_is_made_anew_and_the_rest_is_kept() {
    let sound = Place::settled();
    let other = Authority::generate(sound.now, DAY).unwrap();
    let another_key = other.key.pem().to_vec();
    for (part, value, steps) in [
        ("tls.crt", Some(b"half".to_vec()), vec!["store"]),
        ("tls.crt", None, vec!["store"]),
        ("tls.key", Some(Vec::new()), vec!["store"]),
        ("tls.key", Some(another_key.clone()), vec!["store"]),
        ("ca.key", Some(another_key), vec!["store next", "publish"]),
        ("ca.key", None, vec!["store next", "publish"]),
        ("ca.crt", Some(sound.secret["tls.crt"].clone()), vec!["store next", "publish"]),
        ("something", Some(b"else".to_vec()), vec!["store"]),
    ] {
        let mut place = Place::settled();
        let served = place.served();
        match value {
            Some(value) => drop(place.secret.insert(part.to_owned(), value)),
            None => drop(place.secret.remove(part)),
        }
        assert_eq!(Stored::read(&place.secret).damaged().len(), 1, "{part}");
        assert_eq!(place.settle(), steps, "{part}");
        assert_eq!(place.trouble(), None, "{part}");
        if steps.len() == 2 {
            assert_eq!(place.served(), served, "{part}");
            place.pass(CONFIRM);
            assert_eq!(place.settle(), ["store"], "{part}");
        }
        assert!(Stored::read(&place.secret).damaged().is_empty(), "{part}");
    }
}

#[test]
fn what_somebody_wiped_is_published_again_and_nothing_else_changes() {
    let mut place = Place::settled();
    let served = place.served();
    place.published.entries[1].bundle = Bundle::default();
    place.look();
    assert_eq!(place.trouble(), Some(Trouble::Untrusted(HOST.to_owned())));
    assert_eq!(place.settle(), ["publish"]);
    assert_eq!((place.served(), place.trouble()), (served, None));
}

#[test]
fn a_leaf_of_an_unknown_authority_is_served_when_that_has_been_published_long_enough() {
    let mut place = Place::settled();
    let before = place.served();
    // A backup of another time is put back.
    place.secret = Place::settled().secret;
    assert_eq!(place.settle(), ["store", "publish"]);
    assert_eq!((place.served(), place.authorities()), (before.clone(), 2));
    // The next look is not a minute away.
    assert!(matches!(place.look(), Step::Wait(wait) if wait == CONFIRM));
    place.pass(CONFIRM);
    place.look();
    assert_ne!(place.served(), before);
    assert_eq!(place.trouble(), None);
}

#[test]
fn after_everything_has_expired_nothing_is_waited_for() {
    let mut place = Place::settled();
    place.now += 400 * DAY;
    place.look();
    assert_eq!(place.trouble(), Some(Trouble::Invalid));
    // And the old authority is dropped.
    assert_eq!(place.settle(), ["store next", "store", "publish", "store"]);
    assert_eq!((place.trouble(), place.authorities()), (None, 1));
}

#[test]
fn without_a_configuration_there_is_a_certificate_and_no_readiness() {
    let mut place = Place::new();
    place.published = Published::default();
    assert_eq!(place.settle(), ["store next", "store"]);
    assert_eq!(place.trouble(), Some(Trouble::Unpublished));
}

#[test]
fn replicas_with_different_names_do_not_replace_each_others_leaf_for_ever() {
    let mut place = Place::settled();
    let mut names = vec![HOST.to_owned(), "another.example".to_owned()];
    std::mem::swap(&mut place.rules.names, &mut names);
    assert_eq!(place.settle(), ["store"]);
    for _ in 0..2 {
        std::mem::swap(&mut place.rules.names, &mut names);
        assert!(place.settle().is_empty());
    }
}

#[test]
fn jitter_moves_a_renewal_by_no_more_than_a_twentieth_of_a_life() {
    let mut place = Place::settled();
    place.rules.jitter = 1.0;
    place.pass(20 * DAY + Duration::from_secs(5));
    assert!(place.settle().is_empty());
    place.pass(30 * DAY / 20);
    assert_eq!(place.settle(), ["store"]);
}

#[test]
fn a_secret_of_somebody_else_is_told_from_ours() {
    let place = Place::settled();
    assert!(Stored::is_ours(&place.secret) && Stored::is_ours(&Data::new()));
    assert!(Stored::is_ours(&Data::from([("tls.crt".to_owned(), Vec::new())])));
    let mut foreign = place.secret.clone();
    foreign.remove("ca.key");
    assert!(!Stored::is_ours(&foreign));
}

#[test]
fn keys_are_not_printed() {
    let place = Place::settled();
    let printed = format!("{:?} {:?}", Stored::read(&place.secret), place.shown);
    let key = String::from_utf8(place.secret["tls.key"].clone()).unwrap();
    let line = key.lines().nth(1).unwrap();
    assert!(!printed.contains(line) && !printed.contains("PRIVATE"), "{printed}");
    let leaf: &Leaf = place.shown.leaf().unwrap();
    assert!(format!("{leaf:?}").contains("Key(..)"));
}
