//! The way to the end: not ready at once, answers that close their connections, then quiet.
//!
//! The API server and kube-proxy learn late that a pod is going, and an idle connection that we close under a request
//! is an error for a user. So the socket stays open until nobody has used it for a while.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// What is asked of a server.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Stop {
    /// Serve on.
    #[default]
    Serve,
    /// Drain, then end.
    Gently,
    /// End at once.
    Now,
}

/// How long a drain takes.
#[derive(Clone, Copy, Debug)]
pub struct DrainTimes {
    /// How long nobody must have asked anything.
    pub quiet: Duration,
    /// The least time, however quiet it is: load balancers are told late.
    pub min: Duration,
    /// The most time, however busy it is: below the pod's grace period.
    pub max: Duration,
}

impl Default for DrainTimes {
    fn default() -> Self {
        Self { quiet: Duration::from_secs(5), min: Duration::from_secs(10), max: Duration::from_secs(45) }
    }
}

/// Whether the server is draining, and when it was last used.
#[derive(Debug)]
pub(super) struct Drain {
    times: DrainTimes,
    draining: AtomicBool,
    running: AtomicUsize,
    born: Instant,
    /// Microseconds from `born` to the end of the last request; noted only while draining, nobody asks before.
    last: AtomicU64,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Running<'d>(&'d Drain);

impl Drain {
    pub(super) fn new(times: DrainTimes) -> Self {
        Self {
            times,
            draining: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            born: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// How many requests are being answered.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Notes a request for as long as the result lives.
    pub(super) fn enter(&self) -> Running<'_> {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(self)
    }

    /// Waits until the server is asked to stop and, if gently, until it is quiet. Returns how it was asked last.
    pub(super) async fn wait(&self, mut stop: watch::Receiver<Stop>) -> Stop {
        // A sender that is gone can never ask: then the server stops as if it had asked gently.
        if stop.wait_for(|asked| *asked != Stop::Serve).await.is_ok_and(|asked| *asked == Stop::Now) {
            return Stop::Now;
        }
        self.draining.store(true, Ordering::Relaxed);
        let started = Instant::now();
        let hurried = async {
            if stop.wait_for(|asked| *asked == Stop::Now).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.wait_for_quiet(started) => Stop::Gently,
            () = hurried => Stop::Now,
        }
    }

    async fn wait_for_quiet(&self, started: Instant) {
        let DrainTimes { quiet, min, max } = self.times;
        loop {
            let now = Instant::now();
            let last = self.born + Duration::from_micros(self.last.load(Ordering::Acquire));
            let last = last.max(started);
            let busy = self.running.load(Ordering::Acquire) > 0;
            let is_quiet = !busy && now >= last + quiet;
            if now >= started + max || (is_quiet && now >= started + min) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Drain { draining, running, born, last, times: _ } = self.0;
        if draining.load(Ordering::Relaxed) {
            let now = u64::try_from(born.elapsed().as_micros()).unwrap_or(u64::MAX);
            last.fetch_max(now, Ordering::Relaxed);
        }
        // After the time: whoever sees that nothing runs sees when it ended.
        running.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const TIMES: DrainTimes = DrainTimes {
        quiet: Duration::from_millis(100),
        min: Duration::from_millis(200),
        max: Duration::from_millis(600),
    };

    async fn drain_while(busy: Option<Duration>) -> Duration {
        let (asked, stop) = watch::channel(Stop::Gently);
        let drain = Arc::new(Drain::new(TIMES));
        let other = Arc::clone(&drain);
        let user = tokio::spawn(async move {
            let running = other.enter();
            tokio::time::sleep(busy.unwrap_or_default()).await;
            drop(running);
        });
        let started = Instant::now();
        assert_eq!(drain.wait(stop).await, Stop::Gently);
        user.abort();
        drop(asked);
        started.elapsed()
    }

    #[tokio::test]
    async fn a_quiet_server_drains_for_the_least_time() {
        let took = drain_while(None).await;
        assert!(took >= TIMES.min && took < TIMES.max, "{took:?}");
    }

    #[tokio::test]
    async fn a_busy_server_waits_for_quiet_but_not_forever() {
        let took = drain_while(Some(Duration::from_millis(300))).await;
        assert!(took >= Duration::from_millis(400) && took < TIMES.max, "{took:?}");
        let took = drain_while(Some(Duration::from_secs(60))).await;
        assert!(took >= TIMES.max && took < TIMES.max * 3, "{took:?}");
    }

    #[tokio::test]
    async fn a_second_wish_ends_it_at_once() {
        let (asked, stop) = watch::channel(Stop::Gently);
        let drain = Drain::new(DrainTimes::default());
        let (ended, ()) = tokio::join!(drain.wait(stop), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(drain.is_draining());
            asked.send_replace(Stop::Now);
        });
        assert_eq!(ended, Stop::Now);
    }
}
