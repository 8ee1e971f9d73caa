//! What is wrong with an input, in one form for every shell.

use std::fmt;

/// Kinds of mistakes, for those who count them or tell people what to do.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum ProblemKind {
    /// What is written is not possible.
    #[default]
    Invalid,
    /// A source is not there, or lacks what is asked of it.
    Source,
    /// The files, or the entries of a list, are too many or too large.
    TooLarge,
    /// Files of a Secret would be handed to callers who do not prove who they are.
    ClientAuthRequired,
    /// Two profiles claim a namespace equally.
    Conflict,
}

/// One mistake: where it is, and what is allowed there.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Problem {
    /// Where the document came from, as its source names it: `profiles/a.yaml`, `profiles/a.yaml#2`.
    pub origin: String,
    /// What is affected: `SparkProfile team-a`, `Namespace x`; empty when not even that could be read.
    pub subject: String,
    /// Path of the field: `spec.files[2].mode`; empty when the whole document is meant.
    pub path: String,
    /// What is wrong, and what is allowed. Never the content of a file, nor a value of a wrong type.
    pub message: String,
    /// What kind of mistake it is.
    pub kind: ProblemKind,
}

impl Problem {
    /// The field and what is wrong with it, for messages that name the document themselves.
    pub(super) fn in_short(&self) -> String {
        match self.path.as_str() {
            "" => self.message.clone(),
            path => format!("{path}: {}", self.message),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [self.origin.as_str(), self.subject.as_str(), self.path.as_str(), self.message.as_str()];
        let mut first = true;
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            if !first {
                f.write_str(": ")?;
            }
            f.write_str(part)?;
            first = false;
        }
        Ok(())
    }
}
