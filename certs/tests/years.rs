//! Two years of three replicas, an API server, and everything that goes wrong with them: whatever a replica serves
//! while it calls itself ready verifies, with real certificates, against every bundle published in the last half
//! minute.
//!
//! What is left out, and why. A replica that is not ready gets no connections; it may stay so for [`PATIENCE`] after it
//! started or was disturbed, and no longer. A bundle without a live authority trusts nobody, whatever is served. And for
//! as long after all machines slept for months together: everything that anybody trusts may have expired, so there is
//! nothing to keep, and whoever wakes first makes it anew. The first start is not left out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, SystemTime};

use fastrand::Rng;
use proptest::prelude::*;
use spark_injector_certs::{
    Bundle, Certificate, Data, Entry, Published, Rules, Shown, Sightings, Step, Stored, View,
};

const HOST: &str = "spark-injector.spark-injector.svc";
const CONFIRM: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const YEARS: Duration = Duration::from_secs(2 * 365 * 86_400);
/// A replica that runs, and reaches an API server, for so long is ready.
const PATIENCE: Duration = Duration::from_secs(600);

/// Something that happened at a moment of the world's own, unfailing clock.
struct Version<T> {
    at: Duration,
    value: T,
}

/// The two objects with their whole history: a resource version is an index.
struct ApiServer {
    secret: Vec<Version<Option<Data>>>,
    configuration: Vec<Version<Published>>,
    out_until: Duration,
}

enum Phase {
    Look,
    Read { configuration: usize, as_of: Duration },
    Write { step: Step, configuration: usize, secret: usize },
}

struct Replica {
    rules: Rules,
    phase: Phase,
    due: Duration,
    born: Duration,
    suspended_until: Duration,
    /// The moment of its last view of the objects, or of its last write: an API server never answers it with an older one.
    seen: Duration,
    /// Since when nothing has kept it from looking.
    undisturbed: Duration,
    sightings: Sightings,
    shown: Shown,
    ready: bool,
    verified: Vec<(Certificate, usize, Duration)>,
}

struct World {
    random: Rng,
    /// Time that never jumps.
    time: Duration,
    /// What the clock of the API server says beyond it.
    ahead: i64,
    api: ApiServer,
    replicas: Vec<Replica>,
    /// Until when everything is being made, for the first time or anew.
    calm: Duration,
    /// Until when the last of all machines that slept together is awake.
    awake: Duration,
}

fn rules(random: &mut Rng) -> Rules {
    Rules {
        names: vec![HOST.to_owned(), "spark-injector".to_owned()],
        ca_lifetime: 90 * DAY,
        certificate_lifetime: 9 * DAY,
        confirm: CONFIRM,
        jitter: random.f64(),
    }
}

fn replica(random: &mut Rng, time: Duration) -> Replica {
    Replica {
        rules: rules(random),
        phase: Phase::Look,
        due: time + seconds(random, 3.0),
        born: time,
        suspended_until: Duration::ZERO,
        seen: Duration::ZERO,
        undisturbed: time,
        sightings: Sightings::default(),
        shown: Shown::default(),
        ready: false,
        verified: Vec::new(),
    }
}

/// Anything up to `most`, mostly little.
fn seconds(random: &mut Rng, most: f64) -> Duration {
    Duration::from_secs_f64(most * random.f64().powi(3))
}

fn as_of_version<T>(versions: &[Version<T>], moment: Duration) -> usize {
    versions.iter().rposition(|version| version.at <= moment).unwrap_or(0)
}

fn entries(pem: &[u8]) -> Published {
    let entry = || Entry { host: HOST.to_owned(), bundle: Bundle::from_pem(pem) };
    Published { entries: vec![entry(), entry()] }
}

