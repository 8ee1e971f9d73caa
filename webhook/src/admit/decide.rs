//! Inject, skip or deny: the decision on one request, from the request and the catalog alone.

use super::plan::{Isolation, NodeSelector, Plan};
use super::pod::Pod;
use super::reinvoked::{self, Stranger};
use super::review::Request;
use super::spark_container::find_spark_container;
use crate::api::names::{
    EXCLUDED_NAMESPACES, INJECT_DISABLED, INJECT_LABEL, ISOLATE_LABEL, MIRROR_ANNOTATION, SPARK_ROLE_LABEL,
    STATUS_ANNOTATION, VARIANT_LABEL,
};
use crate::api::{Mode, Role};
use crate::catalog::{Catalog, CompiledProfile, NamespaceEntry, Service};

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
    /// The pod is going away already.
    Terminating,
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
            Self::Terminating => "terminating",
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
            Self::Terminating => "the pod is being deleted",
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

/// What a revision of the profile does with a pod.
type Judge = for<'c> fn(&'c CompiledProfile, &NamespaceEntry<'c>, &Pod<'_>, Option<Role>) -> Step<'c>;

/// A pod that was given something before, and what others may have given it.
#[derive(Debug)]
pub(super) struct Reinvoked<'c> {
    entry: NamespaceEntry<'c>,
    judge: Judge,
    /// Further revisions that may have given the pod what it has.
    others: Vec<&'c CompiledProfile>,
    /// Set where none is known that did.
    stranger: Option<Stranger>,
}

/// A decision, and what is known about the request by then.
#[derive(Debug)]
pub(super) struct Decision<'c> {
    /// The profile that serves the namespace.
    pub profile: Option<&'c CompiledProfile>,
    /// Whether the profile only watches.
    pub audit: bool,
    /// Role of the pod.
    pub role: Option<Role>,
    /// What to do.
    pub step: Step<'c>,
    /// Set where the pod has a status annotation.
    pub reinvoked: Option<Reinvoked<'c>>,
}

impl<'c> Decision<'c> {
    /// Notes what a pod says that it was given before.
    fn remember(&mut self, entry: NamespaceEntry<'c>, judge: Judge, pod: &Pod<'_>) {
        if pod.annotation(STATUS_ANNOTATION).is_some() {
            let stranger = Stranger::of(&entry, pod);
            self.reinvoked = Some(Reinvoked { entry, judge, others: Vec::new(), stranger });
        }
    }

    /// What the pod says that it was given, where nobody here knows of it. In mode Audit nobody is asked to wait.
    pub(super) fn stranger(&self) -> Option<&Stranger> {
        self.reinvoked.as_ref()?.stranger.as_ref().filter(|_| !self.audit)
    }

    /// The decision by another revision that may have given the pod what it has, where this one refuses it.
    pub(super) fn by_another_revision(&self, request: &Request<'_>) -> Option<Self> {
        let Reinvoked { entry, judge, others, .. } = self.reinvoked.as_ref()?;
        let (profile, others) = others.split_first()?;
        let step = judge(profile, entry, request.object.as_ref()?, self.role);
        Some(Self {
            profile: Some(profile),
            audit: self.audit,
            role: self.role,
            step,
            reinvoked: Some(Reinvoked {
                entry: *entry,
                judge: *judge,
                others: others.to_vec(),
                stranger: None,
            }),
        })
    }
}

/// Decides whether a Spark pod is injected.
pub(super) fn decide<'c>(catalog: &'c Catalog, request: &Request<'_>) -> Decision<'c> {
    decided(|decision| decide_step(catalog, request, decision))
}

/// Decides whether a pod, Spark's or not, is held to the nodes of its namespace.
pub(super) fn decide_isolation<'c>(catalog: &'c Catalog, request: &Request<'_>) -> Decision<'c> {
    decided(|decision| isolation_step(catalog, request, decision))
}

fn decided<'c>(by: impl FnOnce(&mut Decision<'c>) -> Result<Step<'c>, Denial>) -> Decision<'c> {
    let mut decision =
        Decision { profile: None, audit: false, role: None, step: Step::Wait, reinvoked: None };
    decision.step = match by(&mut decision) {
        Ok(step) => step,
        Err(denial) => Step::Deny(denial),
    };
    decision
}

/// Whether [`decide`] looks at the spec of a pod.
pub(super) fn needs_spec(catalog: &Catalog, request: &Request<'_>, pod: &Pod<'_>) -> bool {
    // What was given to a pod before is judged by its init containers, also where it opted out.
    let opted_out = opts_out(pod) && pod.annotation(STATUS_ANNOTATION).is_none();
    !opted_out && injectable(catalog, request, pod).is_ok()
}

