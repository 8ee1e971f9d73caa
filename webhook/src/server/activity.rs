//! What a connection is doing, and since when.
//!
//! The connection notes each change itself, in one atomic number; whoever accepts connections looks at all of them
//! several times a second and ends those that take too long. So a request costs no timer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::limits::Limits;

/// Time, counted in looks at the connections. A look that comes late counts for a few and no more: while the process was
/// stopped or starved, nobody else was slow.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicU64);

/// When the connections were looked at.
#[derive(Debug)]
pub(super) struct Looks {
    tick: Duration,
    /// What the clock has counted up to.
    last: Instant,
}

/// How many ticks a look counts for at most.
const LATE: u64 = 4;

/// [`Limits`] in ticks of the [`Clock`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    handshake: u64,
    headers: u64,
    write: u64,
    idle: u64,
    age: u64,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// It is not a TLS connection yet.
    Handshake,
    /// It waits for a request.
    Idle,
    /// A request has begun.
    Headers,
    /// A request is being answered; its handler has deadlines of its own.
    Request,
    /// An answer is being sent.
    Answer,
}

/// The state of one connection: written by its own task, read by whoever accepts connections.
#[derive(Debug)]
pub(super) struct Activity {
    clock: Arc<Clock>,
    /// Ticks above the lowest four bits; there, one bit for [`Activity::is_known`], and the phase.
    state: AtomicU64,
    /// When an answer says that it was the last.
    last: u64,
}

const PHASE: u64 = 0b0111;
const KNOWN: u64 = 0b1000;
const TICKS: u32 = 4;

impl Clock {
    pub(super) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn advance(&self, ticks: u64) -> u64 {
        self.0.fetch_add(ticks, Ordering::Relaxed) + ticks
    }
}

impl Looks {
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        Self { tick: limits.tick(), last: now }
    }

    /// How many ticks the clock is put on by a look now.
    pub(super) fn ticks(&mut self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.last);
        let whole = u64::try_from(passed.as_micros() / self.tick.as_micros()).unwrap_or(u64::MAX);
        if whole > LATE {
            self.last = now;
            return LATE;
        }
        // What is left over counts next time: looks are always a little late.
        self.last += self.tick * u32::try_from(whole).unwrap_or_default();
        whole
    }
}

impl Deadlines {
    pub(super) fn new(limits: &Limits) -> Self {
        let tick = limits.tick().as_micros();
        // One more than whole ticks: the first of them is as good as over when it begins.
        let ticks =
            |time: Duration| u64::try_from(time.as_micros().div_ceil(tick)).unwrap_or(u64::MAX >> 8) + 1;
        Self {
            handshake: ticks(limits.handshake),
            headers: ticks(limits.headers),
            write: ticks(limits.write),
            idle: ticks(limits.idle),
            age: ticks(limits.age),
        }
    }

    /// How old the `n`-th connection gets: between 80 % and 120 %. The multiples of the golden ratio spread those
    /// that come together evenly.
    fn age_of(&self, n: u64) -> u64 {
        let spread = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54;
        self.age * 4 / 5 + self.age * 2 / 5 * spread / 1024
    }
}

impl Activity {
    /// The `n`-th connection, in its handshake.
    pub(super) fn new(clock: Arc<Clock>, deadlines: &Deadlines, n: u64) -> Self {
        let now = clock.now();
        Self { clock, state: AtomicU64::new(now << TICKS), last: now + deadlines.age_of(n) }
    }

    /// Another phase begins. Only the connection's own task does this.
    pub(super) fn begin(&self, phase: Phase) {
        let known = self.state.load(Ordering::Relaxed) & KNOWN;
        self.state.store(self.clock.now() << TICKS | known | phase as u64, Ordering::Relaxed);
    }

    pub(super) fn phase(&self) -> Phase {
        match self.state.load(Ordering::Relaxed) & PHASE {
            0 => Phase::Handshake,
            1 => Phase::Idle,
            2 => Phase::Headers,
            3 => Phase::Request,
            _ => Phase::Answer,
        }
    }

    /// A review was understood: this is no stranger.
    pub(super) fn know(&self) {
        self.state.fetch_or(KNOWN, Ordering::Relaxed);
    }

    fn is_known(&self) -> bool {
        self.state.load(Ordering::Relaxed) & KNOWN != 0
    }

    /// Ticks since the phase began.
    pub(super) fn since(&self) -> u64 {
        self.clock.now().saturating_sub(self.state.load(Ordering::Relaxed) >> TICKS)
    }

    /// Whether the next answer should say that it was the last.
    pub(super) fn is_old(&self) -> bool {
        self.clock.now() >= self.last
    }

