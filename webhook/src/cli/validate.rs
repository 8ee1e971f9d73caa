//! `validate`: every mistake at once.

use super::Compiled;
use super::exit::Failure;
use super::output::{self, Printed};
use crate::api::names::{
    BACKSTOP_LABEL, GROUP, INJECT_DISABLED, INJECT_ENABLED, INJECT_LABEL, ISOLATE_ENABLED, ISOLATE_LABEL,
};
use crate::args::{Inputs, ValidateArgs};
use crate::text::one_line;

pub(super) fn run(args: ValidateArgs) -> Result<(), Failure> {
    let ValidateArgs { inputs } = args;
    let compiled = Compiled::new(&Inputs::from(inputs))?;
    for ignored in &compiled.load.warnings {
        output::note(&format!("warning: {ignored}"));
    }
    for warning in compiled.catalog.warnings() {
        output::note(&format!("warning: {warning}"));
    }
    if compiled.load.files == 0 {
        output::note("warning: there is no file in --from whose name ends in .yaml, .yml or .json");
    }
    if compiled.load.snapshot.profiles.is_empty() {
        output::note("warning: there is no SparkProfile in --from: nothing would be injected");
    }
    warn_about_namespaces(&compiled);
    let mut problems: Vec<String> = compiled.problems().map(ToString::to_string).collect();
    problems.sort();
    problems.dedup();
    if problems.is_empty() {
        return Printed::from(summary(&compiled)).write();
    }
    for problem in &problems {
        output::note(problem);
    }
    output::note(&counted(problems.len(), "problem"));
    Err(Failure::Invalid)
}

/// Labels of a namespace that mean something.
const OUR_LABELS: [&str; 3] = [INJECT_LABEL, ISOLATE_LABEL, BACKSTOP_LABEL];

/// What is valid, and hardly what somebody meant.
fn warn_about_namespaces(compiled: &Compiled) {
    for name in compiled.catalog.namespaces() {
        if compiled.catalog.profile_of(name).is_none() {
            output::note(&format!(
                "warning: namespace {name} opted in, but no profile claims it: its Spark pods are refused; add it to \
                 spec.namespaces of one"
            ));
        }
    }
    for (name, namespace) in &compiled.load.snapshot.namespaces {
        for (label, value) in &namespace.labels {
            // Others that begin so may be what profiles select by.
            let looks_like_ours =
                label.starts_with(GROUP) && [INJECT_ENABLED, INJECT_DISABLED].contains(&&**value);
            if looks_like_ours && !OUR_LABELS.contains(&&**label) {
                output::note(&format!(
                    "warning: {}: Namespace {name}: metadata.labels[{label}]: none that is read; those are {}",
                    namespace.origin,
                    OUR_LABELS.join(", ")
                ));
            }
        }
        for (label, on) in [(INJECT_LABEL, INJECT_ENABLED), (ISOLATE_LABEL, ISOLATE_ENABLED)] {
            let value = namespace.labels.get(label).map(String::as_str);
            if let Some(value) = value.filter(|value| ![on, INJECT_DISABLED].contains(value)) {
                let origin = &namespace.origin;
                output::note(&format!(
                    "warning: {origin}: Namespace {name}: metadata.labels[{label}]: {value:?} is as if it were not there; \
                     only {on} counts"
                ));
            }
        }
    }
}

fn summary(compiled: &Compiled) -> String {
    let mut lines = format!(
        "valid: {}, {} ({} opted in), {}\n",
        counted(compiled.load.snapshot.profiles.len(), "profile"),
        counted(compiled.load.snapshot.namespaces.len(), "namespace"),
        compiled.catalog.namespaces().len(),
        counted(compiled.load.files, "file"),
    );
    for namespace in compiled.catalog.namespaces() {
        let profile = compiled.catalog.profile_of(namespace).unwrap_or("no profile");
        lines.extend(["  ", &one_line(namespace), ": ", profile, "\n"]);
    }
    lines
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
