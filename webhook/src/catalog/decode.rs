//! From a value to a type, with every unknown field named.

use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::Value;

use super::report::{Report, in_words};

/// Decodes a value, and reports what it does not understand below `path`. A field nobody knows is a mistake: the API
/// server would drop it, and its owner would look for it in vain.
///
/// `allowed` says for the path of an unknown field what may stand there; empty where nothing helpful is known.
pub(super) fn decode<T: DeserializeOwned>(
    value: &Value,
    path: &str,
    report: &mut Report,
    allowed: impl Fn(&str) -> String,
) -> Option<T> {
    let mut unknown = Vec::new();
    let mut note = |ignored: Path<'_>| unknown.push(render(&ignored));
    // Without its type, which is another one for each `T`: the types of Kubernetes share one copy of what reads them.
    let mut note: &mut dyn FnMut(Path<'_>) = &mut note;
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    let decoded = T::deserialize(serde_ignored::Deserializer::new(tracked, &mut note));
    for field in unknown {
        let field = join(path, &field);
        let hint = allowed(&field);
        let hint = if hint.is_empty() { String::new() } else { format!("; allowed here: {hint}") };
        report.at(field, format!("unknown field{hint}"));
    }
    match decoded {
        Ok(decoded) => Some(decoded),
        Err(error) => {
            let at = track.path().to_string();
            report.at(join(path, if at == "." { "" } else { &at }), in_words(&error.to_string()));
            None
        }
    }
}

/// Extends a field path.
pub(super) fn join(path: &str, field: &str) -> String {
    match (path, field) {
        (path, "") => path.to_owned(),
        ("", field) => field.to_owned(),
        (path, field) if field.starts_with('[') => format!("{path}{field}"),
        (path, field) => format!("{path}.{field}"),
    }
}

fn render(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", render(parent)),
        Path::Map { parent, key } => join(&render(parent), key),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            render(parent)
        }
    }
}
