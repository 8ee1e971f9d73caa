//! Which profile serves a namespace: an exact name, else a selector, else the default of all.
//!
//! Of two equal claims the older one keeps serving, so that a new profile cannot take a namespace away.

use std::collections::BTreeMap;

use super::parse::{Outline, subject};
use super::report::Report;
use super::snapshot::NamespaceInput;
use super::syntax::{OPERATORS, is_empty_selector, matches_labels};
use crate::api::NamespaceClaim;

/// How well a selector fits; a greater one wins, and an exact name wins over both.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Fit {
    Everything,
    Selector,
}

/// The profile that serves a namespace, and those that claim it equally in vain.
#[derive(Debug)]
pub(super) struct Claimed<'o> {
    pub(super) winner: &'o Outline,
    pub(super) losers: Vec<&'o Outline>,
}

/// All claims, indexed so that a namespace costs what claims it, not what exists.
pub(super) struct Claims<'o> {
    by_name: BTreeMap<&'o str, Vec<&'o Outline>>,
    by_selector: Vec<(Fit, &'o Outline, &'o NamespaceClaim)>,
}

impl<'o> Claims<'o> {
    pub(super) fn new(outlines: impl Iterator<Item = &'o Outline>) -> Self {
        let mut claims = Self { by_name: BTreeMap::new(), by_selector: Vec::new() };
        for outline in outlines {
            let Some(claim) = &outline.claim else { continue };
            for name in &claim.names {
                claims.by_name.entry(name).or_default().push(outline);
            }
            if let Some(selector) = &claim.selector {
                let fit = if is_empty_selector(selector) { Fit::Everything } else { Fit::Selector };
                claims.by_selector.push((fit, outline, claim));
            }
        }
        claims
    }

    /// Who serves a namespace.
    pub(super) fn of(&self, name: &str, namespace: &NamespaceInput) -> Option<Claimed<'o>> {
        let mut equal: Vec<&Outline> = self.by_name.get(name).cloned().unwrap_or_default();
        if equal.is_empty() {
            let matching: Vec<(Fit, &Outline)> = self
                .by_selector
                .iter()
                .filter(|(_, _, claim)| {
                    claim
                        .selector
                        .as_ref()
                        .is_some_and(|selector| matches_labels(selector, &namespace.labels))
                })
                .map(|(fit, outline, _)| (*fit, *outline))
                .collect();
            let best = matching.iter().map(|(fit, _)| *fit).max()?;
            equal =
                matching.into_iter().filter_map(|(fit, outline)| (fit == best).then_some(outline)).collect();
        }
        equal.sort_by(|one, other| (&one.created, &one.name).cmp(&(&other.created, &other.name)));
        equal.dedup_by(|one, other| one.name == other.name);
        let mut equal = equal.into_iter();
        Some(Claimed { winner: equal.next()?, losers: equal.collect() })
    }
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
    let expressions =
        claim.selector.iter().filter_map(|selector| selector.match_expressions.as_ref()).flatten();
    for (index, expression) in expressions.enumerate() {
        if !OPERATORS.split(", ").any(|known| known == expression.operator) {
            report.at(
                format!("spec.namespaces.selector.matchExpressions[{index}].operator"),
                format!("{:?} is not an operator; allowed: {OPERATORS}", expression.operator),
            );
        }
    }
}

/// The message about a namespace that two profiles claim equally.
pub(super) fn conflict(namespace: &str, winner: &Outline) -> String {
    format!(
        "namespace {namespace} is claimed equally by {}, which keeps serving it; leave it out of one of them",
        subject(&winner.name)
    )
}
