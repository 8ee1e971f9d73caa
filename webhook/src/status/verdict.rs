//! What a catalog says of each profile, in the words of conditions. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::api::names::{INJECT_ENABLED, INJECT_LABEL};
use crate::api::{KIND, Mode};
use crate::catalog::{Catalog, CompiledProfile, Problem, ProblemKind};
use crate::sources::cluster::{Observed, ObservedProfiles};

/// Longest message of a condition, in bytes; also that of an Event.
const MESSAGE_BYTES: usize = 1024;

/// What a condition is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Whether pods are given what the spec says.
    Ready,
    /// Whether every source is there.
    SourcesFound,
    /// Whether another profile claims a namespace equally.
    Conflict,
    /// Whether something may surprise the owner.
    Warnings,
}

impl Kind {
    /// As the status calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::SourcesFound => "SourcesFound",
            Self::Conflict => "Conflict",
            Self::Warnings => "Warnings",
        }
    }
}

/// Why a condition is as it is: every reason that can stand in a status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// Pods are given what the spec says.
    Serving,
    /// The profile exists to be extended.
    OnlyExtended,
    /// Mode Audit: decided and counted, nothing is changed.
    AuditOnly,
    /// Mode Off.
    SwitchedOff,
    /// What is written is not possible.
    Invalid,
    /// A source is missing.
    SourcesMissing,
    /// The files are too many or too large.
    TooLarge,
    /// Files of a Secret may not travel like this without client authentication.
    ClientAuthRequired,
    /// Every source is there.
    AllFound,
    /// The spec has mistakes, so the sources were not looked for.
    NotChecked,
    /// Two profiles claim a namespace.
    ClaimedTwice,
    /// No other profile claims one of the namespaces equally.
    ClaimedOnce,
    /// There is something to look at.
    Advice,
    /// There is nothing to say.
    NoAdvice,
}

impl Reason {
    /// As the status calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "Serving",
            Self::OnlyExtended => "OnlyExtended",
            Self::AuditOnly => "AuditOnly",
            Self::SwitchedOff => "SwitchedOff",
            Self::Invalid => "Invalid",
            Self::SourcesMissing => "SourcesMissing",
            Self::TooLarge => "TooLarge",
            Self::ClientAuthRequired => "ClientAuthRequired",
            Self::AllFound => "AllFound",
            Self::NotChecked => "NotChecked",
            Self::ClaimedTwice => "ClaimedTwice",
            Self::ClaimedOnce => "ClaimedOnce",
            Self::Advice => "Advice",
            Self::NoAdvice => "NoAdvice",
        }
    }
}

/// One condition, but for the time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// What it is about.
    pub kind: Kind,
    /// Whether it holds; nothing where that is not known.
    pub holds: Option<bool>,
    /// Why.
    pub reason: Reason,
    /// For people: where, what, what to do. Never content of a file.
    pub message: String,
}

/// Everything that the status writer says of a profile.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// Of which object.
    pub uid: String,
    /// Of which spec.
    pub generation: i64,
    /// The conditions.
    pub findings: [Finding; 4],
    /// Revision of the files, of the last usable ones where the profile is not usable now.
    pub revision: Option<String>,
    /// How many namespaces opted in and are served.
    pub served: i64,
}

/// The verdicts on all profiles, by name.
pub type Verdicts = BTreeMap<String, Verdict>;

/// Judges every profile that the catalog was compiled from.
pub fn judge(catalog: &Catalog, profiles: &ObservedProfiles) -> Verdicts {
    let warnings = catalog.warnings();
    let (mut problems, mut warnings) = (by_subject(catalog.problems()), by_subject(&warnings));
    let served = catalog.served();
    let serving: HashMap<&str, &CompiledProfile> =
        catalog.profiles().into_iter().map(|profile| (profile.name.as_str(), profile)).collect();
    let judge = |(name, observed): (&String, &std::sync::Arc<Observed>)| {
        let subject = format!("{KIND} {name}");
        let (conflicts, mistakes): (Vec<&Problem>, Vec<&Problem>) = problems
            .remove(subject.as_str())
            .unwrap_or_default()
            .into_iter()
            .partition(|problem| problem.kind == ProblemKind::Conflict);
        let warnings = warnings.remove(subject.as_str()).unwrap_or_default();
        let (serving, wanted) = (serving.get(name.as_str()).copied(), catalog.wanted_revision(name));
        let served = served.get(name.as_str()).map_or(0, Vec::len);
        let verdict = Verdict {
            uid: observed.uid.clone(),
            generation: observed.generation,
            findings: [
                ready(observed, &mistakes, serving, wanted, served),
                sources_found(&mistakes),
                conflict(&conflicts),
                advice(&warnings),
            ],
            revision: wanted.map(ToOwned::to_owned),
            served: i64::try_from(served).unwrap_or(i64::MAX),
        };
        (name.clone(), verdict)
    };
    profiles.iter().map(judge).collect()
}

