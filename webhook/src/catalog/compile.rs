//! The compiler: every profile on its own, then every namespace with what serves it. What did not change since the
//! last catalog is taken from there.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;

use super::changes::Changes;
use super::compiled::CompiledProfile;
use super::compose::Composer;
use super::lookup::SourceKey;
use super::namespaces::Namespaces;
use super::parse::{Outline, subject};
use super::profile::{Attempt, Compiler};
use super::revisions::{Moment, Revisions};
use super::schema::Schema;
use super::snapshot::{ProfileInput, Snapshot};
use super::{Catalog, Problem, ProblemKind, Settings};
use crate::api::Mode;

/// What the catalog knows of a profile.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The object and the sources that it was last compiled from.
    pub(super) object: Arc<Value>,
    pub(super) sources: Vec<SourceKey>,
    /// What it says of itself; whom it serves is that of its last good state where it does not say it any more.
    pub(super) outline: Arc<Outline>,
    pub(super) mode: Mode,
    /// Its plans, or its first problem if it never had any.
    pub(super) revisions: Result<Revisions, String>,
    /// Why its newest state is not among them.
    pub(super) problems: Vec<Problem>,
}

pub(super) fn compile(snapshot: &Snapshot, settings: &Settings, previous: Option<&Catalog>) -> Catalog {
    let inputs: HashMap<&str, &ProfileInput> =
        snapshot.profiles.iter().map(|input| (name_of(&input.object), input)).collect();
    let changes = Changes::since(previous, snapshot, settings, &inputs);
    let schema = Schema::new(settings.schema_bounds);
    let composer = Composer::new(inputs.iter().map(|(name, input)| (*name, *input)), schema);
    let encodings = previous.map(|previous| previous.encodings.clone()).unwrap_or_default();
    let mut compiler = Compiler::new(snapshot, settings, composer, encodings);
    let mut profiles = HashMap::with_capacity(snapshot.profiles.len());
    for input in &snapshot.profiles {
        let name = name_of(&input.object);
        let before = previous.and_then(|previous| previous.profiles.get(name));
        let moment = Moment { now: snapshot.taken, delivered: input.delivered.as_deref(), settings };
        let known = if let Some(before) = before.filter(|before| changes.is_reusable(name, before)) {
            again(before, input, moment)
        } else {
            let outline = changes.outline(name, input);
            let attempt = survive(name, input, || compiler.compile(name, input));
            let readable = changes.readable_mode(&outline);
            Arc::new(anew(before.map(|before| &**before), input, outline, attempt, readable, moment))
        };
        profiles.insert(name.to_owned(), known);
    }
    let claims = snapshot.profiles.iter().filter_map(|input| profiles.get(name_of(&input.object)));
    let claims = claims.map(|known| Arc::clone(&known.outline)).collect();
    let namespaces = Namespaces::compile(snapshot, claims, previous.map(|previous| &previous.namespaces));
    let mut problems: Vec<Problem> = profiles.values().flat_map(|known| &known.problems).cloned().collect();
    problems.extend_from_slice(&namespaces.problems);
    problems.sort();
    problems.dedup();
    let mut encodings = compiler.encodings;
    encodings.tidy();
    Catalog {
        namespaces,
        sources: changes.into_sources(&profiles),
        encodings,
        profiles,
        problems,
        warnings: image_warning(&settings.init_image).into_iter().collect(),
        settings: settings.clone(),
    }
}

fn name_of(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

/// A defect of ours that a profile brings to light is told like a mistake in it, and holds up no other.
fn survive(name: &str, input: &ProfileInput, work: impl FnOnce() -> Attempt) -> Attempt {
    // Nothing is left half done: the compiler keeps between two profiles only what it has finished.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let problem = Problem {
            origin: input.origin.clone(),
            subject: subject(name),
            path: String::new(),
            message: "spark-injector died of it, which is a defect of spark-injector: please report it with the place \
                      that its log names; what was changed last may be written in another way"
                .to_owned(),
            kind: ProblemKind::Invalid,
        };
        Attempt { result: Err(vec![problem]), sources: Vec::new() }
    })
}

