//! The one place that maps what was decided to what is answered, logged and counted.

use crate::api::Role;

/// How a request ended; a closed set, used as it is in logs and metric labels.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Outcome {
    /// What an injection would have done, in mode Audit.
    Audited,
    /// Refused: the user's or the owner's mistake.
    Denied,
    /// Our defect.
    Failed,
    /// Allowed with a patch.
    Injected,
    /// Not a review that we understand.
    Malformed,
    /// Allowed untouched.
    Skipped,
    /// Cannot be answered now; the API server is asked to retry.
    Unavailable,
    /// Allowed: everything was there already.
    Unchanged,
}

impl Outcome {
    /// The word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audited => "audited",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Injected => "injected",
            Self::Malformed => "malformed",
            Self::Skipped => "skipped",
            Self::Unavailable => "unavailable",
            Self::Unchanged => "unchanged",
        }
    }
}

/// What is logged and counted about one request; never anything of the payload.
#[derive(Clone, Debug)]
pub struct Record {
    /// How the request ended.
    pub outcome: Outcome,
    /// Why, as a word of a closed set.
    pub reason: &'static str,
    /// UID of the call; changes when the API server calls again.
    pub uid: String,
    /// Namespace of the request.
    pub namespace: String,
    /// Name of the pod, or its `generateName` where the API server has not named it yet.
    pub name: String,
    /// Operation of the request.
    pub operation: String,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// Role of the pod, where it has one.
    pub role: Option<Role>,
    /// Profile that serves the namespace.
    pub profile: String,
    /// Revision of the files that the pod gets.
    pub revision: String,
    /// Variant that the job chose.
    pub variant: String,
    /// The sentence that a refused user reads; empty otherwise.
    pub message: String,
}

/// An HTTP answer and its record.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status: 200 for every review that was understood, 4xx malformed, 500 our defect, 503 not now.
    pub status: u16,
    /// Whether `Retry-After: 1` and `Connection: close` go with it; the API server then tries again.
    pub retry: bool,
    /// Body: an AdmissionReview for status 200, a sentence of plain text otherwise.
    pub body: Vec<u8>,
    /// What is logged and counted.
    pub record: Record,
}

impl Answer {
    /// A body that is not an AdmissionReview. It is never echoed: it may hold secrets.
    pub fn malformed(message: &str) -> Self {
        Self {
            status: 400,
            retry: false,
            body: message.as_bytes().to_vec(),
            record: Record::new(Outcome::Malformed, "malformed", message),
        }
    }
}

impl Record {
    fn new(outcome: Outcome, reason: &'static str, message: &str) -> Self {
        Self {
            outcome,
            reason,
            uid: String::new(),
            namespace: String::new(),
            name: String::new(),
            operation: String::new(),
            dry_run: false,
            role: None,
            profile: String::new(),
            revision: String::new(),
            variant: String::new(),
            message: message.to_owned(),
        }
    }
}

/// What happened to one field, for a person who asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Put where nothing was.
    Added,
    /// The user's own value stays.
    Kept,
    /// The user's value gave way.
    Replaced,
    /// Taken away.
    Removed,
    /// What we would add is there already.
    Unchanged,
}

/// One field, what happened to it, and which line of which profile is the reason.
#[derive(Clone, Debug)]
pub struct Note {
    /// What happened.
    pub action: Action,
    /// The field, readable: `env MY_PROJECT_EXECUTOR of the Spark container`.
    pub field: String,
    /// The value in short; never a payload.
    pub value: String,
    /// The reason: `platform-base: spec.common.template.spec.tolerations[0]`.
    pub origin: String,
}

/// The judgement on one pod, for the command line.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What the record of the request would say: outcome, reason, profile, role, revision, variant, message.
    pub record: Record,
    /// Warnings that the user would see.
    pub warnings: Vec<String>,
    /// The patch: an array of RFC 6902 operations, empty where there is nothing to do.
    pub patch: serde_json::Value,
    /// Field by field what was done, in the order of the merge rules.
    pub notes: Vec<Note>,
    /// Names of the Secrets that the patched pod refers to and that we deliver.
    pub secrets: Vec<String>,
}

impl Default for Verdict {
    fn default() -> Self {
        Self {
            record: Record::new(Outcome::Skipped, "stub", ""),
            warnings: Vec::new(),
            patch: serde_json::Value::Array(Vec::new()),
            notes: Vec::new(),
            secrets: Vec::new(),
        }
    }
}
