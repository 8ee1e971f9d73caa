//! A control plane with the definition and the roles as they are shipped, and the built webhook beside it, which sees
//! nothing but what its service account may.

use std::path::PathBuf;
use std::time::Duration;

use acceptance::client::{Api, Namespace, Reply, config_map};
use acceptance::cluster::{Audit, Cluster, ClusterOptions};
use acceptance::manifests::{self, OWN};
use acceptance::process::wait_until;
use acceptance::registration::{Registered, STATUS_ANNOTATION, WEBHOOK_NAME};
use acceptance::webhook::Webhook;
use serde_json::{Value, json};

use crate::world::{driver, profile};

/// Generous: it ends when what is waited for is there.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What the webhook needs, in the order in which it is applied.
const KINDS: [&[&str]; 2] = [
    &["Namespace", "ServiceAccount", "CustomResourceDefinition"],
    &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"],
];

/// What is there before the webhook.
pub(crate) struct Site {
    pub(crate) cluster: Cluster,
    pub(crate) api: Api,
}

impl Site {
    /// A control plane without a webhook.
    pub(crate) fn prepare() -> Self {
        Self::without(&[])
    }

    /// The same without the objects of these kinds.
    pub(crate) fn without(missing: &[&str]) -> Self {
        let cluster =
            Cluster::start_with(&ClusterOptions { audit: Audit::Whole, ..ClusterOptions::default() });
        let site = Self { api: cluster.admin().clone(), cluster };
        for kinds in KINDS {
            let kinds: Vec<&str> = kinds.iter().copied().filter(|kind| !missing.contains(kind)).collect();
            site.install(&kinds);
        }
        site
    }

    /// Applies the shipped objects of these kinds.
    pub(crate) fn install(&self, kinds: &[&str]) {
        for object in manifests::base() {
            if kinds.iter().any(|kind| object["kind"] == *kind) {
                self.api.apply(object);
            }
        }
    }

    /// The kubeconfig of the shipped service account.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.cluster.service_account_kubeconfig(OWN, OWN)
    }

    /// Starts the webhook as the shipped service account and waits until it is ready.
    pub(crate) fn serve(&self) -> Webhook {
        let webhook = Webhook::start_on_cluster(&self.kubeconfig(), &["--poll", "100ms"]);
        webhook.wait_until_ready();
        webhook
    }

    /// Starts the webhook and lets the API server call it.
    pub(crate) fn register(&self) -> (Registered, Webhook) {
        let webhook = self.serve();
        (self.lead_to(&webhook), webhook)
    }

    /// Lets the API server call this webhook.
    pub(crate) fn lead_to(&self, webhook: &Webhook) -> Registered {
        // No profile serves it: a refusal in the webhook's name shows that the webhook is in effect.
        self.api.create_namespace(&Namespace::new("probe").opted_in());
        let registered = webhook.registration("site").register(&self.api);
        registered.wait("probe");
        registered
    }

    /// Applies objects as a person does, with kubectl.
    pub(crate) fn kubectl_apply(&self, objects: &[Value]) {
        let file = tempfile::NamedTempFile::with_suffix(".json").expect("a file");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        std::fs::write(file.path(), list.to_string()).expect("a file");
        self.cluster.apply(file.path());
    }

    /// What the API server makes of a driver.
    pub(crate) fn try_driver(&self, namespace: &str) -> Reply {
        self.api.dry_run(&driver(namespace, "canary"))
    }

    /// Waits until a driver is given what `expected` looks for in it.
    #[track_caller]
    pub(crate) fn wait_for_driver(&self, namespace: &str, expected: impl Fn(&Reply) -> bool) -> Reply {
        let mut last = None;
        let found = wait_until(PATIENCE, || {
            let reply = self.try_driver(namespace);
            let is_so = expected(&reply);
            last = Some(reply);
            is_so.then(|| last.take()).flatten()
        });
        found.unwrap_or_else(|| panic!("{namespace}: {}", last.map(|reply| reply.text).unwrap_or_default()))
    }

    /// Waits until drivers are injected by this profile, and returns one.
    #[track_caller]
    pub(crate) fn wait_for_profile(&self, namespace: &str, profile: &str) -> Value {
        self.wait_for_driver(namespace, |reply| status(&reply.body)["profile"] == profile).expect(201)
    }

    /// Waits until drivers are refused by the webhook, with these words among others.
    #[track_caller]
    pub(crate) fn wait_for_denial(&self, namespace: &str, words: &str) {
        let reply = self.wait_for_driver(namespace, |reply| reply.message().contains(words));
        assert!(reply.message().contains(WEBHOOK_NAME), "{}", reply.text);
        assert_eq!(reply.status, 403, "{}", reply.text);
    }
}

/// A profile with the file of [`source`].
pub(crate) fn with_source(name: &str) -> Value {
    profile(name, &json!({"files": [{"mountPath": "/conf", "configMap": {"name": name}}]}))
}

/// A ConfigMap in the injector's own namespace.
pub(crate) fn source(name: &str, text: &str) -> Value {
    config_map(OWN, name, &[("app.conf", text)])
}

/// The status annotation of a pod, or null.
pub(crate) fn status(pod: &Value) -> Value {
    let text = pod["metadata"]["annotations"][STATUS_ANNOTATION].as_str().unwrap_or("null");
    serde_json::from_str(text).expect("JSON in the annotation")
}

/// The value of a variable of the init container.
pub(crate) fn file<'p>(pod: &'p Value, name: &str) -> &'p str {
    let variables = pod["spec"]["initContainers"][0]["env"].as_array().into_iter().flatten();
    let mut found = variables.filter(|variable| variable["name"] == name);
    found.next().and_then(|variable| variable["value"].as_str()).unwrap_or_default()
}