fn by_subject(problems: &[Problem]) -> HashMap<&str, Vec<&Problem>> {
    let mut by_subject: HashMap<&str, Vec<&Problem>> = HashMap::new();
    for problem in problems {
        by_subject.entry(&problem.subject).or_default().push(problem);
    }
    by_subject
}

fn ready(
    observed: &Observed,
    mistakes: &[&Problem],
    serving: Option<&CompiledProfile>,
    wanted: Option<&str>,
    served: usize,
) -> Finding {
    let finding =
        |holds, reason, message: String| Finding { kind: Kind::Ready, holds: Some(holds), reason, message };
    let (Some(serving), Some(wanted), []) = (serving, wanted, mistakes) else {
        let state = match serving {
            Some(last) => format!("revision {} keeps serving until this is mended: ", last.revision),
            None => "nothing can be served, and pods are refused where it should: ".to_owned(),
        };
        return finding(false, cause(mistakes), list(&state, mistakes));
    };
    let (reason, message) = match serving.mode {
        _ if !observed.claims_namespaces => {
            (Reason::OnlyExtended, "without spec.namespaces it exists to be extended".to_owned())
        }
        Mode::Off => (Reason::SwitchedOff, "mode Off: as if its namespaces had not opted in".to_owned()),
        Mode::Audit => {
            (Reason::AuditOnly, "mode Audit: decided, logged and counted, nothing is changed".to_owned())
        }
        Mode::Enforce if served == 0 => (
            Reason::Serving,
            format!(
                "revision {wanted} is ready and given to nobody: none of its namespaces is labelled {INJECT_LABEL}: {INJECT_ENABLED}, or others serve them"
            ),
        ),
        Mode::Enforce if serving.revision == wanted => {
            (Reason::Serving, format!("pods are given revision {wanted}"))
        }
        Mode::Enforce => (
            Reason::Serving,
            format!("pods are given revision {} until {wanted} is in their namespaces", serving.revision),
        ),
    };
    finding(true, reason, message)
}

/// The first kind of mistake that has to be mended: others may follow from it.
fn cause(mistakes: &[&Problem]) -> Reason {
    let has = |kind| mistakes.iter().any(|problem| problem.kind == kind);
    if has(ProblemKind::Invalid) {
        Reason::Invalid
    } else if has(ProblemKind::Source) {
        Reason::SourcesMissing
    } else if has(ProblemKind::ClientAuthRequired) {
        Reason::ClientAuthRequired
    } else if has(ProblemKind::TooLarge) {
        Reason::TooLarge
    } else {
        Reason::Invalid
    }
}

fn sources_found(mistakes: &[&Problem]) -> Finding {
    let missing: Vec<&Problem> =
        mistakes.iter().filter(|problem| problem.kind == ProblemKind::Source).copied().collect();
    let unknown = mistakes.iter().any(|problem| problem.kind == ProblemKind::Invalid);
    let (holds, reason, message) = if !missing.is_empty() {
        (Some(false), Reason::SourcesMissing, list("", &missing))
    } else if unknown {
        (None, Reason::NotChecked, "the spec has mistakes, see Ready".to_owned())
    } else {
        (Some(true), Reason::AllFound, "every source is there".to_owned())
    };
    Finding { kind: Kind::SourcesFound, holds, reason, message }
}

fn conflict(conflicts: &[&Problem]) -> Finding {
    let (holds, reason, message) = if conflicts.is_empty() {
        (false, Reason::ClaimedOnce, "no other profile claims its namespaces equally".to_owned())
    } else {
        (true, Reason::ClaimedTwice, list("", conflicts))
    };
    Finding { kind: Kind::Conflict, holds: Some(holds), reason, message }
}

fn advice(warnings: &[&Problem]) -> Finding {
    let (holds, reason, message) = if warnings.is_empty() {
        (false, Reason::NoAdvice, "nothing to look at".to_owned())
    } else {
        (true, Reason::Advice, list("", warnings))
    };
    Finding { kind: Kind::Warnings, holds: Some(holds), reason, message }
}

/// As many problems as there is room for, and how many more there are.
fn list(beginning: &str, problems: &[&Problem]) -> String {
    let mut text = beginning.to_owned();
    for (index, problem) in problems.iter().enumerate() {
        let separator = if index == 0 { "" } else { "; " };
        let place = if problem.path.is_empty() { String::new() } else { format!("{}: ", problem.path) };
        let next = format!("{separator}{place}{}", problem.message);
        let more = format!("; and {} more", problems.len() - index);
        if index > 0 && text.len() + next.len() + more.len() > MESSAGE_BYTES {
            text.push_str(&more);
            break;
        }
        text.push_str(&next);
    }
    let end = (0..=MESSAGE_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or_default());
    text
}
