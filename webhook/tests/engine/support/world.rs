//! The inputs of a catalog, built line by line.

use serde_json::{Value, json};
use spark_injector::catalog::{
    Catalog, NamespaceInput, ObjectData, ObjectKey, Problem, ProfileInput, Settings, Snapshot,
};

use super::yaml;

/// The namespace of nearly every test, opted in; and the profile that serves it.
pub(crate) const TEAM: &str = "team-a";

/// A snapshot and the settings to compile it with.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) snapshot: Snapshot,
    pub(crate) settings: Settings,
}

/// A world with the namespace `team-a`, opted in.
pub(crate) fn world() -> World {
    World::default().namespace(TEAM, &[("spark-injector.io/inject", "enabled")], &[])
}

/// The catalog of one profile with this spec, which serves `team-a`.
pub(crate) fn catalog(spec: &str) -> Catalog {
    world().spec(spec).catalog()
}

impl World {
    /// A profile of a name with this spec; it serves nobody but whom the spec says.
    pub(crate) fn profile(self, name: &str, spec: &str) -> Self {
        let spec = if spec.trim().is_empty() { json!({}) } else { yaml(spec) };
        self.object(json!({
            "apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile",
            "metadata": { "name": name }, "spec": spec,
        }))
    }

    /// The profile `team-a` with this spec; it serves the namespace `team-a`.
    pub(crate) fn spec(self, spec: &str) -> Self {
        let spec = if spec.trim().is_empty() { json!({}) } else { yaml(spec) };
        self.spec_value(spec)
    }

    /// As [`World::spec`], from a value.
    pub(crate) fn spec_value(self, mut spec: Value) -> Self {
        spec.as_object_mut().unwrap().entry("namespaces").or_insert_with(|| json!({ "names": [TEAM] }));
        self.object(json!({
            "apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile",
            "metadata": { "name": TEAM }, "spec": spec,
        }))
    }

    /// A whole SparkProfile object, good or bad.
    pub(crate) fn object(mut self, object: Value) -> Self {
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        self.snapshot.profiles.push(ProfileInput {
            origin: format!("{name}.yaml"),
            object: object.into(),
            delivered: None,
        });
        self
    }

    pub(crate) fn namespace(
        mut self,
        name: &str,
        labels: &[(&str, &str)],
        annotations: &[(&str, &str)],
    ) -> Self {
        let owned = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let input = NamespaceInput {
            origin: format!("{name}.yaml"),
            labels: owned(labels),
            annotations: owned(annotations),
        };
        self.snapshot.namespaces.insert(name.to_owned(), input.into());
        self
    }

    /// The namespace `team-a` with a node selector annotation.
    pub(crate) fn annotated(self, selector: &str) -> Self {
        self.namespace(
            TEAM,
            &[("spark-injector.io/inject", "enabled")],
            &[("scheduler.alpha.kubernetes.io/node-selector", selector)],
        )
    }

    pub(crate) fn config_map(mut self, name: &str, data: &[(&str, &[u8])]) -> Self {
        self.snapshot.config_maps.insert(key(name), Ok(object_data(data).into()));
        self
    }

    pub(crate) fn secret(mut self, name: &str, data: &[(&str, &[u8])]) -> Self {
        self.snapshot.secrets.insert(key(name), Ok(object_data(data).into()));
        self
    }

    pub(crate) fn directory(mut self, path: &str, data: &[(&str, &[u8])]) -> Self {
        self.snapshot.directories.insert(path.to_owned(), Ok(object_data(data).into()));
        self
    }

    pub(crate) fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Compiles a world without mistakes.
    pub(crate) fn catalog(&self) -> Catalog {
        let catalog = self.compile(None);
        assert!(catalog.problems().is_empty(), "{:#?}", catalog.problems());
        catalog
    }

    pub(crate) fn compile(&self, previous: Option<&Catalog>) -> Catalog {
        Catalog::compile(&self.snapshot, &self.settings, previous)
    }

    /// The mistakes in it, as a person reads them.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.compile(None).problems().iter().map(Problem::to_string).collect()
    }

    /// The only mistake in it.
    pub(crate) fn problem(&self) -> String {
        let mut problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        problems.remove(0)
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "spark-injector".to_owned(), name: name.to_owned() }
}

fn object_data(data: &[(&str, &[u8])]) -> ObjectData {
    data.iter().map(|(key, content)| ((*key).to_owned(), content.to_vec())).collect()
}
