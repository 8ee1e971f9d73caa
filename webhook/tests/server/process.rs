//! A server as a process of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Client, PATIENCE, get, write_pair};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_spark-injector");

/// A profile and the namespace that it serves.
pub(crate) const PROFILE: &str = r#"
apiVersion: spark-injector.io/v1alpha1
kind: SparkProfile
metadata: {name: team-a}
spec:
  namespaces: {names: [team-a]}
  executorRole: {name: MY_EXECUTOR, value: "true"}
---
apiVersion: v1
kind: Namespace
metadata: {name: team-a, labels: {spark-injector.io/inject: enabled}}
"#;

/// Serves [`PROFILE`] from a folder of its own.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) review: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) first_line: String,
    /// The lines of the standard error.
    pub(crate) logs: Receiver<String>,
    pub(crate) folder: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start(extra: &[&str]) -> Self {
        Self::run(Command::new(PROGRAM), extra)
    }

    /// The program by way of another one.
    pub(crate) fn run(mut command: Command, extra: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_pair(folder.path());
        fs::create_dir(folder.path().join("profiles")).unwrap();
        fs::write(folder.path().join("profiles/a.yaml"), PROFILE).unwrap();
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--poll", "50ms", "--tls-poll", "50ms"])
            .args(["--from", "profiles", "--tls-cert", "tls.crt", "--tls-key", "tls.key"])
            .args(extra)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first_line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first_line).unwrap();
        let (sender, logs) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let said: Value = serde_json::from_str(&first_line).unwrap_or_else(|_| {
            panic!("{first_line:?} {:?}", logs.iter().collect::<Vec<_>>());
        });
        let address = |name: &str| said["listening"][name].as_str().unwrap().parse().unwrap();
        Self { review: address("review"), admin: address("admin"), child, first_line, logs, folder }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.review, &self.folder.path().join("tls.crt")).unwrap()
    }

    /// A plain GET: status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        get(self.admin, path)
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// How the process ends.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The next line of the log that has this in it.
    pub(crate) fn wait_for_log(&self, what: &str) -> String {
        let started = Instant::now();
        while let Ok(line) = self.logs.recv_timeout(PATIENCE.saturating_sub(started.elapsed())) {
            if line.contains(what) {
                return line;
            }
        }
        panic!("no log line with {what}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Asks until it is so.
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
