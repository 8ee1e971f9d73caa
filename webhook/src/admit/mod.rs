//! One admission request, from bytes to bytes. Pure: no IO, no clock, no environment.
//!
//! `review` decodes what is needed, `decide` says inject, skip or deny, `plan` holds what to add in Kubernetes
//! words, `patch` turns it into RFC 6902 operations on the raw object, and `outcome` is the one place that
//! maps a decision to an answer, a log line and a metric.

mod outcome;

pub use outcome::{Action, Answer, Note, Outcome, Record, Verdict};
use serde_json::Value;

use crate::catalog::Catalog;

/// Answers the body of a `POST /mutate`.
pub fn review(_catalog: &Catalog, _body: &[u8]) -> Answer {
    Answer::malformed("stub")
}

/// Judges a pod as the webhook would if it were created in `namespace`: the same engine, byte for byte.
///
/// `pod` is the object as its author wrote it; the patch has paths relative to it.
pub fn judge(_catalog: &Catalog, _namespace: &str, _pod: &Value) -> Verdict {
    Verdict::default()
}
