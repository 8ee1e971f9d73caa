//! Scenes: the attacks of slowhttptest, a program that others wrote to find servers that can be held up.

use std::process::Command;
use std::time::Duration;

use super::Finding;
use super::hostile::{Force, Found, scene};
use super::is_installed;
use super::stage::Stage;
use crate::process;

/// One of its attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// Headers that never end.
    Headers,
    /// Bodies that never end.
    Bodies,
    /// Thousands of ranges in one header.
    Ranges,
    /// Answers that are read a few bytes at a time; of the metrics, which are longer than what a stranger gets for a
    /// review.
    Reads,
}

/// Longer than the deadlines of the server: it has to cut all of them before.
const SECONDS: &str = "25";

impl Attack {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Headers, Self::Bodies, Self::Ranges, Self::Reads];

    fn name(self) -> &'static str {
        match self {
            Self::Headers => "slow headers",
            Self::Bodies => "slow bodies",
            Self::Ranges => "range headers",
            Self::Reads => "slow reads",
        }
    }

    fn command(self, stage: &Stage, connections: usize) -> Command {
        let replica = &stage.replicas[0];
        let review = format!("https://{}/mutate", replica.review_address());
        let metrics = format!("http://{}/metrics", replica.admin_address());
        let slow = ["-i", "5", "-x", "24", "-t", "POST", "-u", &review];
        let (kind, more): (&str, &[&str]) = match self {
            Self::Headers => ("-H", &slow),
            Self::Bodies => ("-B", &[&["-f", "application/json"], &slow[..]].concat()),
            Self::Ranges => ("-R", &["-t", "POST", "-u", &review]),
            Self::Reads => {
                ("-X", &["-w", "10", "-y", "20", "-n", "5", "-z", "32", "-k", "10", "-u", &metrics])
            }
        };
        let mut command = Command::new("slowhttptest");
        command
            .args([kind, "-c", &connections.to_string(), "-r", "200", "-l", SECONDS, "-p", "3"])
            .args(more);
        command
    }

    /// Whether every connection has to be gone before the attack ends by itself. An answer that is not read may lie in
    /// the kernel, and then its connection is one of the idle ones.
    fn is_cut(self) -> bool {
        matches!(self, Self::Headers | Self::Bodies)
    }
}

/// These attacks, one after the other, where the program is installed.
pub fn all(stage: &Stage, force: &Force, attacks: &[Attack]) -> Vec<Finding> {
    if !is_installed("slowhttptest") {
        let why = "slowhttptest is not installed (Debian and Ubuntu have a package of that name)";
        return vec![Finding::new("slowhttptest").skipped(why)];
    }
    let play = |attack: &Attack| {
        let title = format!("slowhttptest: {}, {} connections", attack.name(), force.slow);
        scene(stage, force, &title, run(*attack, attack.command(stage, force.slow)))
    };
    attacks.iter().map(play).collect()
}

/// It asks meanwhile whether the server still serves somebody else.
async fn run(attack: Attack, command: Command) -> Found {
    let finished = tokio::task::spawn_blocking(|| process::run(command, b"", Duration::from_secs(180)));
    let finished = finished.await.expect("the attack ends");
    let text = without_colours(&format!("{}{}", finished.stdout, finished.stderr));
    let last = |what: &str| {
        let line = text.lines().rev().find(|line| line.trim_start().starts_with(what));
        line.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default()
    };
    let (end, status) = (last("Test ended"), last("Exit status"));
    let refused =
        text.lines().any(|line| line.trim_start().starts_with("service available") && line.contains("NO"));
    let mut found = vec![(None, format!("{end}; {status}"))];
    if attack.is_cut() {
        found
            .push((Some(status.ends_with("No open connections left")), "every connection is cut".to_owned()));
    }
    found.push((Some(!refused), "others find the service available all the while".to_owned()));
    found
}

/// It writes for a terminal.
fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character == '\x1b' {
            rest.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain
}
