//! The attacks of slowhttptest, a program that others wrote to find servers that can be held up.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::process;

/// Whether it is there.
pub(super) fn is_installed() -> bool {
    Command::new("slowhttptest").arg("-h").output().is_ok()
}

/// Runs one of its attacks for 20 s; it asks itself meanwhile whether the server still serves.
pub(super) async fn run(
    address: SocketAddr,
    mode: &'static str,
    connections: usize,
) -> Vec<(Option<bool>, String)> {
    let attack = tokio::task::spawn_blocking(move || {
        let mut command = Command::new("slowhttptest");
        command.args([
            mode,
            "-c",
            &connections.to_string(),
            "-r",
            "200",
            "-i",
            "5",
            "-l",
            "20",
            "-x",
            "24",
            "-p",
            "3",
        ]);
        command.args(["-t", "POST", "-u", &format!("https://{address}/mutate")]);
        process::run(command, b"", Duration::from_secs(120))
    });
    let finished = attack.await.expect("the attack ends");
    let text = format!("{}{}", finished.stdout, finished.stderr);
    let plain = without_colours(&text);
    let last = |what: &str| {
        let line = plain.lines().rev().find(|line| line.trim_start().starts_with(what));
        line.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default()
    };
    let mut found =
        vec![(None, ["initializing", "pending", "connected", "error", "closed"].map(last).join(", "))];
    found.push((None, last("service available")));
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
