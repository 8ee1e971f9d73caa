//! The inputs of a catalog from a cluster, read once and with the rights of whoever asks. What may not be read is left
//! out, and named: a team may explain its own pods without seeing the platform's Secrets.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Compiled;
use super::check::served::{self, Served};
use super::exit::Failure;
use super::output::internal;
use crate::api::GROUP_VERSION;
use crate::args::{ClusterArgs, CompileArgs};
use crate::catalog::{Catalog, Settings};
use crate::cluster::ask::{Api, Unread};
use crate::cluster::{self, Access};
use crate::sources::collected::{Source, collect, sources};

/// A cluster, asked by one command.
pub(super) struct Live {
    pub(super) api: Api,
    settings: Settings,
}

/// A namespace as the cluster has it.
pub(super) struct Seen {
    pub(super) compiled: Compiled,
    /// Profiles and the namespace, without the files.
    pub(super) served: Served,
    /// What could not be read, and what follows from it.
    pub(super) unread: Vec<String>,
}

/// Runs what asks a cluster.
pub(super) fn ask<T>(
    cluster: ClusterArgs,
    compile: CompileArgs,
    question: impl AsyncFnOnce(Live) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let access = Access::from(cluster);
    // Not that of the pod that this runs in, which may be anybody's.
    let (settings, _) = compile.settings(None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal)?;
    runtime.block_on(async {
        let connection = cluster::connect(&access).await;
        let connection = connection.map_err(|error| Failure::Unusable(format!("{error}, or use --from")))?;
        question(Live { api: Api::new(connection), settings }).await
    })
}

impl Live {
    /// Reads what concerns a namespace.
    pub(super) async fn namespace(&self, name: &str) -> Result<Seen, Failure> {
        let unusable = |what: &str, unread: &Unread| {
            let why = unread.sentence();
            let remedy = match unread {
                Unread::Forbidden(_) => "ask for the right to",
                Unread::Missing | Unread::Failed(_) => "see --kubeconfig and --context",
            };
            Failure::Unusable(format!("{what} cannot be read: {why}; {remedy}, or use --from"))
        };
        let profiles = self.api.list("/apis/spark-injector.io/v1alpha1/sparkprofiles").await;
        let profiles = profiles.map_err(|unread| unusable("SparkProfiles", &unread))?;
        let namespace = self.api.read(&format!("/api/v1/namespaces/{name}")).await;
        let namespace = namespace.map_err(|unread| unusable(&format!("Namespace {name}"), &unread))?;
        let namespaces = [namespace];
        let served = Served::new(profiles, &namespaces, &self.settings);

        let mut unread = Vec::new();
        let mut documents = Vec::new();
        let mut hidden = BTreeSet::new();
        let of_interest: Vec<Value> = served
            .catalog
            .profile_of(name)
            .map(|profile| served.closure(profile))
            .unwrap_or_default()
            .into_iter()
            .cloned()
            .collect();
        let own = self.settings.namespace.as_str();
        let wanted: BTreeSet<Source> = of_interest.iter().flat_map(|profile| sources(profile, own)).collect();
        for source in wanted {
            let Source { kind, plural, key } = &source;
            match self.api.read(&format!("/api/v1/namespaces/{}/{plural}/{}", key.namespace, key.name)).await
            {
                Ok(object) => documents.push(object),
                // The compiler says so, and where it is named.
                Err(Unread::Missing) => {}
                Err(error) => {
                    unread.push(format!("{kind} {}/{}: {}", key.namespace, key.name, error.sentence()));
                    hidden.insert(source);
                }
            }
        }
        let profiles: Vec<Value> = served
            .profiles
            .values()
            .map(|profile| {
                let concerns = of_interest.iter().any(|known| served::name(known) == served::name(profile));
                if concerns {
                    without_hidden(profile, &hidden, own, &mut unread)
                } else {
                    served::without_files(profile)
                }
            })
            .collect();
        documents.push(json!({ "kind": "SparkProfileList", "apiVersion": GROUP_VERSION, "items": profiles }));
        documents.push(json!({ "kind": "NamespaceList", "apiVersion": "v1", "items": namespaces }));
        let load = collect(&documents, own);
        let authenticates =
            served.catalog.profile_of(name).is_some_and(|profile| served.authenticates(profile));
        let settings = Settings { client_authentication: authenticates, ..self.settings.clone() };
        let catalog = Catalog::compile(&load.snapshot, &settings, None);
        Ok(Seen { compiled: Compiled { catalog, load }, served, unread })
    }
}

/// The profile without the files and the pull secret that could not be read.
fn without_hidden(profile: &Value, hidden: &BTreeSet<Source>, own: &str, unread: &mut Vec<String>) -> Value {
    let mut profile = profile.clone();
    let is_hidden =
        |spec: Value| sources(&json!({ "spec": spec }), own).iter().any(|source| hidden.contains(source));
    let Some(spec) = profile.get_mut("spec").and_then(Value::as_object_mut) else { return profile };
    if spec.get("pullSecret").is_some_and(|secret| is_hidden(json!({ "pullSecret": secret }))) {
        spec.remove("pullSecret");
    }
    if let Some(Value::Array(files)) = spec.get_mut("files") {
        files.retain(|entry| {
            let on_its_disk = entry.get("directory").is_some();
            let keep = !on_its_disk && !is_hidden(json!({ "files": [entry] }));
            if !keep {
                let path = entry.get("mountPath").and_then(Value::as_str).unwrap_or_default();
                let why = if on_its_disk { ", which are on the injector's own disk" } else { "" };
                unread.push(format!("the files at {path}{why}: left out below, and from the revision"));
            }
            keep
        });
    }
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_left_out_and_named() {
        let profile = json!({"spec": {
            "files": [
                {"mountPath": "/a", "configMap": {"name": "open"}}, {"mountPath": "/b", "secret": {"name": "closed"}},
                {"mountPath": "/c", "directory": {"path": "x"}}, {"mountPath": "/d", "inline": {"a": "b"}},
            ],
            "pullSecret": {"secret": {"name": "closed"}},
        }});
        let hidden =
            sources(&profile, "own").into_iter().filter(|source| source.key.name == "closed").collect();
        let mut unread = Vec::new();
        let left = without_hidden(&profile, &hidden, "own", &mut unread);
        let paths: Vec<&str> = left["spec"]["files"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["mountPath"].as_str().unwrap())
            .collect();
        assert_eq!(paths, ["/a", "/d"]);
        assert!(left["spec"].get("pullSecret").is_none());
        assert!(unread[0].starts_with("the files at /b") && unread[1].contains("own disk"), "{unread:?}");
    }
}