/// Whether anybody is trusted; otherwise no call can succeed.
fn is_trusting(published: &Published, now: SystemTime) -> bool {
    published.entries[0].bundle.iter().any(|one| one.not_before() <= now && now <= one.not_after())
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let api = ApiServer {
            secret: vec![Version { at: Duration::ZERO, value: None }],
            configuration: vec![Version { at: Duration::ZERO, value: entries(b"") }],
            out_until: Duration::ZERO,
        };
        let replicas = (0..3).map(|_| replica(&mut random, Duration::ZERO)).collect();
        let (calm, awake) = (PATIENCE, Duration::ZERO);
        Self { random, time: Duration::ZERO, ahead: 0, api, replicas, calm, awake }
    }

    /// The clock of the API server.
    fn now(&self) -> SystemTime {
        let base = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + self.time;
        if self.ahead < 0 {
            base - Duration::from_secs(self.ahead.unsigned_abs())
        } else {
            base + Duration::from_secs(self.ahead.unsigned_abs())
        }
    }

    fn run(&mut self) {
        while self.time < YEARS {
            let first = (0..3).min_by_key(|index| self.replicas[*index].due).unwrap();
            self.time = self.time.max(self.replicas[first].due);
            self.happen();
            if self.replicas[first].due <= self.time {
                self.act(first);
            }
            self.check();
        }
    }

    fn fail(&mut self, chance: f64) -> bool {
        self.random.f64() < chance
    }

    /// What goes wrong, a few hundred times in two years.
    fn happen(&mut self) {
        let time = self.time;
        if self.fail(0.01) {
            let index = self.random.usize(..3);
            self.replicas[index] = replica(&mut self.random, time);
        }
        if self.fail(0.004) {
            let (index, how_long) = (self.random.usize(..3), seconds(&mut self.random, 259_200.0));
            let replica = &mut self.replicas[index];
            // In the middle of whatever it was doing.
            replica.suspended_until = replica.suspended_until.max(time + how_long);
            replica.due = replica.due.max(replica.suspended_until);
            replica.undisturbed = replica.suspended_until;
        }
        if self.fail(0.002) {
            let until = time + seconds(&mut self.random, 86_400.0);
            self.api.out_until = self.api.out_until.max(until);
        }
        // A Secret that goes in the very moment in which everything is made for the first time, or anew because nobody is
        // trusted any more, leaves no trace of it.
        if time > self.calm
            && self.fail(0.001)
            && is_trusting(&self.api.configuration.last().unwrap().value, self.now())
        {
            let data = self.api.secret.last().unwrap().value.clone();
            let data = self.spoil(data);
            self.api.secret.push(Version { at: time, value: data });
            self.wake();
        }
        if self.fail(0.002) {
            // Corrected by NTP: less than what certificates are back-dated by, if it goes back.
            self.ahead = (self.ahead + self.random.i64(-1_700..86_400)).max(-1_700);
            self.rouse();
        }
        if self.fail(0.0002) {
            // All machines slept: everything may have expired, for as long as it takes to wake up.
            self.ahead += self.random.i64(0..150 * 86_400);
            (self.calm, self.awake) = (time + PATIENCE, time + PATIENCE);
            self.rouse();
        }
    }

    /// In reality each looks at the clock once a minute.
    fn rouse(&mut self) {
        let soon = self.time + Duration::from_secs(60);
        for replica in &mut self.replicas {
            replica.due = replica.due.min(soon).max(replica.suspended_until);
        }
    }

    /// What people and their tools do to a Secret.
    fn spoil(&mut self, data: Option<Data>) -> Option<Data> {
        let mut data = data?;
        let names: Vec<String> = data.keys().cloned().collect();
        match self.random.usize(..6) {
            0 => return None,
            1 => data.values_mut().for_each(Vec::clear),
            2 => data.clear(),
            other => {
                let name = self.random.choice(&names)?;
                let value = data.get_mut(name)?;
                match other {
                    3 => value.truncate(value.len() / 2),
                    4 => *value = b"not PEM".to_vec(),
                    _ => drop(data.remove(name)),
                }
            }
        }
        Some(data)
    }

    /// Watches tell most replicas soon, some late and some not at all.
    fn wake(&mut self) {
        for index in 0..3 {
            if !self.fail(0.1) {
                let soon = self.time + seconds(&mut self.random, 40.0);
                let replica = &mut self.replicas[index];
                if matches!(replica.phase, Phase::Look) {
                    replica.due = replica.due.min(soon).max(replica.suspended_until);
                }
            }
        }
    }

    fn act(&mut self, index: usize) {
        let phase = std::mem::replace(&mut self.replicas[index].phase, Phase::Look);
        let is_out = self.time < self.api.out_until || self.fail(0.02);
        if is_out {
            if self.time < self.api.out_until {
                self.replicas[index].undisturbed = self.api.out_until;
            }
            return self.again(index, 60.0);
        }
        match phase {
            Phase::Look => {
                // Views are late, the one of the Secret by no more than the one of the configuration.
                let as_of = self.time.saturating_sub(seconds(&mut self.random, 20.0));
                let as_of = as_of.max(self.replicas[index].seen);
                self.replicas[index].seen = as_of;
                let configuration = as_of_version(&self.api.configuration, as_of);
                self.continue_with(index, Phase::Read { configuration, as_of }, 10.0);
            }
            Phase::Read { configuration, as_of } => self.decide(index, configuration, as_of),
            Phase::Write { step, configuration, secret } => self.write(index, step, configuration, secret),
        }
    }

    fn continue_with(&mut self, index: usize, phase: Phase, most: f64) {
        self.replicas[index].phase = phase;
        self.again(index, most);
    }

    fn again(&mut self, index: usize, most: f64) {
        self.replicas[index].due = self.time + seconds(&mut self.random, most);
    }

    fn decide(&mut self, index: usize, configuration: usize, as_of: Duration) {
        let late = self.time.saturating_sub(as_of).mul_f64(self.random.f64().powi(3));
        self.replicas[index].seen = self.time.saturating_sub(late);
        let secret = as_of_version(&self.api.secret, self.replicas[index].seen);
        let stored = self.api.secret[secret].value.as_ref().map(Stored::read).unwrap_or_default();
        let published = &self.api.configuration[configuration].value;
        let now = self.now() + seconds(&mut self.random, 2.0);
        let replica = &mut self.replicas[index];
        let elapsed = self.time.saturating_sub(replica.born);
        replica.sightings.observe(published, elapsed);
        let view = View { stored: &stored, published, sightings: &replica.sightings, now, elapsed };
        replica.shown.adopt(&replica.rules, &view);
        replica.ready = replica.shown.trouble(published, now).is_none();
        match replica.rules.next(&view).unwrap() {
            // Far longer than in reality, when nothing happens anyway.
            Step::Wait(wait) if wait == Duration::from_secs(60) && replica.ready => {
                self.again(index, 40_000.0);
            }
            Step::Wait(wait) => {
                self.replicas[index].due = self.time + wait + seconds(&mut self.random, 5.0);
            }
            step => self.continue_with(index, Phase::Write { step, configuration, secret }, 10.0),
        }
    }

    fn write(&mut self, index: usize, step: Step, configuration: usize, secret: usize) {
        let at = self.time;
        self.replicas[index].seen = at;
        match step {
            Step::Store(stored) if secret == self.api.secret.len() - 1 => {
                let written = stored.write();
                assert!(Stored::is_ours(&written));
                assert_eq!(Stored::read(&written), *stored, "what is written is read back");
                self.api.secret.push(Version { at, value: Some(written) });
                self.wake();
            }
            Step::Publish(bundle) if configuration == self.api.configuration.len() - 1 => {
                let value = entries(&bundle.to_pem());
                self.api.configuration.push(Version { at, value });
                self.wake();
            }
            // The object has changed: look again.
            _ => {}
        }
        self.again(index, 2.0);
    }

    fn check(&mut self) {
        let (time, now) = (self.time, self.now());
        let current = self.api.configuration.len() - 1;
        for index in 0..3 {
            let replica = &mut self.replicas[index];
            if time < replica.suspended_until {
                continue;
            }
            let leaf = replica.shown.leaf().filter(|leaf| {
                replica.ready && {
                    let certificate = leaf.certificate();
                    certificate.not_before() <= now && now <= certificate.not_after()
                }
            });
            let Some(leaf) = leaf else {
                let since = [replica.undisturbed, self.calm, self.api.out_until].into_iter().max().unwrap();
                let trouble = replica.shown.trouble(&self.api.configuration[current].value, now);
                assert!(
                    time < since + PATIENCE,
                    "replica {index} is not ready at {time:?}, since {since:?}: {trouble:?}"
                );
                continue;
            };
            if time < self.awake {
                continue;
            }
            // Every bundle that was in effect in the last half minute.
            for version in (0..=current).rev() {
                let ended = self.api.configuration.get(version + 1).map(|next| next.at);
                if ended.is_some_and(|ended| ended + CONFIRM < time) {
                    break;
                }
                let known = replica.verified.iter().any(|(certificate, seen, at)| {
                    certificate == leaf.certificate() && *seen == version && time < *at + HOUR
                });
                let published = &self.api.configuration[version].value;
                if !known && is_trusting(published, now) {
                    assert!(
                        published.verifies(leaf, now),
                        "replica {index} serves what version {version} of {current} does not verify at {time:?}"
                    );
                    replica.verified.truncate(8);
                    replica.verified.insert(0, (leaf.certificate().clone(), version, time));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3,
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_moment_is_invalid(seed in any::<u64>()) {
        let mut world = World::new(seed);
        world.run();
        let bundles = world.api.configuration.len();
        prop_assert!(bundles > 2 * 10, "only {bundles} bundles: authorities are replaced every two months");
        let last = &world.api.configuration[bundles - 1].value.entries[0].bundle;
        prop_assert!(last.to_pem().len() < 10 * 1024, "{} bytes: nothing is ever pruned", last.to_pem().len());
    }
}