/// Whether [`decide_isolation`] looks at the spec of a pod.
pub(super) fn isolation_needs_spec(catalog: &Catalog, request: &Request<'_>, pod: &Pod<'_>) -> bool {
    isolatable(catalog, request, pod).is_ok()
}

/// Namespace and role of a pod that is to be injected, as far as can be told without its spec; else what to do instead.
fn injectable<'c>(
    catalog: &'c Catalog,
    request: &Request<'_>,
    pod: &Pod<'_>,
) -> Result<(NamespaceEntry<'c>, Role), Step<'static>> {
    if !creates_pod(request) {
        return Err(Step::Skip(Skip::NotAPodCreation));
    }
    let role = role_of(pod).ok_or(Step::Skip(Skip::NotSpark))?;
    let entry = reachable(catalog, request, pod)?;
    if !entry.opted_in {
        return Err(Step::Skip(Skip::NamespaceNotOptedIn));
    }
    if entry.mode == Mode::Off {
        return Err(Step::Skip(Skip::ModeOff));
    }
    Ok((entry, role))
}

/// Namespace of a pod that is to be held to its nodes, in the manner of [`injectable`].
fn isolatable<'c>(
    catalog: &'c Catalog,
    request: &Request<'_>,
    pod: &Pod<'_>,
) -> Result<NamespaceEntry<'c>, Step<'static>> {
    if !creates_pod(request) {
        return Err(Step::Skip(Skip::NotAPodCreation));
    }
    let entry = reachable(catalog, request, pod)?;
    if !entry.isolated {
        return Err(Step::Skip(Skip::NamespaceNotIsolated));
    }
    if entry.mode == Mode::Off {
        return Err(Step::Skip(Skip::ModeOff));
    }
    Ok(entry)
}

/// The namespace of a pod that can be changed.
fn reachable<'c>(
    catalog: &'c Catalog,
    request: &Request<'_>,
    pod: &Pod<'_>,
) -> Result<NamespaceEntry<'c>, Step<'static>> {
    let namespace = request.namespace.as_deref().unwrap_or_default();
    if EXCLUDED_NAMESPACES.contains(&namespace) || namespace == catalog.own_namespace() {
        return Err(Step::Skip(Skip::ExcludedNamespace));
    }
    // No kubelet runs a pod because the API server has a mirror of it: forging one gains nothing.
    if pod.annotation(MIRROR_ANNOTATION).is_some() {
        return Err(Step::Skip(Skip::MirrorPod));
    }
    if pod.metadata.as_ref().is_some_and(|metadata| metadata.deletion_timestamp.is_some()) {
        return Err(Step::Skip(Skip::Terminating));
    }
    catalog.namespace(namespace).ok_or(Step::Wait)
}

fn decide_step<'c>(
    catalog: &'c Catalog,
    request: &Request<'_>,
    decision: &mut Decision<'c>,
) -> Result<Step<'c>, Denial> {
    let Some(pod) = request.object.as_ref().filter(|_| creates_pod(request)) else {
        return Ok(Step::Skip(Skip::NotAPodCreation));
    };
    decision.role = role_of(pod);
    let (entry, role) = match injectable(catalog, request, pod) {
        Ok(found) => found,
        Err(instead) => return Ok(instead),
    };
    decision.audit = entry.mode == Mode::Audit;
    // Not asked of a pod that opted out: its spec has not been read.
    if !opts_out(pod) && is_for_windows(pod) {
        return Ok(Step::Skip(Skip::Windows));
    }
    decision.remember(entry, injection_under, pod);
    let profile = serving(&entry, request, INJECT_LABEL)?;
    let (first, others) = reinvoked::revisions(&entry, profile, pod, role);
    decision.profile = Some(first);
    if let Some(reinvoked) = &mut decision.reinvoked {
        reinvoked.others = others;
    }
    Ok(injection_under(first, &entry, pod, Some(role)))
}

fn injection_under<'c>(
    profile: &'c CompiledProfile,
    entry: &NamespaceEntry<'c>,
    pod: &Pod<'_>,
    role: Option<Role>,
) -> Step<'c> {
    let Some(role) = role else { return Step::Skip(Skip::NotSpark) };
    injection(profile, entry, pod, role).unwrap_or_else(Step::Deny)
}

fn injection<'c>(
    profile: &'c CompiledProfile,
    entry: &NamespaceEntry<'c>,
    pod: &Pod<'_>,
    role: Role,
) -> Result<Step<'c>, Denial> {
    if opts_out(pod) {
        return opt_out(profile);
    }
    let plan = profile
        .plan(role, pod.label(VARIANT_LABEL))
        .map_err(|names| unknown_variant(profile, pod, &names))?;
    let spark = find_spark_container(pod, plan)?;
    Ok(Step::Inject { plan, spark, selector: entry.selector_under(profile) })
}

