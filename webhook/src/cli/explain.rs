//! `explain`: what would be injected, from which line of which profile, what the user's own values changed about it, and
//! why nothing or not everything happens.

use serde_json::{Value, json};

use super::Compiled;
use super::exit::Failure;
use super::judge::{self, Judged};
use super::live::{self, Live, Seen};
use super::output::Printed;
use super::{objects, running};
use crate::admit::{Action, Note};
use crate::args::{ExplainArgs, ExplainOutput, Inputs};
use crate::cluster::ask::Unread;
use crate::text::one_line;

/// The order and the headings in which a person reads what happened.
const SECTIONS: [(Action, &str); 5] = [
    (Action::Added, "Added"),
    (Action::Replaced, "Replaced: the profile's value is authoritative"),
    (Action::Removed, "Removed"),
    (Action::Kept, "Kept: the user's own value stays, instead of the profile's"),
    (Action::Unchanged, "There already"),
];

/// Longest value in the text: beyond it the reasons no longer stand below each other.
const VALUE_WIDTH: usize = 60;

pub(super) fn run(args: ExplainArgs) -> Result<(), Failure> {
    let ExplainArgs {
        from,
        cluster,
        mut compile,
        client_authentication,
        namespace,
        file,
        pod,
        running,
        output,
    } = args;
    if from.is_empty() {
        let what = match pod {
            _ if running => What::Running,
            Some(name) => What::Pod(name),
            None => What::Documents(objects::read(&file)?),
        };
        return live::ask(cluster, compile, async |live| from_cluster(&live, &namespace, what, output).await);
    }
    compile.client_authentication = client_authentication;
    let compiled = Compiled::new(&Inputs::new(from, compile))?;
    // First: one of these may be why the namespace is not known.
    compiled.warn_about_others(&namespace);
    compiled.require_namespace(&namespace)?;
    explain(&compiled, &namespace, &objects::read(&file)?, Vec::new(), output)
}

/// What is to be explained.
enum What {
    Documents(Vec<Value>),
    Pod(String),
    Running,
}

async fn from_cluster(
    live: &Live,
    namespace: &str,
    what: What,
    output: ExplainOutput,
) -> Result<(), Failure> {
    let Seen { compiled, served, unread } = live.namespace(namespace).await?;
    let unusable = |what: &str, unread: &Unread| {
        Failure::Unusable(format!("{what} cannot be read: {}", unread.sentence()))
    };
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let mut remarks: Vec<String> = unread.iter().map(|unread| format!("not read: {unread}")).collect();
    let documents = match what {
        What::Documents(documents) => documents,
        What::Pod(name) => {
            let pod = live.api.read(&format!("{pods}/{name}")).await;
            let pod = pod.map_err(|unread| unusable(&format!("Pod {namespace}/{name}"), &unread))?;
            let found = running::running(std::slice::from_ref(&pod), &served, namespace);
            remarks.extend(found.iter().flat_map(running::remarks));
            vec![running::as_new(&pod)]
        }
        What::Running => {
            let pods = live.api.list(&format!("{pods}?{}", running::SPARK_PODS)).await;
            let pods = pods.map_err(|unread| unusable(&format!("Pods of namespace {namespace}"), &unread))?;
            let found = running::running(&pods, &served, namespace);
            return match output {
                ExplainOutput::Text => Printed::from(running::text(&found)),
                ExplainOutput::Json => Printed::pretty(&running::json(&found))?,
            }
            .write();
        }
    };
    explain(&compiled, namespace, &documents, remarks, output)
}

fn explain(
    compiled: &Compiled,
    namespace: &str,
    documents: &[Value],
    remarks: Vec<String>,
    output: ExplainOutput,
) -> Result<(), Failure> {
    let mut judged = Vec::new();
    let mut others = Vec::new();
    for (document, contents) in documents.iter().zip(objects::find_all(documents, namespace)?) {
        others.extend(contents.others);
        for target in contents.targets {
            judged.push(judge::judge(&compiled.catalog, namespace, document, target)?);
        }
    }
    let explained = Explained { compiled, namespace, remarks, judged, others };
    match output {
        ExplainOutput::Text => Printed::from(explained.text()),
        ExplainOutput::Json => Printed::pretty(&explained.json())?,
    }
    .write()
}

struct Explained<'e> {
    compiled: &'e Compiled,
    namespace: &'e str,
    /// What the reader has to know about the inputs.
    remarks: Vec<String>,
    judged: Vec<Judged>,
    others: Vec<String>,
}

