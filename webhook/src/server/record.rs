//! The one place where an admission becomes a log line and a metric.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use super::log::Log;
use super::metrics::Metrics;
use crate::admit::{Outcome, Record, cut};
use crate::text::one_line;

/// Where the lines of admissions go, and what they look like. They do not take the way through `tracing`: formatting
/// one there costs as much as judging a pod.
#[derive(Clone, Debug)]
pub struct AdmissionLog {
    /// Where they go.
    pub log: Log,
    /// What they look like.
    pub format: LogFormat,
}

/// What log lines look like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// An object of JSON.
    Json,
    /// For people.
    Text,
}

/// A line as `tracing` would write it: its own fields around those of the admission.
#[derive(Serialize)]
struct Line<'r> {
    timestamp: &'r str,
    level: &'static str,
    message: &'r str,
    uid: &'r str,
    namespace: &'r str,
    name: &'r str,
    operation: &'r str,
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    profile: &'r str,
    revision: &'r str,
    variant: &'r str,
    outcome: &'static str,
    reason: &'static str,
    duration_us: u64,
    target: &'static str,
}

/// Counts and logs one request. Never anything of its body: it may hold secrets.
pub(super) fn emit(metrics: &Metrics, log: Option<&AdmissionLog>, record: &Record, took: Duration) {
    metrics.count(record, took);
    let Some(AdmissionLog { log, format }) = log else { return };
    if !tracing::enabled!(target: "admission", tracing::Level::INFO) {
        return;
    }
    let mut timestamp = String::with_capacity(32);
    // A `String` takes everything.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let line = Line::of(record, &timestamp, took);
    log.add(&match format {
        LogFormat::Json => line.json(),
        LogFormat::Text => line.text(),
    });
}

/// The longest name that Kubernetes knows. A caller may send any, and the log keeps a megabyte for everybody.
const NAME_LIMIT: usize = 253;

impl<'r> Line<'r> {
    fn of(record: &'r Record, timestamp: &'r str, took: Duration) -> Self {
        Self {
            timestamp,
            level: "INFO",
            message: if record.outcome == Outcome::Denied { &record.message } else { "" },
            uid: cut(&record.uid, NAME_LIMIT),
            namespace: cut(&record.namespace, NAME_LIMIT),
            name: cut(&record.name, NAME_LIMIT),
            operation: cut(&record.operation, NAME_LIMIT),
            dry_run: record.dry_run,
            role: record.role.map(crate::api::Role::as_str),
            profile: &record.profile,
            revision: &record.revision,
            variant: &record.variant,
            outcome: record.outcome.as_str(),
            reason: record.reason,
            duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            target: "admission",
        }
    }

    fn json(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(512);
        // Strings and numbers into memory: nothing in it can fail.
        drop(serde_json::to_writer(&mut line, self));
        line.push(b'\n');
        line
    }

    fn text(&self) -> Vec<u8> {
        let Self { timestamp, level, message, dry_run, role, duration_us, target, .. } = self;
        let mut line = format!("{timestamp}  {level} {target}: ");
        line.push_str(&one_line(message));
        let texts = [
            ("uid", self.uid),
            ("namespace", self.namespace),
            ("name", self.name),
            ("operation", self.operation),
            ("role", role.unwrap_or_default()),
            ("profile", self.profile),
            ("revision", self.revision),
            ("variant", self.variant),
            ("outcome", self.outcome),
            ("reason", self.reason),
        ];
        for (key, value) in texts.into_iter().filter(|(_, value)| !value.is_empty()) {
            // Quoted: a caller may have put a line feed into it.
            let _ = write!(line, " {key}={value:?}");
        }
        let _ = writeln!(line, " dry_run={dry_run} duration_us={duration_us}");
        line.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Line<'_> = Line {
        timestamp: "2026-01-01T00:00:00Z",
        level: "INFO",
        message: "it asks for \"x\n\u{1b}[31m\", ä\u{202e}",
        uid: "u",
        namespace: "team-a",
        name: "a\nb",
        operation: "CREATE",
        dry_run: false,
        role: None,
        profile: "p",
        revision: "",
        variant: "",
        outcome: "injected",
        reason: "injected",
        duration_us: 7,
        target: "admission",
    };

    #[test]
    fn a_line_is_one_line_whatever_a_caller_sent() {
        let json = String::from_utf8(LINE.json()).unwrap();
        assert_eq!(
            json,
            "{\"timestamp\":\"2026-01-01T00:00:00Z\",\"level\":\"INFO\",\"message\":\"it asks for \\\"x\\n\\u001b[31m\\\", ä\u{202e}\",\"uid\":\"u\",\
             \"namespace\":\"team-a\",\"name\":\"a\\nb\",\"operation\":\"CREATE\",\"dry_run\":false,\"profile\":\"p\",\
             \"revision\":\"\",\"variant\":\"\",\"outcome\":\"injected\",\"reason\":\"injected\",\"duration_us\":7,\
             \"target\":\"admission\"}\n"
        );
        assert_eq!(
            String::from_utf8(LINE.text()).unwrap(),
            "2026-01-01T00:00:00Z  INFO admission: it asks for \"x\\n\\u{1b}[31m\", ä\\u{202e} uid=\"u\" namespace=\"team-a\" name=\"a\\nb\" operation=\"CREATE\" \
             profile=\"p\" outcome=\"injected\" reason=\"injected\" dry_run=false duration_us=7\n"
        );
    }

    #[test]
    fn what_a_caller_sent_is_not_logged_at_any_length() {
        let mut record = crate::admit::Answer::malformed("").record;
        for text in [&mut record.uid, &mut record.namespace, &mut record.name, &mut record.operation] {
            *text = "ä\n".repeat(1_000_000);
        }
        let line = Line::of(&record, "", Duration::ZERO);
        assert!(line.json().len() < 4_096 && line.text().len() < 4_096);
        assert_eq!(line.name.len(), 252, "whole characters");
    }
}
