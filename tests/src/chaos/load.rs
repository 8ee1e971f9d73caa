//! Pods that are created all the time, at a steady rate whatever becomes of them, and what became of them as the API
//! server tells it. They are dry runs: everything happens that happens to a pod, but nothing is stored.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::BodyExt as _;
use kube::client::Body;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::stage::{NAMESPACE, executor};
use crate::client::Api;
use crate::registration::STATUS_ANNOTATION;
use crate::runtime;

/// How many texts of failures are kept.
const TEXTS: usize = 10;

/// Creations that go on until they are stopped.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    begin: Instant,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    flying: AtomicUsize,
    most_flying: AtomicUsize,
    ended: Mutex<Ended>,
}

#[derive(Debug, Default)]
struct Ended {
    took: Vec<Duration>,
    failures: usize,
    texts: Vec<String>,
}

/// What became of the pods.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Creations that were answered, well or not.
    pub created: usize,
    /// Those that were not injected, for whatever reason.
    pub failed: usize,
    /// What the first of them were told.
    pub texts: Vec<String>,
    /// How long it went on.
    pub lasted: Duration,
    took: Vec<Duration>,
}

impl Load {
    /// So many creations per second from now on.
    pub fn start(api: &Api, per_second: u32) -> Self {
        let shared = Arc::<Shared>::default();
        let task = runtime::handle().spawn(create(api.kube(), per_second, Arc::clone(&shared)));
        Self { shared, task, begin: Instant::now() }
    }

    /// How many creations wait for their answer.
    pub fn flying(&self) -> usize {
        self.shared.flying.load(Ordering::Relaxed)
    }

    /// The most that have waited at one time since this was asked last.
    pub fn most_flying(&self) -> usize {
        self.shared.most_flying.swap(self.flying(), Ordering::Relaxed)
    }

    /// How many creations have failed so far.
    pub fn failed(&self) -> usize {
        self.shared.lock().failures
    }

    /// Ends it, and waits for those that are under way.
    ///
    /// # Panics
    /// When they do not end.
    pub fn stop(self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = crate::process::wait_until(Duration::from_secs(60), || {
            (self.task.is_finished() && self.flying() == 0).then_some(())
        });
        assert!(ended.is_some(), "{} creations never end", self.flying());
        let lasted = self.begin.elapsed();
        let ended = std::mem::take(&mut *self.shared.lock());
        let Ended { mut took, failures, texts } = ended;
        took.sort_unstable();
        Tally { created: took.len(), failed: failures, texts, lasted, took }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    /// What this part of the creations stayed below.
    pub fn quantile(&self, part: f64) -> Duration {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let index = (self.took.len() as f64 * part) as usize;
        self.took.get(index.min(self.took.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most, all] = [0.5, 0.99, 1.0].map(|part| self.quantile(part).as_secs_f64() * 1e3);
        #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = self.created as f64 / self.lasted.as_secs_f64();
        write!(
            formatter,
            "{} creations in {:.0} s ({rate:.0}/s), {} failed; p50 {half:.1} ms, p99 {most:.1} ms, longest {all:.0} ms",
            self.created,
            self.lasted.as_secs_f64(),
            self.failed
        )?;
        self.texts.iter().try_for_each(|text| write!(formatter, "\n  - {text}"))
    }
}

async fn create(client: kube::Client, per_second: u32, shared: Arc<Shared>) {
    let body = executor().to_string().into_bytes();
    let begin = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    // A machine that was busy elsewhere must not turn a rate into a burst.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !shared.stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let (client, body, shared) = (client.clone(), body.clone(), Arc::clone(&shared));
        let flying = shared.flying.fetch_add(1, Ordering::Relaxed) + 1;
        shared.most_flying.fetch_max(flying, Ordering::Relaxed);
        tokio::spawn(async move {
            let started = Instant::now();
            let failure = one(&client, body).await.err();
            let mut ended = shared.lock();
            ended.took.push(started.elapsed());
            if let Some(text) = failure {
                ended.failures += 1;
                if ended.texts.len() < TEXTS {
                    let (at, took) = (begin.elapsed().as_secs_f64(), started.elapsed().as_secs_f64());
                    ended.texts.push(format!("after {at:.2} s, waited {took:.2} s: {text}"));
                }
            }
            drop(ended);
            shared.flying.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// One pod; `Err` with the reason when it was not injected.
async fn one(client: &kube::Client, body: Vec<u8>) -> Result<(), String> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All");
    let request = Request::post(path).header("content-type", "application/json").body(Body::from(body));
    let request = request.map_err(|error| error.to_string())?;
    let response = client.send(request).await.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    let text = String::from_utf8_lossy(&bytes);
    if status == 201 && text.contains(STATUS_ANNOTATION) {
        return Ok(());
    }
    let what: String = text.chars().take(400).collect();
    Err(format!("{status}: {what}"))
}
