//! Faults and load: replicas that come and go, hang and die, and clients that mean no good, while the API server goes
//! on creating pods. Each scene looks at what the API server says about the pods, says what it measured, and which of
//! its promises hold; [`Report`] prints them.
//!
//! | module | owns |
//! | --- | --- |
//! | [`stage`] | an API server, the Service path as it is installed, replicas behind it |
//! | [`load`] | pods that are created all the time, and what became of them |
//! | [`replicas`] | scenes: roll-outs, a replica that is killed, one that hangs |
//! | [`certificates`] | scene: certificates that live for seconds |
//! | [`hostile`] | scenes: slow, endless, many and broken clients |
//! | [`idle`] | scene: connections that nobody uses for a while |
//! | [`scanners`] | scene: what programs find that look for weak TLS |
//! | [`soak`] | scene: a long time at full speed |
//! | [`vitals`] | memory and descriptors of a process |

pub mod certificates;
pub mod hostile;
pub mod idle;
pub mod load;
pub mod replicas;
pub mod scanners;
pub mod slowhttptest;
pub mod soak;
pub mod stage;
pub mod vitals;

mod client;

use std::fmt::{Display, Write as _};
use std::path::Path;
use std::process::Command;
use std::process::ExitCode;

/// What the scenes found.
#[derive(Debug, Default)]
pub struct Report {
    findings: Vec<Finding>,
}

/// One scene.
#[derive(Debug)]
pub struct Finding {
    title: String,
    measured: Vec<String>,
    broken: Vec<String>,
    skipped: Option<String>,
}

impl Finding {
    /// A scene of this title, with nothing found yet.
    pub fn new(title: &str) -> Self {
        eprintln!("{title} …");
        Self { title: title.to_owned(), measured: Vec::new(), broken: Vec::new(), skipped: None }
    }

    /// A figure.
    pub fn measured(&mut self, what: impl Display) {
        eprintln!("  {what}");
        self.measured.push(what.to_string());
    }

    /// A promise: broken when it does not hold.
    pub fn promise(&mut self, holds: bool, what: impl Display) {
        if holds {
            self.measured(format_args!("holds: {what}"));
        } else {
            eprintln!("  BROKEN: {what}");
            self.broken.push(what.to_string());
        }
    }

    /// The scene could not be played.
    #[must_use]
    pub fn skipped(mut self, why: &str) -> Self {
        eprintln!("  skipped: {why}");
        self.skipped = Some(why.to_owned());
        self
    }
}

impl Report {
    /// Adds what a scene found.
    pub fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Writes the whole below `heading`, to the file or else to the standard error, and says which promises do not hold.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn finish(&self, file: Option<&Path>, heading: &str) -> ExitCode {
        let text = heading.to_owned() + &self.markdown();
        match file {
            Some(file) => {
                std::fs::write(file, &text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                eprintln!("report: {}", file.display());
            }
            None => eprintln!("{text}"),
        }
        let broken = self.broken();
        for line in &broken {
            eprintln!("BROKEN: {line}");
        }
        if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// The promises that do not hold, with the title of their scene.
    pub fn broken(&self) -> Vec<String> {
        let of = |finding: &Finding| {
            finding.broken.iter().map(|what| format!("{}: {what}", finding.title)).collect::<Vec<_>>()
        };
        self.findings.iter().flat_map(of).collect()
    }

    /// The whole, as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let _ = write!(text, "\n## {}\n\n", finding.title);
            if let Some(why) = &finding.skipped {
                let _ = writeln!(text, "Not played: {why}.");
            }
            for line in &finding.measured {
                let _ = writeln!(text, "- {line}");
            }
            for line in &finding.broken {
                let _ = writeln!(text, "- **broken**: {line}");
            }
        }
        text
    }
}

/// Whether there is such a program.
fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--help").output().is_ok()
}