fn isolation_step<'c>(
    catalog: &'c Catalog,
    request: &Request<'_>,
    decision: &mut Decision<'c>,
) -> Result<Step<'c>, Denial> {
    let Some(pod) = request.object.as_ref().filter(|_| creates_pod(request)) else {
        return Ok(Step::Skip(Skip::NotAPodCreation));
    };
    decision.role = role_of(pod);
    let entry = match isolatable(catalog, request, pod) {
        Ok(entry) => entry,
        Err(instead) => return Ok(instead),
    };
    decision.audit = entry.mode == Mode::Audit;
    decision.remember(entry, isolation_under, pod);
    // Whoever isolates a namespace wants no pod elsewhere, least of all while nobody can say where it belongs.
    let profile = serving(&entry, request, ISOLATE_LABEL)?;
    decision.profile = Some(profile);
    if let Some(reinvoked) = &mut decision.reinvoked {
        reinvoked.others = reinvoked::isolators(&entry, pod, decision.role);
    }
    Ok(isolation_under(profile, &entry, pod, decision.role))
}

fn isolation_under<'c>(
    profile: &'c CompiledProfile,
    entry: &NamespaceEntry<'c>,
    _: &Pod<'_>,
    role: Option<Role>,
) -> Step<'c> {
    let Some(isolation) = &profile.isolation else {
        return Step::Skip(Skip::NotIsolating);
    };
    let sign = !(entry.opted_in && role.is_some());
    Step::Isolate { isolation, selector: entry.selector_under(profile), sign }
}

/// The profile that serves a namespace with this label.
fn serving<'c>(
    entry: &NamespaceEntry<'c>,
    request: &Request<'_>,
    label: &str,
) -> Result<&'c CompiledProfile, Denial> {
    let namespace = request.namespace.as_deref().unwrap_or_default();
    match entry.service {
        Service::Profile(profile) => Ok(profile),
        Service::Broken { profile, problem } => Err(broken(namespace, profile, problem)),
        Service::None => Err(unclaimed(namespace, label)),
    }
}

fn role_of(pod: &Pod<'_>) -> Option<Role> {
    pod.label(SPARK_ROLE_LABEL).and_then(Role::from_label)
}

fn opts_out(pod: &Pod<'_>) -> bool {
    pod.label(INJECT_LABEL) == Some(INJECT_DISABLED)
}

fn creates_pod(request: &Request<'_>) -> bool {
    let is_core = |group: Option<&str>| group.is_none_or(str::is_empty);
    let resource = request.resource.as_ref();
    let is_pods = resource.is_none_or(|resource| {
        is_core(resource.group.as_deref()) && resource.resource.as_deref().is_none_or(|name| name == "pods")
    });
    let kind = request.kind.as_ref();
    let is_pod = kind.is_none_or(|kind| {
        is_core(kind.group.as_deref()) && kind.kind.as_deref().is_none_or(|name| name == "Pod")
    });
    let no_sub_resource = request.sub_resource.as_deref().is_none_or(str::is_empty);
    is_pods && is_pod && no_sub_resource && request.operation.as_deref() == Some("CREATE")
}

fn is_for_windows(pod: &Pod<'_>) -> bool {
    let os = pod.spec.as_ref().and_then(|spec| spec.os.as_ref());
    os.and_then(|os| os.name.as_deref()) == Some("windows")
}

fn opt_out<'c>(profile: &CompiledProfile) -> Result<Step<'c>, Denial> {
    if profile.allow_opt_out {
        return Ok(Step::OptOut);
    }
    Err(Denial::policy(
        "opt_out_forbidden",
        format!(
            "the pod is labelled {INJECT_LABEL}: {INJECT_DISABLED}, but profile {} allows no opt-out; remove the label",
            profile.name
        ),
    ))
}

fn broken(namespace: &str, profile: &str, problem: &str) -> Denial {
    Denial::policy(
        "profile_broken",
        format!(
            "SparkProfile {profile}, which serves namespace {namespace}, has an error that its owner must mend: {problem}"
        ),
    )
}

fn unclaimed(namespace: &str, label: &str) -> Denial {
    Denial::policy(
        "no_profile",
        format!(
            "namespace {namespace} is labelled {label}: enabled, but no SparkProfile serves it; its owner must name it in spec.namespaces of one, or remove the label"
        ),
    )
}

fn unknown_variant(profile: &CompiledProfile, pod: &Pod<'_>, names: &[&str]) -> Denial {
    let chosen = pod.label(VARIANT_LABEL).unwrap_or_default();
    let choice = if names.is_empty() {
        "it has none, remove the label".to_owned()
    } else {
        format!("choose one of {}, or remove the label", names.join(", "))
    };
    Denial::policy(
        "unknown_variant",
        format!(
            "the pod's label {VARIANT_LABEL} asks for variant {chosen}, which profile {} does not have; {choice}",
            profile.name
        ),
    )
}
