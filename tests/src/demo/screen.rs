//! What the reader sees: the report on standard output, progress on standard error. Colour only on a terminal.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Goes back to the start of the line and clears it.
const CLEAR: &str = "\r\x1b[K";

/// A message on standard error from outside the story; there may be a running clock in the way.
pub(super) fn complain(message: &str) {
    let clear = if std::io::stderr().is_terminal() { CLEAR } else { "" };
    let _ = writeln!(std::io::stderr(), "{clear}demo: {message}");
}

/// Where the report goes, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    colour: bool,
    /// Standard error is a terminal, so progress can be a clock that runs in place.
    live: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let plain = set("NO_COLOR").is_some() || set("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: !plain && std::io::stdout().is_terminal(),
            live: !plain && std::io::stderr().is_terminal(),
        }
    }

    /// One line of the report.
    #[allow(clippy::unused_self, reason = "the report is written to the screen, not beside it")]
    pub(super) fn line(self, text: impl Display) {
        // A reader that has gone away, as `head` does, is no reason to stop: the checks go on.
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    /// A step of the story.
    pub(super) fn step(self, text: &str) {
        self.line("");
        self.line(self.bold(text));
    }

    /// A command, as one would type it.
    pub(super) fn command(self, text: &str) {
        self.line(format_args!("  {} {}", self.dim("$"), self.cyan(text)));
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(super) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(super) fn cyan(self, text: &str) -> String {
        self.paint("36", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Does something that takes a while, with the time on standard error.
    pub(super) fn during<T>(self, what: &str, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        // Dropping the sender ends the clock, also when the work panics.
        let (running, stopped) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || self.clock(what, begin, &stopped));
            let result = work();
            drop(running);
            result
        })
    }

    fn clock(self, what: &str, begin: Instant, stopped: &mpsc::Receiver<()>) {
        let mut error = std::io::stderr();
        let tick = if self.live { Duration::from_secs(1) } else { Duration::from_secs(15) };
        while stopped.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
            let elapsed = begin.elapsed().as_secs();
            let _ = if self.live {
                write!(error, "{CLEAR}… {what}, {elapsed} s").and_then(|()| error.flush())
            } else {
                writeln!(error, "demo: … {what}, {elapsed} s")
            };
        }
        let _ = if self.live {
            write!(error, "{CLEAR}").and_then(|()| error.flush())
        } else {
            writeln!(error, "demo: {what}: {:.1} s", begin.elapsed().as_secs_f64())
        };
    }
}
