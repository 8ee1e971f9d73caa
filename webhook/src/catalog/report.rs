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

    /// What a source holds; why it cannot be had is a mistake at the field that names it.
    pub(super) fn source<T>(&mut self, path: impl Into<String>, found: Result<T, String>) -> Option<T> {
        found.map_err(|message| self.kind(ProblemKind::Source, path, message)).ok()
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

/// What Serde says of a value, in the words of those who write YAML, and without the value: a password that is all digits
/// and stands without quotes is a value of a wrong type, and this goes into logs, Events and a status.
pub(super) fn in_words(message: &str) -> String {
    let Some((found, expected)) = message.rsplit_once(", expected ") else { return message.to_owned() };
    if let Some(found) = found.strip_prefix("unknown variant ") {
        let allowed = expected.strip_prefix("one of ").unwrap_or(expected).replace(" or ", ", ");
        return format!("{found} is not allowed here; allowed: {allowed}");
    }
    // `integer `7``, `string "x"`: what is quoted is the value.
    let found = found.split(['`', '"']).next().unwrap_or_default().trim_end();
    let found = match found {
        "invalid type: sequence" => "invalid type: list",
        "invalid type: map" => "invalid type: mapping",
        other => other,
    };
    let expected = match expected {
        "a sequence" => "a list",
        "a map" => "a mapping",
        "a string" if !found.ends_with("list") && !found.ends_with("mapping") => {
            "a string; write it in quotes"
        }
        "i32" | "i64" | "u16" | "u32" | "u64" => "a whole number",
        name if name.starts_with("struct ") => "a mapping",
        other => other,
    };
    format!("{found}, expected {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_the_names_of_yaml_and_values_are_not_told() {
        for (serde, ours) in [
            ("invalid type: map, expected a sequence", "invalid type: mapping, expected a list"),
            (
                "invalid type: integer `7`, expected struct Overlay",
                "invalid type: integer, expected a mapping",
            ),
            ("invalid type: string \"5\", expected i64", "invalid type: string, expected a whole number"),
            (
                "invalid type: floating point `1.5`, expected a string",
                "invalid type: floating point, expected a string; write it in quotes",
            ),
            ("invalid type: sequence, expected a string", "invalid type: list, expected a string"),
            (
                "invalid type: string \"a, expected b\", expected struct Overlay",
                "invalid type: string, expected a mapping",
            ),
            (
                "unknown variant `off`, expected one of `A`, `B`",
                "`off` is not allowed here; allowed: `A`, `B`",
            ),
            ("unknown variant `x`, expected `a` or `b`", "`x` is not allowed here; allowed: `a`, `b`"),
            ("missing field `value`", "missing field `value`"),
        ] {
            assert_eq!(in_words(serde), ours);
        }
    }
}
