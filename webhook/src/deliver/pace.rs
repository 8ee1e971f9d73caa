//! How fast the API server is asked.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Lets requests through one by one, at even distances: no burst, however long nothing was asked.
#[derive(Debug)]
pub(super) struct Pace {
    step: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// So many requests in a second; zero counts as one.
    pub(super) fn per_second(rate: u32) -> Self {
        Self { step: Duration::from_secs(1) / rate.max(1), next: Mutex::default() }
    }

    /// Waits for the caller's turn.
    pub(super) async fn wait(&self) {
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let turn = next.map_or(now, |next| next.max(now));
            *next = Some(turn + self.step);
            turn
        };
        sleep_until(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_keep_their_distance_and_a_pause_saves_nothing() {
        let pace = Pace::per_second(50);
        let start = Instant::now();
        for _ in 0..101 {
            pace.wait().await;
        }
        assert_eq!(start.elapsed().as_millis(), 2_000);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let start = Instant::now();
        for _ in 0..11 {
            pace.wait().await;
        }
        assert_eq!(start.elapsed().as_millis(), 200);
    }
}
