//! Elections in virtual time: hours pass in milliseconds, and the store fails as it is told to.

use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::coordination::v1::Lease;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::*;

/// A store with the API server's rule on versions, and faults.
#[derive(Clone, Debug, Default)]
struct Shelf(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    lease: Option<Lease>,
    version: u64,
    /// Answers take up to this long; what was asked happens at a random moment in between.
    slow: Duration,
    /// So many of a hundred requests fail; half of those after they took effect.
    broken: u32,
    down: bool,
}

impl Shelf {
    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    async fn ask<T>(
        &self,
        action: impl FnOnce(&mut State) -> Result<T, Trouble> + Send,
    ) -> Result<T, Trouble> {
        let (slow, fault) = {
            let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            (state.slow, state.down || fastrand::u32(..100) < state.broken)
        };
        sleep(slow.mul_f64(fastrand::f64())).await;
        let lost_answer = fastrand::bool();
        let result = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if fault && (state.down || !lost_answer) {
                return Err(Trouble::Other("fault".to_owned()));
            }
            action(&mut state)
        };
        sleep(slow.mul_f64(fastrand::f64())).await;
        if fault { Err(Trouble::Other("fault".to_owned())) } else { result }
    }
}

impl State {
    fn put(&mut self, lease: &Lease) -> Lease {
        self.version += 1;
        let mut lease = lease.clone();
        lease.metadata.resource_version = Some(self.version.to_string());
        self.lease = Some(lease.clone());
        lease
    }
}

impl Store for Shelf {
    async fn read(&self) -> Result<Option<Lease>, Trouble> {
        self.ask(|state| Ok(state.lease.clone())).await
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, Trouble> {
        let lease = lease.clone();
        self.ask(move |state| if state.lease.is_some() { Err(Trouble::Lost) } else { Ok(state.put(&lease)) })
            .await
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, Trouble> {
        let lease = lease.clone();
        self.ask(move |state| match &state.lease {
            Some(stored) if stored.metadata.resource_version == lease.metadata.resource_version => {
                Ok(state.put(&lease))
            }
            _ => Err(Trouble::Lost),
        })
        .await
    }
}

/// A running candidate.
struct Running {
    leads: watch::Receiver<bool>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(shelf: &Shelf, identity: &str) -> Self {
        let (election, leads) = Election::among(shelf.clone(), identity.to_owned(), Terms::default());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(election.run(async {
            drop(stopped.await);
        }));
        Self { leads, stop: Some(stop), task }
    }

    fn leads(&self) -> bool {
        *self.leads.borrow()
    }

    async fn until(&mut self, wanted: bool) -> Duration {
        let start = Instant::now();
        self.leads.wait_for(|leads| *leads == wanted).await.unwrap();
        start.elapsed()
    }

    async fn release(mut self) {
        drop(self.stop.take());
        self.task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_candidate_leads_and_keeps_leading() {
    let shelf = Shelf::default();
    let mut first = Running::start(&shelf, "first");
    first.until(true).await;
    let second = Running::start(&shelf, "second");
    for _ in 0..1_000 {
        sleep(Duration::from_millis(700)).await;
        assert!(first.leads() && !second.leads());
    }
    let state = shelf.0.lock().unwrap();
    let spec = state.lease.as_ref().unwrap().spec.as_ref().unwrap();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("first"), Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_dead_leader_is_followed_within_the_duration_and_a_look() {
    let shelf = Shelf::default();
    let mut first = Running::start(&shelf, "first");
    first.until(true).await;
    let mut second = Running::start(&shelf, "second");
    sleep(Duration::from_secs(60)).await;
    first.task.abort();
    let took = second.until(true).await;
    assert!(took >= Duration::from_secs(10) && took < Duration::from_secs(15 + 5), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_given_back_is_taken_at_the_next_look() {
    let shelf = Shelf::default();
    let mut first = Running::start(&shelf, "first");
    first.until(true).await;
    let mut second = Running::start(&shelf, "second");
    sleep(Duration::from_secs(60)).await;
    first.release().await;
    let took = second.until(true).await;
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_steps_down_before_anybody_can_follow() {
    let shelf = Shelf::default();
    let mut first = Running::start(&shelf, "first");
    first.until(true).await;
    sleep(Duration::from_secs(30)).await;
    shelf.set(|state| state.down = true);
    let took = first.until(false).await;
    assert!(took <= Duration::from_secs(10), "{took:?}");
    shelf.set(|state| state.down = false);
    // Still its own lease: it need not wait for the end.
    assert!(first.until(true).await < Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn clocks_that_differ_change_nothing() {
    let shelf = Shelf::default();
    let mut first = Running::start(&shelf, "first");
    first.until(true).await;
    // Somebody whose clock is years behind renewed it.
    first.task.abort();
    shelf.set(|state| {
        let mut lease = state.lease.clone().unwrap();
        lease.spec.as_mut().unwrap().renew_time =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(Timestamp::UNIX_EPOCH));
        state.put(&lease);
    });
    let mut second = Running::start(&shelf, "second");
    let took = second.until(true).await;
    assert!(took >= Duration::from_secs(15), "taken after {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_label_renews_nothing() {
    let shelf = Shelf::default();
    let mut first = Running::start(&shelf, "first");
    first.until(true).await;
    first.task.abort();
    let mut second = Running::start(&shelf, "second");
    let labels = tokio::spawn({
        let shelf = shelf.clone();
        async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                shelf.set(|state| {
                    let lease = state.lease.clone().unwrap();
                    state.put(&lease);
                });
            }
        }
    });
    let took = second.until(true).await;
    labels.abort();
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// Candidates come, go and die, answers are slow, lost or wrong: never two leaders at one moment.
#[tokio::test(start_paused = true)]
async fn there_are_never_two_leaders() {
    for round in 0..40 {
        fastrand::seed(round);
        let shelf = Shelf::default();
        shelf.set(|state| {
            state.slow = Duration::from_millis(fastrand::u64(..6_000));
            state.broken = fastrand::u32(..60);
        });
        let mut running: Vec<Running> = Vec::new();
        for step in 0..4_000 {
            sleep(Duration::from_millis(100)).await;
            let leaders =
                running.iter().filter(|candidate| candidate.leads() && !candidate.task.is_finished()).count();
            assert!(leaders <= 1, "{leaders} leaders in step {step} of round {round}");
            match fastrand::u32(..400) {
                0 if running.len() < 4 => running.push(Running::start(&shelf, &format!("c{step}"))),
                1 if running.len() > 1 => running.swap_remove(fastrand::usize(..running.len())).task.abort(),
                2 if running.len() > 1 => {
                    let leaving = running.swap_remove(fastrand::usize(..running.len()));
                    drop(tokio::spawn(leaving.release()));
                }
                3 => shelf.set(|state| state.down = !state.down),
                _ if running.is_empty() => running.push(Running::start(&shelf, &format!("c{step}"))),
                _ => {}
            }
        }
        shelf.set(|state| {
            *state = State { lease: state.lease.take(), version: state.version, ..State::default() }
        });
        sleep(Duration::from_secs(40)).await;
        let leaders = running.iter().filter(|candidate| candidate.leads()).count();
        assert_eq!(leaders, 1, "once all is well again, in round {round}");
        for candidate in running {
            candidate.task.abort();
        }
    }
}