/// A profile of which nothing changed, or only whether it is delivered.
fn again(before: &Arc<Known>, input: &ProfileInput, moment: Moment<'_>) -> Arc<Known> {
    let Ok(revisions) = &before.revisions else { return Arc::clone(before) };
    if revisions.are_settled() && Arc::ptr_eq(&before.object, &input.object) {
        return Arc::clone(before);
    }
    let mut next = Known::clone(before);
    let revisions = revisions.next(Arc::clone(revisions.wanted()), moment);
    next.mode = revisions.serving.mode;
    next.revisions = Ok(revisions);
    next.object = Arc::clone(&input.object);
    Arc::new(next)
}

/// A profile that was compiled again; in error, it keeps its last good plans.
fn anew(
    before: Option<&Known>,
    input: &ProfileInput,
    outline: Arc<Outline>,
    attempt: Attempt,
    readable: Option<Mode>,
    moment: Moment<'_>,
) -> Known {
    let Attempt { result, sources } = attempt;
    let last_good = before.and_then(|before| before.revisions.as_ref().ok());
    let object = Arc::clone(&input.object);
    match result {
        Ok(compiled) => {
            let compiled: Arc<CompiledProfile> = Arc::new(compiled);
            let revisions = match last_good {
                Some(last_good) => last_good.next(compiled, moment),
                None => Revisions::first(compiled),
            };
            let mode = revisions.serving.mode;
            Known { object, sources, outline, mode, revisions: Ok(revisions), problems: Vec::new() }
        }
        Err(problems) => {
            let first = problems.first().map(Problem::in_short).unwrap_or_default();
            // One that waits for its delivery is good as well, and other replicas may have heard of it before the mistake.
            let again = |last_good: &Revisions| last_good.next(Arc::clone(last_good.wanted()), moment);
            let revisions = last_good.map(again).ok_or(first);
            // Whom a profile serves is part of what keeps serving, where it does not say it any more.
            let claim_is_broken = problems.iter().any(|problem| problem.path.starts_with("spec.namespaces"));
            let outline = match before.filter(|_| claim_is_broken && revisions.is_ok()) {
                Some(before) => {
                    Arc::new(Outline { claim: before.outline.claim.clone(), ..Outline::clone(&outline) })
                }
                None => outline,
            };
            let mode = match (readable, &revisions) {
                // Whoever says that a profile refuses nothing is heard, whatever else is wrong with it.
                (Some(mode @ (Mode::Audit | Mode::Off)), _) => mode,
                (_, Ok(last_good)) => last_good.serving.mode,
                (_, Err(_)) => Mode::Enforce,
            };
            Known { object, sources, outline, mode, revisions, problems }
        }
    }
}

impl Known {
    /// The same without the recent revisions that are not recent any more; none where there are none.
    pub(super) fn forget(&self, now: SystemTime) -> Option<Self> {
        let mut next = self.clone();
        let forgot = next.revisions.as_mut().is_ok_and(|revisions| revisions.forget(now));
        forgot.then_some(next)
    }
}

/// A tag can be moved to another image, which would then see every keytab.
fn image_warning(image: &str) -> Option<Problem> {
    let message =
        || format!("{image} has no digest; name the image as IMAGE@sha256:… so that nobody can replace it");
    (!image.contains('@')).then(|| Problem {
        kind: ProblemKind::Invalid,
        origin: String::new(),
        subject: String::new(),
        path: "--init-image".to_owned(),
        message: message(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_defect_of_ours_is_told_where_its_profile_is() {
        let input = ProfileInput {
            origin: "profiles/a.yaml".to_owned(),
            object: Arc::new(json!({"metadata": {"name": "a"}})),
            delivered: None,
        };
        let attempt = survive("a", &input, || panic!("a defect"));
        let problems = attempt.result.expect_err("a problem");
        let told: Vec<String> = problems.iter().map(Problem::to_string).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("profiles/a.yaml: SparkProfile a: spark-injector died of it"),
            "{told:?}"
        );
    }
}
