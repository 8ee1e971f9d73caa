//! One admission request, from bytes to bytes. Pure: no IO, no clock, no environment.
//!
//! `decode` reads what is needed of a `review`, `decide` says inject, skip or deny, `plan` holds what to add in Kubernetes
//! words, `merge` makes of it RFC 6902 operations on the raw object (`patch`), and `outcome` is the one place that
//! maps a decision to an answer, a log line and a metric.

mod decide;
mod decision;
mod decode;
pub mod equal;
mod merge;
mod outcome;
mod parts;
pub mod patch;
pub mod plan;
mod pod;
pub mod pointer;
pub(crate) mod quantity;
mod reinvoked;
mod review;
mod spark_container;

pub use decision::{Denial, Skip};
pub(crate) use merge::covers;
pub use outcome::{Action, Answer, Note, Outcome, Record, Verdict};
pub use pod::{clean_path, is_below};
use serde_json::{Value, json};

use self::decision::{Decision, Step};
use self::decode::decode;
use self::merge::{LazyObject, Merged, Placement, Target, merge};
use self::outcome::{Ending, Unavailable};
pub use self::parts::Parts;
use self::patch::{Json, MapEdit, Patch};
use self::pod::Pod;
use self::pointer::Pointer;
use self::reinvoked::Stranger;
use self::review::Request;
pub(crate) use self::review::cut;
use crate::api::names::STATUS_ANNOTATION;
use crate::catalog::Catalog;

/// Value of the status annotation of a pod that opted out.
const OPTED_OUT: &str = r#"{"skipped":"opt_out"}"#;

/// Answers the body of a `POST /mutate`.
pub fn review(catalog: &Catalog, body: &[u8]) -> Answer {
    answer(&MUTATE, catalog, body)
}

/// Answers the body of a `POST /isolate`: for every pod of an isolated namespace, Spark's or not.
pub fn isolate(catalog: &Catalog, body: &[u8]) -> Answer {
    answer(&ISOLATE, catalog, body)
}

/// Judges a pod as `POST /mutate` would if it were created in `namespace`: the same engine, byte for byte.
///
/// `pod` is the object as its author wrote it; the patch has paths relative to it. What is no pod is skipped, what
/// only claims to be one is malformed, also where a review would leave it alone without a look at its spec.
pub fn judge(catalog: &Catalog, namespace: &str, pod: &Value) -> Verdict {
    verdict(&MUTATE, catalog, namespace, pod)
}

/// Judges a pod as `POST /isolate` would, in the manner of [`judge`].
pub fn judge_isolation(catalog: &Catalog, namespace: &str, pod: &Value) -> Verdict {
    verdict(&ISOLATE, catalog, namespace, pod)
}

/// An entry of the webhook configuration.
struct Entry {
    /// Whether its decision takes the spec of a pod, by everything else about the call.
    needs_spec: fn(&Catalog, &Request<'_>, &Pod<'_>) -> bool,
    decide: for<'c> fn(&'c Catalog, &Request<'_>) -> Decision<'c>,
}

const MUTATE: Entry = Entry { needs_spec: decide::needs_spec, decide: decide::decide };
const ISOLATE: Entry = Entry { needs_spec: decide::isolation_needs_spec, decide: decide::decide_isolation };

fn answer(entry: &Entry, catalog: &Catalog, body: &[u8]) -> Answer {
    match decode(body, &|request, pod| (entry.needs_spec)(catalog, request, pod)) {
        Ok(request) => {
            let decision = (entry.decide)(catalog, &request);
            examine(catalog, body, &request, &decision, |ending| ending.answer(&request))
        }
        Err(message) => Answer::malformed(&message),
    }
}

fn verdict(entry: &Entry, catalog: &Catalog, namespace: &str, pod: &Value) -> Verdict {
    let body = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "offline",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "namespace": namespace,
            "operation": "CREATE",
            "object": pod,
        },
    });
    let body = body.to_string().into_bytes();
    // Whoever asks wants to hear of every mistake, also where it would not matter.
    match decode(&body, &|_, _| true) {
        Ok(request) => {
            let decision = (entry.decide)(catalog, &request);
            examine(catalog, &body, &request, &decision, |ending| ending.verdict(&request))
        }
        Err(message) => Verdict::malformed(&wrong_field(pod).unwrap_or(message)),
    }
}

/// Where an object differs from a Pod, in words of its author: a position in our review would mean nothing to them.
fn wrong_field(pod: &Value) -> Option<String> {
    let text = pod.to_string();
    let mut json = serde_json::Deserializer::from_str(&text);
    let error = serde_path_to_error::deserialize::<_, Pod<'_>>(&mut json).err()?;
    Some(format!("{}: not what a Pod has there", error.path()))
}

