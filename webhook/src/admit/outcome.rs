//! The one place that maps what was decided to what is answered, logged, counted and told.

use serde_json::Value;

use super::decision::{Decision, Denial, Skip, Step};
use super::merge::Merged;
use super::parts::Parts;
use super::patch::Patch;
use super::plan::Plan;
use super::review::{Audit, MAX_MESSAGE_BYTES, MAX_WARNING_CHARS, Request, Response, cut, encode};
use crate::api::Role;
use crate::api::names::{INIT_CONTAINER, STATUS_ANNOTATION};

/// How a request ended; a closed set, used as it is in logs and metric labels.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Outcome {
    /// What an injection or a refusal would have been, in mode Audit.
    Audited,
    /// Refused: the user's or the owner's mistake.
    Denied,
    /// Our defect.
    Failed,
    /// Allowed with a patch.
    Injected,
    /// Allowed with a patch that holds the pod to the nodes of its namespace.
    Isolated,
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
            Self::Isolated => "isolated",
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
    /// The sentence for a person; empty where there is nothing to say.
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
    pub body: Parts,
    /// What is logged and counted.
    pub record: Record,
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
    /// The field, readable: `env MY_PROJECT_EXECUTOR`.
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
    pub patch: Value,
    /// Field by field what was done, in the order of the merge rules.
    pub notes: Vec<Note>,
    /// Names of the Secrets that the patched pod refers to and that we deliver.
    pub secrets: Vec<String>,
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

impl Answer {
    /// Whether a newer catalog may know better. The API server asks about namespaces that carry the label, so whoever does
    /// not know the namespace, or not its label, may be behind.
    pub fn may_be_behind(&self) -> bool {
        let unlabelled = [Skip::NamespaceNotOptedIn.reason(), Skip::NamespaceNotIsolated.reason()];
        match self.record.outcome {
            Outcome::Unavailable => true,
            Outcome::Skipped => unlabelled.contains(&self.record.reason),
            _ => false,
        }
    }

    /// A body that is not an AdmissionReview. It is never echoed: it may hold secrets.
    pub fn malformed(message: &str) -> Self {
        Self {
            status: 400,
            retry: false,
            body: message.to_owned().into(),
            record: Record::new(Outcome::Malformed, "malformed", message),
        }
    }

    /// Our defect: the failure policy decides. Without `Retry-After`, or the API server would run into it again.
    pub fn failed() -> Self {
        Self {
            status: 500,
            retry: false,
            body: INTERNAL.into(),
            record: Record::new(Outcome::Failed, "internal", INTERNAL),
        }
    }
}

impl Verdict {
    /// An object that only claims to be a pod.
    pub(super) fn malformed(message: &str) -> Self {
        Self {
            record: Record::new(Outcome::Malformed, "malformed", message),
            warnings: Vec::new(),
            patch: Value::Array(Vec::new()),
            notes: Vec::new(),
            secrets: Vec::new(),
        }
    }
}

const INTERNAL: &str = "internal error of spark-injector; its log says more";

/// What a replica that is a step behind does not know yet.
#[derive(Clone, Copy)]
pub(super) enum Unavailable<'d> {
    /// The namespace of the request.
    Namespace,
    /// What a pod was given, and why what is known refuses it.
    Plan(Option<&'d Denial>),
}

/// How a request ended, with all that an answer or a verdict is made of.
pub(super) struct Ending<'e> {
    decision: &'e Decision<'e>,
    plan: Option<&'e Plan>,
    merged: Option<&'e Merged<'e>>,
    patch: Option<&'e Patch<'e>>,
    outcome: Outcome,
    reason: &'static str,
    denial: Option<&'e Denial>,
    message: String,
    warnings: Vec<String>,
}

impl<'e> Ending<'e> {
    fn new(decision: &'e Decision<'e>, outcome: Outcome, reason: &'static str) -> Self {
        Self {
            decision,
            plan: None,
            merged: None,
            patch: None,
            outcome,
            reason,
            denial: None,
            message: String::new(),
            warnings: Vec::new(),
        }
    }

    /// The plan was merged.
    pub(super) fn injected(decision: &'e Decision<'e>, plan: &'e Plan, merged: &'e Merged<'e>) -> Self {
        let words = [(Outcome::Injected, "injected"), (Outcome::Audited, "would_inject")];
        let mut ending = Self::merged(decision, merged, words);
        ending.plan = Some(plan);
        ending
    }

    /// The pod is held to the nodes of its namespace.
    pub(super) fn isolated(decision: &'e Decision<'e>, merged: &'e Merged<'e>) -> Self {
        Self::merged(decision, merged, [(Outcome::Isolated, "isolated"), (Outcome::Audited, "would_isolate")])
    }

