//! Log lines of all threads, through the one that writes them.
//!
//! Whoever has a line adds it to a buffer and goes on: the standard error may be slow, and threads that meet at its lock
//! would wait for each other. What does not fit is counted and dropped; a request never waits for its log.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

/// Some thousand lines: what comes in while the standard error does not move.
const LIMIT: usize = 1024 * 1024;

/// How long lines are gathered after a write, so that a busy server makes few and large ones.
const GATHER: Duration = Duration::from_millis(20);

/// Where lines are added; every clone adds to the same log.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Queue>);

/// How long the end of the process waits for its last lines: nobody may read them any more.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Writes what was added until it is dropped, and the rest then.
#[derive(Debug)]
#[must_use = "dropping it ends the log"]
pub struct Writer {
    log: Log,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    dropped: u64,
    /// Whether the writer sleeps until something arrives.
    waiting: bool,
    ended: bool,
    /// Whether everything has been written after the end.
    finished: bool,
}

impl Log {
    /// Adds a line, with its line feed. Never waits for anything but other lines being added.
    pub fn add(&self, line: &[u8]) {
        let mut state = self.0.lock();
        if state.lines.len() + line.len() > LIMIT {
            state.dropped += 1;
            return;
        }
        state.lines.extend_from_slice(line);
        if std::mem::take(&mut state.waiting) {
            drop(state);
            self.0.arrived.notify_one();
        }
    }

    /// Begins to write. `dropped` counts the lines that did not fit.
    ///
    /// # Errors
    ///
    /// When there can be no further thread.
    pub fn write_to(self, out: impl Write + Send + 'static, dropped: Counter) -> io::Result<Writer> {
        let queue = Arc::clone(&self.0);
        let builder = std::thread::Builder::new().name("log".to_owned());
        builder.spawn(move || queue.write(out, &dropped))?;
        Ok(Writer { log: self })
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while a line is added leaves at worst half a line.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut out: impl Write, dropped: &Counter) {
        let mut lines = Vec::new();
        loop {
            let (lost, ended) = self.take(&mut lines);
            // There is nobody to tell that the log cannot be written.
            drop(out.write_all(&lines).and_then(|()| out.flush()));
            lines.clear();
            if lost > 0 {
                dropped.inc_by(lost);
                tracing::warn!(
                    lines = lost,
                    "log lines were dropped: they came faster than they can be written"
                );
            }
            if ended {
                self.lock().finished = true;
                return self.arrived.notify_one();
            }
            std::thread::sleep(GATHER);
        }
    }

    /// Waits for lines and takes them all; with them, how many were dropped, and whether there will be more.
    fn take(&self, lines: &mut Vec<u8>) -> (u64, bool) {
        let mut state = self.lock();
        while state.lines.is_empty() && !state.ended {
            state.waiting = true;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut state.lines, lines);
        (std::mem::take(&mut state.dropped), state.ended)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Queue { arrived, .. } = &*self.log.0;
        let mut state = self.log.0.lock();
        state.ended = true;
        arrived.notify_one();
        drop(arrived.wait_timeout_while(state, LAST_LINES, |state| !state.finished));
    }
}

/// One event of `tracing` is one write.
impl Write for &Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'l> tracing_subscriber::fmt::MakeWriter<'l> for Log {
    type Writer = &'l Self;

    fn make_writer(&'l self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Writes only when it is allowed to.
    struct Slow {
        go: Receiver<()>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Without a permission, when the test is over.
            let _ = self.go.recv();
            drop(self.written.send(bytes.to_vec()));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Sender<()>, Receiver<Vec<u8>>, Slow) {
        let ((allow, go), (written, result)) = (channel(), channel());
        (allow, result, Slow { go, written })
    }

    #[test]
    fn what_comes_during_a_write_is_written_at_once_and_in_order() {
        let (allow, written, out) = slow();
        let log = Log::default();
        let writer = log.clone().write_to(out, Counter::default()).unwrap();
        log.add(b"first\n");
        // It is taken out of the buffer before it is written.
        while !log.0.lock().lines.is_empty() {
            std::thread::yield_now();
        }
        for line in 0..1_000 {
            log.add(format!("line {line}\n").as_bytes());
        }
        drop(allow);
        drop(writer);
        let pieces: Vec<Vec<u8>> = written.iter().collect();
        assert_eq!(pieces.len(), 2);
        let all = String::from_utf8(pieces.concat()).unwrap();
        assert!(all.starts_with("first\nline 0\nline 1\n") && all.ends_with("line 999\n"), "{all}");
    }

    #[test]
    fn a_full_log_drops_and_counts() {
        let (allow, written, out) = slow();
        let (log, dropped) = (Log::default(), Counter::default());
        let writer = log.clone().write_to(out, dropped.clone()).unwrap();
        let line = [b'x'; 1_024];
        for _ in 0..4_096 {
            log.add(&line);
        }
        drop(allow);
        drop(writer);
        let kept: usize = written.iter().map(|lines| lines.len() / line.len()).sum();
        // One buffer may have been on its way already.
        assert!((1_024..=2_048).contains(&kept), "{kept}");
        assert_eq!(dropped.get(), 4_096 - kept as u64);
    }
}
