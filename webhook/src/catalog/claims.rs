//! Which profile serves a namespace: an exact name, else a selector, else the default of all.
//!
//! Of two equal claims the older one keeps serving, so that a new profile cannot take a namespace away.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::parse::{Outline, subject};
use super::report::Report;
use super::snapshot::NamespaceInput;
use super::syntax::{OPERATORS, is_empty_selector, matches_labels};
use crate::api::NamespaceClaim;

/// The profile that serves a namespace, and those that claim it equally in vain.
#[derive(Debug)]
pub(super) struct Claimed<'o> {
    pub(super) winner: &'o Arc<Outline>,
    pub(super) losers: Vec<&'o Arc<Outline>>,
}

/// All claims, indexed so that a namespace costs what may claim it, not what exists.
pub(super) struct Claims<'o> {
    by_name: HashMap<&'o str, Vec<&'o Arc<Outline>>>,
    /// Selectors under one of the labels that they ask for: the one that the fewest of them ask for.
    by_label: HashMap<Label<'o>, Vec<Selecting<'o>>>,
    /// Selectors that ask for no label of a certain value.
    by_selector: Vec<Selecting<'o>>,
    /// The empty selectors: the default of all.
    everything: Vec<&'o Arc<Outline>>,
}

type Label<'o> = (&'o str, &'o str);
type Selecting<'o> = (&'o Arc<Outline>, &'o LabelSelector);

impl<'o> Claims<'o> {
    pub(super) fn new(outlines: &'o [Arc<Outline>]) -> Self {
        let mut claims = Self {
            by_name: HashMap::new(),
            by_label: HashMap::new(),
            by_selector: Vec::new(),
            everything: Vec::new(),
        };
        let claimed = outlines.iter().filter_map(|outline| Some((outline, outline.claim.as_ref()?)));
        let mut askers: HashMap<Label<'_>, usize> = HashMap::new();
        let mut selecting = Vec::new();
        for (outline, claim) in claimed {
            for name in &claim.names {
                claims.by_name.entry(name).or_default().push(outline);
            }
            match &claim.selector {
                None => {}
                Some(selector) if is_empty_selector(selector) => claims.everything.push(outline),
                Some(selector) => {
                    labels(selector).for_each(|label| *askers.entry(label).or_default() += 1);
                    selecting.push((outline, selector));
                }
            }
        }
        for (outline, selector) in selecting {
            match labels(selector).min_by_key(|label| askers.get(label)) {
                Some(label) => claims.by_label.entry(label).or_default().push((outline, selector)),
                None => claims.by_selector.push((outline, selector)),
            }
        }
        claims
    }

    /// Who serves a namespace: an exact name wins over a selector, a selector over the default.
    pub(super) fn of(&self, name: &str, namespace: &NamespaceInput) -> Option<Claimed<'o>> {
        let mut equal = self.by_name.get(name).cloned().unwrap_or_default();
        if equal.is_empty() {
            equal = self.selecting(namespace);
        }
        if equal.is_empty() {
            equal.clone_from(&self.everything);
        }
        equal.sort_by(|one, other| (&one.created, &one.name).cmp(&(&other.created, &other.name)));
        equal.dedup_by(|one, other| one.name == other.name);
        let mut equal = equal.into_iter();
        Some(Claimed { winner: equal.next()?, losers: equal.collect() })
    }

    fn selecting(&self, namespace: &NamespaceInput) -> Vec<&'o Arc<Outline>> {
        let labels = namespace.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let indexed = labels.filter_map(|label| self.by_label.get(&label)).flatten();
        let matching = indexed
            .chain(&self.by_selector)
            .filter(|(_, selector)| matches_labels(selector, &namespace.labels));
        matching.map(|(outline, _)| *outline).collect()
    }
}

/// The labels of a certain value that a selector asks for.
fn labels(selector: &LabelSelector) -> impl Iterator<Item = Label<'_>> {
    selector.match_labels.iter().flatten().map(|(key, value)| (key.as_str(), value.as_str()))
}

/// Checks the selector of a claim.
pub(super) fn check(claim: &NamespaceClaim, report: &mut Report) {
    for (index, name) in claim.names.iter().enumerate() {
        if !super::syntax::is_label_name(name) {
            report.at(
                format!("spec.namespaces.names[{index}]"),
                format!("{name:?} is not the name of a namespace"),
            );
        }
    }
    if claim.names.is_empty() && claim.selector.is_none() {
        report.at(
            "spec.namespaces",
            "write names or a selector; an empty selector means every namespace; leave namespaces out where the profile \
             is only extended",
        );
    }
    let expressions =
        claim.selector.iter().filter_map(|selector| selector.match_expressions.as_ref()).flatten();
    for (index, expression) in expressions.enumerate() {
        let path = format!("spec.namespaces.selector.matchExpressions[{index}]");
        let has_values = expression.values.iter().flatten().next().is_some();
        match expression.operator.as_str() {
            "In" | "NotIn" if !has_values => {
                report.at(format!("{path}.values"), "missing; In and NotIn need values");
            }
            "Exists" | "DoesNotExist" if has_values => {
                report.at(format!("{path}.values"), "not with Exists or DoesNotExist; leave them out");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => report.at(
                format!("{path}.operator"),
                format!("{other:?} is not an operator; allowed: {OPERATORS}"),
            ),
        }
    }
}

/// Names in a message; more would hide the rest of it.
const NAMED: usize = 3;

/// What the two are told who claim some namespaces equally: first whoever claims them in vain.
pub(super) fn conflict(namespaces: &[&str], winner: &str, loser: &str) -> (String, String) {
    let (noun, are, them) =
        if namespaces.len() == 1 { ("namespace", "is", "it") } else { ("namespaces", "are", "them") };
    let named = namespaces.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = namespaces.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let claimed = |by: &str| format!("{noun} {named}{more} {are} claimed equally by {}", subject(by));
    (
        format!("{}, which keeps serving {them}; leave {them} out of one of the two", claimed(winner)),
        format!("{}; leave {them} out of one of the two", claimed(loser)),
    )
}