    /// Something is to be done, or would be in mode Audit: there the patch is shown to whoever asks, and given to nobody.
    fn merged(
        decision: &'e Decision<'e>,
        merged: &'e Merged<'e>,
        [done, audited]: [(Outcome, &'static str); 2],
    ) -> Self {
        let (outcome, reason) = match (merged.patch.is_empty(), decision.audit) {
            (true, _) => (Outcome::Unchanged, "complete"),
            (false, true) => audited,
            (false, false) => done,
        };
        let mut ending = Self::new(decision, outcome, reason);
        ending.merged = Some(merged);
        ending.patch = (!decision.audit).then_some(&merged.patch);
        ending.warnings = merged.warnings();
        if outcome == Outcome::Audited {
            let profile = decision.profile.map_or("", |profile| &profile.name);
            ending.message = format!("profile {profile} is in mode Audit: nothing was injected");
            ending.warnings.insert(0, cut(&ending.message, MAX_WARNING_CHARS).to_owned());
        }
        ending
    }

    /// A refusal; in mode Audit a warning.
    pub(super) fn denied(decision: &'e Decision<'e>, plan: Option<&'e Plan>, denial: &'e Denial) -> Self {
        let outcome = if decision.audit { Outcome::Audited } else { Outcome::Denied };
        let mut ending = Self::new(decision, outcome, denial.reason);
        ending.plan = plan;
        cut(&denial.message, MAX_MESSAGE_BYTES).clone_into(&mut ending.message);
        if decision.audit {
            let warning = format!("spark-injector would refuse this pod: {}", denial.message);
            ending.warnings.push(cut(&warning, MAX_WARNING_CHARS).to_owned());
        } else {
            ending.denial = Some(denial);
        }
        ending
    }

    /// The pod opted out, and its profile allows it. In mode Audit nothing is written, as ever.
    pub(super) fn opted_out(decision: &'e Decision<'e>, patch: &'e Patch<'e>) -> Self {
        let mut ending = Self::new(decision, Outcome::Skipped, "opt_out");
        ending.patch = (!decision.audit).then_some(patch);
        "the pod opted out, and its profile allows it".clone_into(&mut ending.message);
        ending
    }

    /// The pod is left alone.
    pub(super) fn skipped(decision: &'e Decision<'e>, skip: Skip) -> Self {
        let mut ending = Self::new(decision, Outcome::Skipped, skip.reason());
        skip.sentence().clone_into(&mut ending.message);
        if skip.is_surprising() {
            ending.warnings.push(format!("spark-injector left this pod alone: {}", skip.sentence()));
        }
        ending
    }

    /// What is asked for is not known yet.
    pub(super) fn unavailable(decision: &'e Decision<'e>, what: Unavailable<'_>) -> Self {
        let (reason, message) = match what {
            Unavailable::Namespace => {
                ("namespace_unknown", "the namespace is not known to spark-injector yet".to_owned())
            }
            Unavailable::Plan(denial) => {
                let known = denial.map(|denial| format!("; without it: {}", denial.message));
                (
                    "revision_unknown",
                    format!(
                        "the pod's annotation {STATUS_ANNOTATION} names something that is not known to this replica of spark-injector (yet); if it was copied from another pod, leave it and the init container {INIT_CONTAINER} out{}",
                        known.unwrap_or_default()
                    ),
                )
            }
        };
        let mut ending = Self::new(decision, Outcome::Unavailable, reason);
        cut(&message, MAX_MESSAGE_BYTES).clone_into(&mut ending.message);
        ending
    }

    /// A defect of ours that was noticed.
    pub(super) fn failed(decision: &'e Decision<'e>) -> Self {
        Self::new(decision, Outcome::Failed, "internal")
    }

    /// The HTTP answer.
    pub(super) fn answer(&self, request: &Request<'_>) -> Answer {
        let record = self.record(request);
        let (status, retry) = match self.outcome {
            Outcome::Unavailable => (503, true),
            Outcome::Failed => {
                return Answer { record, ..Answer::failed() };
            }
            _ => (200, false),
        };
        let body = if retry { self.message.clone().into() } else { self.encode(&record) };
        Answer { status, retry, body, record }
    }

    fn encode(&self, record: &Record) -> Parts {
        let response = match self.denial {
            Some(denial) => Response::Denied(denial.code, &self.message),
            None => Response::Allowed(self.patch),
        };
        let decision = [self.outcome.as_str(), self.reason];
        let audit = Audit { decision, profile: &record.profile, revision: &record.revision };
        encode(&record.uid, &response, &self.warnings, &audit)
    }

    /// The judgement for the command line.
    pub(super) fn verdict(&self, request: &Request<'_>) -> Verdict {
        let files = self.plan.and_then(|plan| plan.files.as_ref());
        let mut secrets: Vec<String> = files.map(|files| files.secrets.clone()).unwrap_or_default();
        secrets
            .extend(self.decision.profile.and_then(|profile| profile.pull_secret_name()).map(str::to_owned));
        Verdict {
            record: self.record(request),
            warnings: self.warnings.clone(),
            patch: self.patch.map_or_else(|| Value::Array(Vec::new()), Patch::to_json),
            notes: self.merged.map(Merged::notes).unwrap_or_default(),
            secrets: if self.patch.is_some() { secrets } else { Vec::new() },
        }
    }

    fn record(&self, request: &Request<'_>) -> Record {
        let pod = request.object.as_ref();
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let isolates = matches!(self.decision.step, Step::Isolate { .. });
        let files = self.decision.profile.filter(|_| !isolates);
        let named = request.name.as_deref().filter(|name| !name.is_empty());
        Record {
            outcome: self.outcome,
            reason: self.reason,
            uid: text(request.uid.as_deref()),
            namespace: text(request.namespace.as_deref()),
            name: text(named.or_else(|| pod.map(super::pod::Pod::display_name))),
            operation: text(request.operation.as_deref()),
            dry_run: request.dry_run.unwrap_or_default(),
            role: self.decision.role,
            profile: self.decision.profile.map(|profile| profile.name.clone()).unwrap_or_default(),
            revision: files.map(|profile| profile.revision.clone()).unwrap_or_default(),
            variant: text(self.plan.and_then(|plan| plan.variant.as_deref())),
            message: self.message.clone(),
        }
    }
}
