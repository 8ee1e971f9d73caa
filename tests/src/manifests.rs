//! The manifests as they are installed: what `kubectl kustomize` makes of them.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use crate::places;
use crate::process;

/// The namespace, and the account, of the injector.
pub const OWN: &str = "spark-injector";

/// The folder of this name below `manifests/`.
pub fn folder(name: &str) -> PathBuf {
    places::repository().join("manifests").join(name)
}

/// The documents of `manifests/base`.
pub fn base() -> &'static [Value] {
    static BASE: OnceLock<Vec<Value>> = OnceLock::new();
    BASE.get_or_init(|| rendered(&folder("base")))
}

/// The documents of `manifests/guarded`: the base and its policies.
pub fn guarded() -> &'static [Value] {
    static GUARDED: OnceLock<Vec<Value>> = OnceLock::new();
    GUARDED.get_or_init(|| rendered(&folder("guarded")))
}

/// The documents of a kustomization.
///
/// # Panics
/// When kustomize does not take it.
pub fn rendered(folder: &std::path::Path) -> Vec<Value> {
    let mut command = Command::new(places::control_plane().join("kubectl"));
    command.arg("kustomize").arg(folder);
    let finished = process::run(command, b"", Duration::from_secs(60));
    assert_eq!(finished.status, 0, "kustomize {}: {}", folder.display(), finished.stderr);
    serde_saphyr::from_multiple(&finished.stdout).expect("YAML documents")
}

/// The one object of this kind and name.
///
/// # Panics
/// When there is none.
#[track_caller]
pub fn object<'d>(documents: &'d [Value], kind: &str, name: &str) -> &'d Value {
    let found = documents.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}
