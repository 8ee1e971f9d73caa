//! Which sources a profile names, as far as that can be told before anybody knows whether it is well-formed.

use serde_json::Value;

use crate::catalog::ObjectKey;

/// Kinds of objects that hold files.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum SourceKind {
    ConfigMap,
    Secret,
}

impl SourceKind {
    /// Both kinds.
    pub(super) const ALL: [Self; 2] = [Self::ConfigMap, Self::Secret];

    /// As the API and every message call it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }

    /// As the API server's paths call them.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmaps",
            Self::Secret => "secrets",
        }
    }
}

/// The directories below the files root.
pub(super) fn directories(profile: &Value) -> impl Iterator<Item = &str> {
    files(profile).filter_map(|entry| entry.pointer("/directory/path")?.as_str())
}

/// The ConfigMaps and Secrets; those without a namespace are in `own`.
pub(super) fn objects<'p>(profile: &'p Value, own: &'p str) -> impl Iterator<Item = (SourceKind, ObjectKey)> {
    let of_files = files(profile).flat_map(|entry| {
        [(SourceKind::ConfigMap, entry.get("configMap")), (SourceKind::Secret, entry.get("secret"))]
    });
    let pull_secret = (SourceKind::Secret, profile.pointer("/spec/pullSecret/secret"));
    of_files.chain([pull_secret]).filter_map(move |(kind, source)| {
        let text = |field: &str| source?.get(field)?.as_str().map(ToOwned::to_owned);
        let namespace = text("namespace").unwrap_or_else(|| own.to_owned());
        Some((kind, ObjectKey { namespace, name: text("name")? }))
    })
}

fn files(profile: &Value) -> impl Iterator<Item = &Value> {
    profile.pointer("/spec/files").and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_source_is_found_and_nonsense_is_passed_over() {
        let profile = json!({"spec": {
            "files": [
                {"configMap": {"name": "a"}},
                {"secret": {"name": "b", "namespace": "other"}},
                {"directory": {"path": "hadoop"}},
                {"configMap": {"name": 1}}, {"secret": "x"}, {"inline": {}}, 7
            ],
            "pullSecret": {"secret": {"name": "c"}}
        }});
        let found: Vec<String> = objects(&profile, "own")
            .map(|(kind, key)| format!("{} {}/{}", kind.as_str(), key.namespace, key.name))
            .collect();
        assert_eq!(found, ["ConfigMap own/a", "Secret other/b", "Secret own/c"]);
        assert_eq!(directories(&profile).collect::<Vec<_>>(), ["hadoop"]);
        assert_eq!(objects(&json!({"spec": {"files": {}}}), "own").count(), 0);
    }
}