    /// Whether the phase has taken too long.
    pub(super) fn is_overdue(&self, deadlines: &Deadlines) -> bool {
        let limit = match self.phase() {
            Phase::Handshake => deadlines.handshake,
            Phase::Idle => deadlines.idle,
            Phase::Headers => deadlines.headers,
            Phase::Request => return false,
            Phase::Answer => deadlines.write,
        };
        self.since() > limit
    }

    /// How gladly this connection is given up for a new one; nothing if it is or may be in use.
    pub(super) fn dispensable(&self, deadlines: &Deadlines) -> Option<(bool, u64)> {
        let stranger = !self.is_known();
        let enough = match self.phase() {
            // A good handshake is over before the next look, and the first request comes at once.
            Phase::Handshake | Phase::Idle if stranger => 1,
            // By then the API server itself has given it up: nobody has a request on the way.
            Phase::Idle => deadlines.idle / 4 * 3,
            _ => return None,
        };
        (self.since() > enough).then_some((stranger, self.since()))
    }
}

/// A stream that notes when a request begins and when an answer has been sent.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        activity.begin(Phase::Idle);
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before && self.activity.phase() == Phase::Idle {
            self.activity.begin(Phase::Headers);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        if result.is_ready() && self.activity.phase() == Phase::Answer {
            self.activity.begin(Phase::Idle);
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(clock: &Clock, ticks: u64) {
        clock.advance(ticks);
    }

    #[test]
    fn looks_that_come_late_count_for_the_time_between_them_but_not_for_a_long_sleep() {
        let limits = Limits::default();
        let (tick, start) = (limits.tick(), Instant::now());
        let mut looks = Looks::new(&limits, start);
        assert_eq!(looks.ticks(start + tick / 2), 0);
        assert_eq!(looks.ticks(start + tick), 1);
        assert_eq!(looks.ticks(start + tick * 5 / 2), 1, "half a tick is left over");
        assert_eq!(looks.ticks(start + tick * 6), 4);
        let woken = start + Duration::from_secs(3600);
        assert_eq!(looks.ticks(woken), LATE, "the machine was suspended");
        assert_eq!(looks.ticks(woken + tick), 1);
        assert_eq!(looks.ticks(woken), 0);
    }

    #[test]
    fn every_phase_has_its_own_deadline() {
        let clock = Arc::new(Clock::default());
        let deadlines = Deadlines { handshake: 2, headers: 3, write: 4, idle: 9, age: 100 };
        let activity = Activity::new(Arc::clone(&clock), &deadlines, 0);
        for (phase, limit) in [
            (Phase::Handshake, 2),
            (Phase::Idle, 9),
            (Phase::Headers, 3),
            (Phase::Answer, 4),
            (Phase::Idle, 9),
        ] {
            activity.begin(phase);
            assert_eq!((activity.phase(), activity.since()), (phase, 0));
            pass(&clock, limit);
            assert!(!activity.is_overdue(&deadlines), "{phase:?}");
            pass(&clock, 1);
            assert!(activity.is_overdue(&deadlines), "{phase:?}");
        }
        activity.begin(Phase::Request);
        pass(&clock, 1_000);
        assert!(!activity.is_overdue(&deadlines));
    }

    #[test]
    fn strangers_go_before_acquaintances_and_nobody_in_a_request() {
        let clock = Arc::new(Clock::default());
        let deadlines = Deadlines { handshake: 5, headers: 3, write: 4, idle: 8, age: 100 };
        let of = |n| Activity::new(Arc::clone(&clock), &deadlines, n);
        let (known, stranger, busy) = (of(0), of(1), of(2));
        known.begin(Phase::Idle);
        known.know();
        stranger.begin(Phase::Idle);
        busy.begin(Phase::Request);
        assert_eq!(stranger.dispensable(&deadlines), None, "it has only just come");
        pass(&clock, 6);
        assert_eq!(stranger.dispensable(&deadlines), Some((true, 6)));
        assert_eq!(known.dispensable(&deadlines), None, "it may be about to ask");
        pass(&clock, 1);
        assert_eq!(known.dispensable(&deadlines), Some((false, 7)));
        assert!(stranger.dispensable(&deadlines) > known.dispensable(&deadlines));
        assert_eq!(busy.dispensable(&deadlines), None);
        known.begin(Phase::Headers);
        assert!(known.is_known() && known.dispensable(&deadlines).is_none());
    }

    #[test]
    fn connections_that_come_together_do_not_go_together() {
        let deadlines = Deadlines { handshake: 2, headers: 3, write: 4, idle: 9, age: 1_000 };
        let ages: Vec<u64> = (0..25).map(|n| deadlines.age_of(n)).collect();
        assert!(ages.iter().all(|age| (800..=1_200).contains(age)), "{ages:?}");
        for fifth in 0..5 {
            let part = (800 + fifth * 80)..(880 + fifth * 80);
            let here = ages.iter().filter(|age| part.contains(*age)).count();
            assert!((4..=6).contains(&here), "{ages:?}");
        }
    }
}
