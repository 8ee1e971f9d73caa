//! Not to fight with another writer of the same object: repairs of one kind come ever slower.

use std::time::Duration;

use tokio::time::Instant;

/// From the second repair on; each further one waits twice as long.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// After such a peace the next repair is a first one again.
const PEACE: Duration = Duration::from_secs(600);

/// Remembers the repairs of one object. The first one is free: while it waits, nobody's pods are created.
#[derive(Debug, Default)]
pub(super) struct Restraint {
    repairs: u32,
    last: Option<Instant>,
}

impl Restraint {
    /// How long the next repair has to wait.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        let Some(last) = self.last else { return Duration::ZERO };
        if now.saturating_duration_since(last) > PEACE + LONGEST {
            *self = Self::default();
            return Duration::ZERO;
        }
        let pause = FIRST.saturating_mul(1 << self.repairs.saturating_sub(1).min(16)).min(LONGEST);
        (last + pause).saturating_duration_since(now)
    }

    /// One was made.
    pub(super) fn made(&mut self, now: Instant) {
        self.repairs += 1;
        self.last = Some(now);
    }

    /// Whether somebody else insists.
    pub(super) fn is_fight(&self) -> bool {
        self.repairs > 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn repairs_come_ever_slower_until_there_is_peace() {
        let mut restraint = Restraint::default();
        let mut waits = Vec::new();
        for _ in 0..12 {
            let wait = restraint.wait(Instant::now());
            waits.push(wait.as_secs());
            tokio::time::advance(wait).await;
            assert_eq!(restraint.wait(Instant::now()), Duration::ZERO);
            restraint.made(Instant::now());
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert!(restraint.is_fight());
        tokio::time::advance(PEACE + LONGEST + FIRST).await;
        assert_eq!(restraint.wait(Instant::now()), Duration::ZERO);
        assert!(!restraint.is_fight());
    }
}
