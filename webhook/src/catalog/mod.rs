//! Everything known, compiled: from a [`Snapshot`] of inputs to a [`Catalog`] that answers every request.
//!
//! Pure: no IO, no clock, no environment. A profile in error never touches another one's namespaces.

mod problem;
mod settings;
mod snapshot;

pub use problem::Problem;
pub use settings::Settings;
pub use snapshot::{NamespaceInput, ObjectData, ObjectKey, ProfileInput, Snapshot};

/// Everything known at one moment; immutable, swapped whole.
#[derive(Debug, Default)]
pub struct Catalog {
    problems: Vec<Problem>,
}

impl Catalog {
    /// Compiles a snapshot. A profile that does not compile keeps its plan of `previous`, if it had one there.
    pub fn compile(_snapshot: &Snapshot, _settings: &Settings, _previous: Option<&Self>) -> Self {
        Self::default()
    }

    /// The Secrets that profiles deliver to `namespace`, or to every namespace they serve: complete objects, sorted
    /// by namespace and name.
    pub fn secrets(&self, _namespace: Option<&str>) -> Vec<serde_json::Value> {
        Vec::new()
    }

    /// Whether the namespace is known, opted in or not.
    pub fn knows_namespace(&self, _namespace: &str) -> bool {
        false
    }

    /// Names of the namespaces that opted in, sorted.
    pub fn namespaces(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Name of the profile that serves the namespace.
    pub fn profile_of(&self, _namespace: &str) -> Option<&str> {
        None
    }

    /// Mistakes in what serves this namespace: its profile, its annotation. They deny its pods.
    pub fn problems_of(&self, _namespace: &str) -> Vec<&Problem> {
        Vec::new()
    }

    /// Every mistake that the compiler found, in the order of the inputs.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}
