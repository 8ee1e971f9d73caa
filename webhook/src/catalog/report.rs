//! Collecting mistakes: every stage goes on as far as it can, so that an owner sees all of them at once.

use super::{Problem, ProblemKind};

/// The mistakes of one document.
#[derive(Debug)]
pub(super) struct Report {
    origin: String,
    subject: String,
    problems: Vec<Problem>,
}

impl Report {
    pub(super) fn new(origin: &str, subject: impl Into<String>) -> Self {
        Self { origin: origin.to_owned(), subject: subject.into(), problems: Vec::new() }
    }

    /// Notes a mistake at a field.
    pub(super) fn at(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.kind(ProblemKind::Invalid, path, message);
    }

    /// Notes a mistake of a certain kind at a field.
    pub(super) fn kind(&mut self, kind: ProblemKind, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem {
            kind,
            origin: self.origin.clone(),
            subject: self.subject.clone(),
            path: path.into(),
            message: message.into(),
        });
    }

    /// Notes a mistake at the line of a profile that asked for something: this document's own, or of one it extends.
    pub(super) fn of(&mut self, origin: &str, message: impl Into<String>) {
        let own = self.subject.rsplit(' ').next().unwrap_or_default();
        let path =
            origin.strip_prefix(own).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(origin).to_owned();
        self.at(path, message);
    }

    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}
