//! Child processes that never outlive the test process, however it ends.
//!
//! `Drop` is not enough: statics are never dropped, and a test process may be killed. Therefore each child is
//! started through a small shell script that holds the reading end of a pipe, the lifeline, and then becomes the
//! child itself. When the writing end closes, for whatever reason, the script's other half kills the child.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// `$$` in a subshell is the process id of the script, which after `exec` is that of the command: the handle that
/// the parent has is the command's own, and its exit status is the real one. Each line is a signal to send; `quit`
/// ends the watch once the id may belong to somebody else.
const SCRIPT: &str = r#"
exec 3<&0 </dev/null
(
  while read -r signal <&3; do
    [ "$signal" != quit ] || exit 0
    kill -s "$signal" $$
  done
  kill -s KILL $$
) >/dev/null 2>&1 &
exec "$@" 3<&-
"#;

/// A running child; killed when dropped and when this process ends in any way.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lifeline: Option<ChildStdin>,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` with these output streams. Of `command`, the program, arguments, directory and changes of
    /// single variables are used; `env_clear` cannot be seen from outside and is not.
    pub fn spawn(name: &str, command: &Command, stdout: Stdio, stderr: Stdio) -> Self {
        let mut wrapped = Command::new("sh");
        wrapped.arg("-c").arg(SCRIPT).arg(name).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(key, value),
                None => wrapped.env_remove(key),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            wrapped.current_dir(directory);
        }
        let mut child = wrapped
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let lifeline = child.stdin.take();
        Self { name: name.to_owned(), child, lifeline, status: None }
    }

    /// Starts `command` with both output streams at the end of one log file.
    pub fn spawn_logged(name: &str, command: &Command, log: &Path) -> Self {
        let file = File::options()
            .append(true)
            .create(true)
            .open(log)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()));
        let copy = file.try_clone().expect("a second handle of the log");
        Self::spawn(name, command, file.into(), copy.into())
    }

    /// The process id of the command itself.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The command's standard output, when it was asked for as a pipe; once.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The command's standard error, when it was asked for as a pipe; once.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Sends a signal by its short name, as in `TERM`; after `STOP`, waits until every thread has stopped.
    pub fn signal(&mut self, signal: &str) {
        self.tell(signal);
        if signal == "STOP" {
            let stopped = wait_until(Duration::from_secs(10), || self.has_stopped().then_some(()));
            assert!(stopped.is_some(), "{} goes on after SIGSTOP", self.name);
        }
    }

    /// Whether every thread is stopped: under load one of them may run on for a moment.
    fn has_stopped(&self) -> bool {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.id())) else { return false };
        threads.flatten().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The state follows the name, which stands in parentheses and may hold any.
            stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
        })
    }

    /// The exit status, if the command has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status =
                self.child.try_wait().unwrap_or_else(|error| panic!("waiting for {}: {error}", self.name));
            if self.status.is_some() {
                self.tell("quit");
            }
        }
        self.status
    }

    /// Waits until the command ends, at most this long.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        wait_until(limit, || self.ended())
    }

    /// Ends the command at once and waits for its end.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            // Not an error worth a word: it ended in between.
            let _ = self.child.kill();
            self.status = Some(self.child.wait().unwrap_or_else(|_| ExitStatus::from_raw(9)));
            self.tell("quit");
        }
    }

    fn tell(&mut self, word: &str) {
        if let Some(lifeline) = &mut self.lifeline {
            // The reader is gone when the command never started; nothing is left to be told then.
            let _ = writeln!(lifeline, "{word}");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks again every 20 ms until there is an answer or the time is over.
pub fn wait_until<T>(limit: Duration, mut question: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = question() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The last lines of a log, for a message about why something did not start.
pub fn tail(log: &Path, lines: usize) -> String {
    let text =
        std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Whether a process with this id exists (a zombie counts as gone).
pub fn is_alive(id: u32) -> bool {
    let stat: PathBuf = ["/proc", &id.to_string(), "stat"].iter().collect();
    std::fs::read_to_string(stat)
        .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z')))
}

/// A command that has ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The exit code; 128 plus the number of the signal that ended it.
    pub status: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
}

/// Runs `command` to its end with this standard input.
///
/// # Panics
/// When it cannot be started or takes longer than `limit`; it is killed then.
pub fn run(mut command: Command, stdin: &[u8], limit: Duration) -> Finished {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
    let (input, output, error) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // Three pipes need three hands, or a full one stops everything.
    let status = std::thread::scope(|scope| {
        scope.spawn(move || input.map(|mut pipe| pipe.write_all(stdin)));
        let stdout = scope.spawn(move || read_all(output));
        let stderr = scope.spawn(move || read_all(error));
        let status = wait_until(limit, || child.try_wait().expect("waiting for a child"));
        if status.is_none() {
            let _ = child.kill();
            let _ = child.wait();
        }
        (status, stdout.join().expect("a reader"), stderr.join().expect("a reader"))
    });
    let (Some(status), stdout, stderr) = status else {
        panic!("{name} did not end within {} s: {}", limit.as_secs(), status.2)
    };
    let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Finished { status, stdout, stderr }
}

fn read_all(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}