impl Explained<'_> {
    fn text(&self) -> String {
        let mut text = String::new();
        let opted_in = self.is_opted_in();
        let served = match (self.compiled.catalog.profile_of(self.namespace), opted_in) {
            (Some(profile), true) => format!("served by profile {profile}"),
            (None, true) => "opted in, but no profile serves it".to_owned(),
            (_, false) => "not opted in".to_owned(),
        };
        let isolated = if self.compiled.catalog.isolates(self.namespace) { ", isolated" } else { "" };
        line(&mut text, &format!("Namespace {}: {served}{isolated}", self.namespace));
        for remark in &self.remarks {
            line(&mut text, &format!("  {remark}"));
        }
        for problem in self.compiled.catalog.problems_of(self.namespace) {
            line(&mut text, &format!("  mistake: {problem}"));
        }
        for judged in &self.judged {
            line(&mut text, "");
            describe(&mut text, judged);
        }
        for other in &self.others {
            line(&mut text, "");
            line(
                &mut text,
                &format!("{other}: left alone: only pods, pod templates and reviews are injected"),
            );
        }
        text
    }

    fn json(&self) -> Value {
        let problems = self.compiled.catalog.problems_of(self.namespace);
        json!({
            "namespace": self.namespace,
            "optedIn": self.is_opted_in(),
            "isolated": self.compiled.catalog.isolates(self.namespace),
            "profile": self.compiled.catalog.profile_of(self.namespace),
            "remarks": self.remarks,
            "problems": problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "objects": self.judged.iter().map(facts).collect::<Vec<_>>(),
            "passedThrough": self.others,
        })
    }

    fn is_opted_in(&self) -> bool {
        self.compiled.catalog.namespaces().contains(&self.namespace)
    }
}

fn describe(text: &mut String, judged: &Judged) {
    line(text, &format!("{}: {}", judged.target.title, judge::phrase(&judged.verdict.record)));
    for (action, heading) in SECTIONS {
        let notes: Vec<&Note> = judged.verdict.notes.iter().filter(|note| note.action == action).collect();
        if notes.is_empty() {
            continue;
        }
        line(text, &format!("  {heading}:"));
        // Up to a width at which the reasons of ordinary fields stand below each other.
        let width = notes
            .iter()
            .map(|note| shown(note).chars().count())
            .max()
            .unwrap_or_default()
            .min(VALUE_WIDTH + 20);
        for note in notes {
            line(text, &format!("    {:width$}  <- {}", shown(note), note.origin));
        }
    }
    if !judged.verdict.secrets.is_empty() {
        line(text, &format!("  Needs the Secrets: {}", judged.verdict.secrets.join(", ")));
    }
    for warning in &judged.verdict.warnings {
        line(text, &format!("  Warning to the user: {warning}"));
    }
}

fn shown(note: &Note) -> String {
    if note.value.is_empty() {
        return note.field.clone();
    }
    // `-o json` has the whole value.
    let short: String = note.value.chars().take(VALUE_WIDTH).collect();
    let more = if short.len() < note.value.len() { "…" } else { "" };
    format!("{} = {short}{more}", note.field)
}

fn facts(judged: &Judged) -> Value {
    let Judged { target, verdict, patch, review: _ } = judged;
    let record = &verdict.record;
    let notes = verdict.notes.iter().map(|note| {
        json!({ "action": word(note.action), "field": note.field, "value": note.value, "origin": note.origin })
    });
    json!({
        "object": target.title,
        "outcome": record.outcome.as_str(),
        "reason": record.reason,
        "message": record.message,
        "role": record.role.map(crate::api::Role::as_str),
        "profile": record.profile,
        "variant": record.variant,
        "revision": record.revision,
        "warnings": verdict.warnings,
        "notes": notes.collect::<Vec<_>>(),
        "secrets": verdict.secrets,
        "operations": patch.len(),
    })
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Added => "added",
        Action::Kept => "kept",
        Action::Replaced => "replaced",
        Action::Removed => "removed",
        Action::Unchanged => "unchanged",
    }
}

fn line(text: &mut String, line: &str) {
    text.push_str(&one_line(line));
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::{self, Verdict};
    use crate::catalog::Catalog;
    use crate::cli::objects::{Shape, Target};

    #[test]
    fn every_action_has_its_section() {
        let note = |action, field: &str, value: &str| Note {
            action,
            field: field.to_owned(),
            value: value.to_owned(),
            origin: "team-a: spec.driver".to_owned(),
        };
        let target = Target { pointer: String::new(), shape: Shape::Pod, title: "Pod p".to_owned() };
        // A namespace that nobody knows: the least that the engine says.
        let verdict = Verdict {
            notes: vec![
                note(Action::Added, "env A", "1"),
                note(Action::Kept, "priorityClassName", "own"),
                note(Action::Added, "toleration", ""),
            ],
            warnings: vec!["mind".to_owned()],
            secrets: vec!["spark-injector-a".to_owned()],
            ..admit::judge(&Catalog::default(), "team-a", &json!({}))
        };
        let judged = Judged { target, verdict, patch: Vec::new(), review: None };
        let mut text = String::new();
        describe(&mut text, &judged);
        let (_, rest) = text.split_once('\n').unwrap();
        let expected = "  Added:\n    env A = 1   <- team-a: spec.driver\n    toleration  <- team-a: spec.driver\n  \
            Kept: the user's own value stays, instead of the profile's:\n    priorityClassName = own  <- team-a: spec.driver\n  \
            Needs the Secrets: spark-injector-a\n  Warning to the user: mind\n";
        assert_eq!(rest, expected);
        assert_eq!(facts(&judged)["notes"][1]["action"], "kept");
    }
}
