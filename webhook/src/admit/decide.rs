//! Inject, isolate, skip or deny: the decision on one request, from the request and the catalog alone.

use super::decision::{Decision, Denial, Others, Question, Skip, Step};
use super::pod::Pod;
use super::reinvoked::{self, Stranger};
use super::review::Request;
use super::spark_container::find_spark_container;
use crate::api::names::{
    INJECT_DISABLED, INJECT_LABEL, ISOLATE_LABEL, MIRROR_ANNOTATION, SPARK_ROLE_LABEL, STATUS_ANNOTATION,
    VARIANT_LABEL,
};
use crate::api::{Mode, Role};
use crate::catalog::{Catalog, CompiledProfile, NamespaceEntry, Service};

/// Decides whether a Spark pod is injected.
pub(super) fn decide<'c>(catalog: &'c Catalog, request: &Request<'_>) -> Decision<'c> {
    let Some(pod) = created_pod(request) else {
        return Decision::without_profile(None, Step::Skip(Skip::NotAPodCreation));
    };
    let (entry, role) = match injectable(catalog, request, pod) {
        Ok(found) => found,
        Err(instead) => return Decision::without_profile(role_of(pod), instead),
    };
    // Not asked of a pod that opted out: its spec has not been read.
    if !opts_out(pod) && is_for_windows(pod) {
        return Decision::without_profile(Some(role), Step::Skip(Skip::Windows));
    }
    let judges = serving(&entry, request, INJECT_LABEL)
        .map(|serving| reinvoked::revisions(&entry, serving, pod, role));
    decided(entry, Question::Injection(role), judges, pod, Some(role))
}

/// Decides whether a pod, Spark's or not, is held to the nodes of its namespace.
pub(super) fn decide_isolation<'c>(catalog: &'c Catalog, request: &Request<'_>) -> Decision<'c> {
    let Some(pod) = created_pod(request) else {
        return Decision::without_profile(None, Step::Skip(Skip::NotAPodCreation));
    };
    let role = role_of(pod);
    let entry = match isolatable(catalog, request, pod) {
        Ok(entry) => entry,
        Err(instead) => return Decision::without_profile(role, instead),
    };
    // Whoever isolates a namespace wants no pod elsewhere, least of all while nobody can say where it belongs.
    let judges = serving(&entry, request, ISOLATE_LABEL)
        .map(|serving| (serving, reinvoked::isolators(&entry, pod, role)));
    let sign = !(entry.opted_in && role.is_some());
    decided(entry, Question::Isolation { sign }, judges, pod, role)
}

/// The decision by the first of the judges, who names the others; a refusal where there is none.
fn decided<'c>(
    entry: NamespaceEntry<'c>,
    question: Question,
    judges: Result<(&'c CompiledProfile, Vec<&'c CompiledProfile>), Denial>,
    pod: &Pod<'_>,
    role: Option<Role>,
) -> Decision<'c> {
    let audit = entry.mode == Mode::Audit;
    let stranger = Stranger::of(&entry, question, pod);
    match judges {
        Ok((profile, revisions)) => Decision {
            profile: Some(profile),
            audit,
            role,
            step: step_by(profile, question, &entry, pod),
            stranger,
            others: Some(Others { entry, question, revisions }),
        },
        Err(denial) => {
            Decision { profile: None, audit, role, step: Step::Deny(denial), stranger, others: None }
        }
    }
}

/// The decision by another revision that may have given the pod what it has, where this one refuses it.
pub(super) fn by_another_revision<'c>(refusal: &Decision<'c>, request: &Request<'_>) -> Option<Decision<'c>> {
    let Others { entry, question, revisions } = refusal.others.as_ref()?;
    let (profile, rest) = revisions.split_first()?;
    Some(Decision {
        profile: Some(profile),
        audit: refusal.audit,
        role: refusal.role,
        step: step_by(profile, *question, entry, request.object.as_ref()?),
        stranger: None,
        others: Some(Others { entry: *entry, question: *question, revisions: rest.to_vec() }),
    })
}

/// Whether [`decide`] looks at the spec of a pod.
pub(super) fn needs_spec(catalog: &Catalog, request: &Request<'_>, pod: &Pod<'_>) -> bool {
    // What was given to a pod before is judged by its init containers, also where it opted out.
    let opted_out = opts_out(pod) && pod.annotation(STATUS_ANNOTATION).is_none();
    creates_pod(request) && !opted_out && injectable(catalog, request, pod).is_ok()
}

/// Whether [`decide_isolation`] looks at the spec of a pod.
pub(super) fn isolation_needs_spec(catalog: &Catalog, request: &Request<'_>, pod: &Pod<'_>) -> bool {
    creates_pod(request) && isolatable(catalog, request, pod).is_ok()
}

/// Namespace and role of a pod that is to be injected, as far as can be told without its spec; else what to do instead.
fn injectable<'c>(
    catalog: &'c Catalog,
    request: &Request<'_>,
    pod: &Pod<'_>,
) -> Result<(NamespaceEntry<'c>, Role), Step<'static>> {
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
    if catalog.excludes(namespace) {
        return Err(Step::Skip(Skip::ExcludedNamespace));
    }
    // No kubelet runs a pod because the API server has a mirror of it: forging one gains nothing. (A date of deletion is
    // no reason to leave a pod alone: whoever applies a pod by the server may give it one.)
    if pod.annotation(MIRROR_ANNOTATION).is_some() {
        return Err(Step::Skip(Skip::MirrorPod));
    }
    catalog.namespace(namespace).ok_or(Step::Wait)
}

/// What one revision of the profile does with a pod.
fn step_by<'c>(
    profile: &'c CompiledProfile,
    question: Question,
    entry: &NamespaceEntry<'c>,
    pod: &Pod<'_>,
) -> Step<'c> {
    match question {
        Question::Injection(role) => injection(profile, entry, pod, role).unwrap_or_else(Step::Deny),
        Question::Isolation { sign } => isolation(profile, entry, sign),
    }
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

fn isolation<'c>(profile: &'c CompiledProfile, entry: &NamespaceEntry<'c>, sign: bool) -> Step<'c> {
    match &profile.isolation {
        Some(isolation) => Step::Isolate { isolation, selector: entry.selector_under(profile), sign },
        None => Step::Skip(Skip::NotIsolating),
    }
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

/// The pod, where a request creates one.
fn created_pod<'r, 'a>(request: &'r Request<'a>) -> Option<&'r Pod<'a>> {
    request.object.as_ref().filter(|_| creates_pod(request))
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
