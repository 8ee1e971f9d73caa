//! Writes results: to the standard output in one piece and only at the end, remarks to the standard error.

use std::io::{self, Write as _};

use serde_json::Value;

use super::exit::Failure;
use crate::text::one_line;

/// A complete result.
#[derive(Debug)]
pub(super) struct Printed(String);

impl From<String> for Printed {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Printed {
    /// YAML documents, divided by `---`.
    pub(super) fn yaml(objects: &[Value]) -> Result<Self, Failure> {
        let documents = objects.iter().map(yaml).collect::<Result<Vec<_>, _>>()?;
        Ok(Self(documents.join("---\n")))
    }

    /// One JSON List, however many objects there are.
    pub(super) fn list(objects: &[Value]) -> Result<Self, Failure> {
        Self::pretty(&serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": objects }))
    }

    /// Any JSON value.
    pub(super) fn pretty(value: &Value) -> Result<Self, Failure> {
        let text = serde_json::to_string_pretty(value).map_err(internal)?;
        Ok(Self(text + "\n"))
    }

    /// Writes everything. A reader that has seen enough and closed the pipe is content.
    pub(super) fn write(self) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(self.0.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::Unusable(format!("the standard output cannot be written: {error}")))
            }
            _ => Ok(()),
        }
    }
}

/// One object as YAML.
pub(super) fn yaml(object: &Value) -> Result<String, Failure> {
    let options = serde_saphyr::ser_options! {
        // A long value stays on its line: folded, a diff of it is unreadable and nothing is won.
        folded_wrap_chars: usize::MAX,
        min_fold_chars: usize::MAX,
    };
    serde_saphyr::to_string_with_options(object, options).map_err(internal)
}

/// One line on the standard error, whatever the input wrote into it. Nothing is left to do if that is closed.
pub(super) fn note(text: &str) {
    drop(writeln!(io::stderr().lock(), "{}", one_line(text)));
}

pub(super) fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Internal(anyhow::Error::new(error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sources::document::{Format, parse};

    #[test]
    fn yaml_comes_back_as_it_was() {
        let object = json!({
            "strings": ["yes", "on", "0440", "1e3", "0x1f", "~", "null", "", " a", "a: b", "#x", "- x", "1.0", "2026-01-01",
                "line\nline\n", "no end\nhere", "tab\t", "trailing \n x", "é☃", "%x", "@x", "`x`", "!x", "&x", "*x", "'", "\"", "\\",
                "x".repeat(300), "word ".repeat(100), "\u{0}\u{7}\u{85}", "=", "<<", "1_000", "12:30:45", "y", "N", "\r\n"],
            "numbers": [0, -1, 1.5, u64::MAX, i64::MIN],
            "empty": {"list": [], "map": {}, "null": null, "no": false},
            "on": 1,
            "nested": [[1, [2]], [{"a": [{"b": 1, "c": []}]}]],
        });
        let text = yaml(&object).unwrap();
        assert_eq!(parse(text.as_bytes(), Format::Yaml).unwrap(), [object], "{text}");
        // kubectl reads YAML 1.1, where these are no strings without quotes.
        for word in ["yes", "on", "0440", "1e3", "y", "N", "2026-01-01", "12:30:45", "1_000"] {
            let bare = format!("- {word}\n");
            assert!(!text.contains(&bare), "{word} is not quoted in\n{text}");
        }
    }
}
