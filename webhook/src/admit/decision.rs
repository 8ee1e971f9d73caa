//! What can be decided on a request, and the words for it. How it is decided is told in `decide`.

use super::plan::{Isolation, NodeSelector, Plan};
use super::reinvoked::Stranger;
use crate::api::Role;
use crate::catalog::{CompiledProfile, NamespaceEntry};

/// Why a pod is left alone. A closed set: the same word in logs, metrics and on the command line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Skip {
    /// The injector's own namespace and those of the control plane.
    ExcludedNamespace,
    /// A mirror pod of a static pod cannot be changed.
    MirrorPod,
    /// The profile is in mode Off.
    ModeOff,
    /// The namespace lacks the label.
    NamespaceNotOptedIn,
    /// The namespace lacks the label that isolates it.
    NamespaceNotIsolated,
    /// Not the creation of a pod.
    NotAPodCreation,
    /// The profile of an isolated namespace is about Spark pods alone.
    NotIsolating,
    /// Neither a driver nor an executor.
    NotSpark,
    /// The init container is a Linux program.
    Windows,
}

impl Skip {
    /// The word for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::ExcludedNamespace => "excluded_namespace",
            Self::MirrorPod => "mirror_pod",
            Self::ModeOff => "mode_off",
            Self::NamespaceNotIsolated => "namespace_not_isolated",
            Self::NamespaceNotOptedIn => "namespace_not_opted_in",
            Self::NotAPodCreation => "not_a_pod_creation",
            Self::NotIsolating => "profile_not_isolating",
            Self::NotSpark => "not_spark",
            Self::Windows => "windows",
        }
    }

    /// The sentence for a person who asks why.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::ExcludedNamespace => "pods of this namespace are never touched",
            Self::MirrorPod => "a mirror pod of a static pod cannot be changed",
            Self::ModeOff => "the profile of this namespace is in mode Off",
            Self::NamespaceNotIsolated => "the namespace is not labelled spark-injector.io/isolate: enabled",
            Self::NamespaceNotOptedIn => "the namespace is not labelled spark-injector.io/inject: enabled",
            Self::NotAPodCreation => "only the creation of pods is of interest",
            Self::NotIsolating => "the profile of this namespace does not have nodeSelector.scope: AllPods",
            Self::NotSpark => "the pod is no Spark driver or executor: its label spark-role says neither",
            Self::Windows => "the pod is for Windows, the init container is a Linux program",
        }
    }

    /// Whether the user should hear of it.
    pub fn is_surprising(self) -> bool {
        matches!(self, Self::Windows)
    }
}

/// A refusal: the user's or the owner's mistake, never ours.
#[derive(Clone, Debug)]
pub struct Denial {
    /// 403 where a rule forbids it, 422 where it cannot be done.
    pub code: u16,
    /// The word for logs and metrics.
    pub reason: &'static str,
    /// One sentence: what, where, what to do.
    pub message: String,
}

impl Denial {
    /// A rule of the profile or namespace forbids it.
    pub fn policy(reason: &'static str, message: String) -> Self {
        Self { code: 403, reason, message }
    }

    /// It cannot be done to this pod.
    pub fn unprocessable(reason: &'static str, message: String) -> Self {
        Self { code: 422, reason, message }
    }
}

/// What to do with a pod.
#[derive(Debug)]
pub(super) enum Step<'c> {
    /// Refuse it.
    Deny(Denial),
    /// Merge the plan into it.
    Inject {
        /// What to add.
        plan: &'c Plan,
        /// Index of the Spark container.
        spark: usize,
        /// Node selector of the namespace.
        selector: &'c NodeSelector,
    },
    /// Hold it to the nodes of its namespace.
    Isolate {
        /// What the profile says beside the node selector.
        isolation: &'c Isolation,
        /// Node selector of the namespace.
        selector: &'c NodeSelector,
        /// Whether the status annotation is this entry's to write; otherwise it is the one that injects.
        sign: bool,
    },
    /// Write down that it opted out, and leave it alone.
    OptOut,
    /// Leave it alone.
    Skip(Skip),
    /// The namespace is not known yet: ask the API server to try again.
    Wait,
}

/// A decision, and what is known about the request by then.
#[derive(Debug)]
pub(super) struct Decision<'c> {
    /// The profile by whose revision it was decided.
    pub profile: Option<&'c CompiledProfile>,
    /// Whether the profile only watches.
    pub audit: bool,
    /// Role of the pod.
    pub role: Option<Role>,
    /// What to do.
    pub step: Step<'c>,
    /// What the pod says that it was given before, where nobody here knows of it.
    pub stranger: Option<Stranger>,
    /// Who may decide otherwise.
    pub others: Option<Others<'c>>,
}

impl Decision<'_> {
    /// A decision that takes no profile.
    pub(super) fn without_profile(role: Option<Role>, step: Step<'static>) -> Self {
        Self { profile: None, audit: false, role, step, stranger: None, others: None }
    }
}

/// Further revisions of the profile that may have given a pod what it has, and what they are asked about it.
#[derive(Debug)]
pub(super) struct Others<'c> {
    pub entry: NamespaceEntry<'c>,
    pub question: Question,
    /// The best first.
    pub revisions: Vec<&'c CompiledProfile>,
}

/// What a revision of a profile is asked about a pod.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    /// What a pod of this role is given.
    Injection(Role),
    /// What holds the pod to the nodes of its namespace.
    Isolation {
        /// Whether the status annotation is this entry's to write.
        sign: bool,
    },
}
