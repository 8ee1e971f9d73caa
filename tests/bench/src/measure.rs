//! Clocks and statistics. CPU time is the primary figure: on shared cores wall time says more about the neighbours.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};
use serde::Serialize;

/// The figures of one subject, one per round.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn one(value: f64) -> Self {
        Self(vec![value])
    }

    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn median(&self) -> f64 {
        quantile(&self.0, 0.5)
    }

    /// The least: what is left when nobody else runs.
    pub(crate) fn best(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// One quotient per round: both sides of a round ran next to each other, whatever the machine did before.
    pub(crate) fn over(&self, other: &Self) -> Self {
        if self.0.len() == other.0.len() {
            Self(self.0.iter().zip(&other.0).map(|(one, two)| one / two).collect())
        } else {
            Self::one(self.median() / other.median())
        }
    }
}

/// A quantile of unsorted figures; not a number where there are none.
pub(crate) fn quantile(figures: &[f64], at: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
    let (low, rest) = {
        let place = at * count(last);
        (place as usize, place.fract())
    };
    let (one, two) = (sorted[low], sorted[(low + 1).min(last)]);
    one + (two - one) * rest
}

/// A number of things as a figure.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52 of anything")]
pub(crate) fn count(things: usize) -> f64 {
    things as f64
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("the thread's clock");
    Duration::from(now)
}

/// CPU time of every child that was waited for.
pub(crate) fn children_cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the children's usage");
    let of = |time: nix::sys::time::TimeVal| {
        let (seconds, micros) = (time.tv_sec(), time.tv_usec());
        Duration::from_micros(u64::try_from(seconds * 1_000_000 + micros).unwrap_or_default())
    };
    of(usage.user_time()) + of(usage.system_time())
}

/// CPU time of another process, in ticks of 10 ms: worth reading over a second and more.
pub(crate) fn process_cpu(id: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("the process runs");
    // The name, in parentheses, may hold anything.
    let (_, rest) = text.rsplit_once(')').expect("a name");
    let ticks: u64 =
        rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    Duration::from_millis(ticks * 1000 / u64::try_from(per_second).unwrap_or(100))
}

/// `VmRSS` or `VmHWM` of a process, in bytes.
pub(crate) fn memory(id: u32, field: &str) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<usize>().ok());
    kilobytes.unwrap_or_default() * 1024
}

/// CPU microseconds of one call, called for about this long after a tenth of it as a warm-up.
pub(crate) fn cpu_per_call(time: Duration, mut call: impl FnMut()) -> f64 {
    let started = thread_cpu();
    let mut calls = 0_usize;
    while thread_cpu() - started < time / 10 || calls == 0 {
        call();
        calls += 1;
    }
    // Few looks at the clock, so that it costs nothing next to short calls.
    let batch = calls.div_ceil(5);
    let started = thread_cpu();
    let mut calls = 0;
    loop {
        for _ in 0..batch {
            call();
        }
        calls += batch;
        let took = thread_cpu() - started;
        if took >= time {
            return micros(took) / count(calls);
        }
    }
}