/// Merges as was decided, and hands what came out to `render` while everything that it borrows is alive.
fn examine<T, F: FnOnce(&Ending<'_>) -> T>(
    catalog: &Catalog,
    body: &[u8],
    request: &Request<'_>,
    decision: &Decision<'_>,
    render: F,
) -> T {
    let place = |selector| Placement {
        profile: decision.profile.map_or("", |profile| &profile.name),
        namespace: request.namespace.as_deref().unwrap_or_default(),
        selector,
        allowed: decision.profile.map_or(&None, |profile| &profile.allowed),
        default_priority_class: catalog.default_priority_class(),
    };
    let unknown = |denial: Option<&Denial>| Ending::unavailable(decision, Unavailable::Plan(denial));
    let refuse = |plan, denial: &Denial, render: F| match decide::by_another_revision(decision, request) {
        Some(other) => examine(catalog, body, request, &other, render),
        None if is_by_a_stranger(catalog, body, decision) => render(&unknown(Some(denial))),
        None => render(&Ending::denied(decision, plan, denial)),
    };
    match &decision.step {
        Step::Inject { plan, spark, selector } => {
            let Some(target) = target(request, *spark, body) else {
                return render(&Ending::failed(decision));
            };
            match merge(plan, &target, place(selector)) {
                // The files are of the revision that serves, or it would have been refused; the rest is not ours to mix.
                Ok(merged) if has_more_from_a_stranger(decision, &merged) => render(&unknown(None)),
                Ok(merged) => render(&Ending::injected(decision, plan, &merged)),
                Err(denial) => refuse(Some(*plan), &denial, render),
            }
        }
        Step::Isolate { isolation, selector, sign } => {
            let Some(pod) = request.object.as_ref() else {
                return render(&Ending::failed(decision));
            };
            match merge::isolate(isolation, pod, place(selector), *sign) {
                Ok(merged) => render(&Ending::isolated(decision, &merged)),
                Err(denial) => refuse(None, &denial, render),
            }
        }
        Step::OptOut => render(&Ending::opted_out(decision, &opt_out_patch(request))),
        Step::Deny(denial) => refuse(None, denial, render),
        Step::Skip(skip) => render(&Ending::skipped(decision, *skip)),
        Step::Wait => render(&Ending::unavailable(decision, Unavailable::Namespace)),
    }
}

/// Whether what is refused here may be what a replica that is a step ahead has given to the pod.
fn is_by_a_stranger(catalog: &Catalog, body: &[u8], decision: &Decision<'_>) -> bool {
    let is_plausible =
        |stranger: &Stranger| stranger.is_plausible(catalog.init_image(), &LazyObject::new(body));
    decision.stranger.as_ref().is_some_and(is_plausible)
}

/// Whether the pod has our init container, was given something that is not known here, and lacks something of what is. A
/// copied annotation without the init container gives nothing away.
fn has_more_from_a_stranger(decision: &Decision<'_>, merged: &Merged<'_>) -> bool {
    decision.stranger.as_ref().is_some_and(Stranger::has_init_container) && !merged.only_signs()
}

const CONTAINERS: &Pointer<'static> = &Pointer::new("/spec/containers");

/// The parts of the pod that `decide` has found; none missing where it decided to inject.
fn target<'a>(request: &'a Request<'a>, spark: usize, body: &'a [u8]) -> Option<Target<'a>> {
    let pod = request.object.as_ref()?;
    let spec = pod.spec.as_ref()?;
    let container = spec.containers.as_deref()?.get(spark)?;
    Some(Target {
        pod,
        spec,
        spark: container,
        spark_path: CONTAINERS.index(spark),
        object: LazyObject::new(body),
    })
}

fn opt_out_patch(request: &Request<'_>) -> Patch<'static> {
    let mut patch = Patch::default();
    let pod = request.object.as_ref();
    if pod.and_then(|pod| pod.annotation(STATUS_ANNOTATION)) == Some(OPTED_OUT) {
        return patch;
    }
    let annotations =
        pod.and_then(|pod| pod.metadata.as_ref()).is_some_and(|metadata| metadata.annotations.is_some());
    let mut edit = MapEdit::new("/metadata/annotations", annotations);
    edit.set(&mut patch, STATUS_ANNOTATION, Json::Text(OPTED_OUT));
    edit.finish(&mut patch);
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_is_no_pod_is_told_by_its_field() {
        let pod = json!({"kind": "Pod", "spec": {"containers": [{"name": "a", "env": "x"}]}});
        let verdict = judge(&Catalog::default(), "team-a", &pod);
        assert_eq!(verdict.record.outcome, Outcome::Malformed);
        assert_eq!(verdict.record.message, "spec.containers[0].env: not what a Pod has there");
    }
}
