//! Replicas of a webhook with certificates of their own, behind one address.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use acceptance::balancer::Balancer;
use acceptance::client::{Api, Namespace, Reply};
use acceptance::cluster::Cluster;
use acceptance::process::wait_until;
use acceptance::registration::Registration;
use acceptance::webhook::{Certificate, Options, Webhook};
use acceptance::witness::{self, Witness};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{driver, profile};

/// Generous: it ends when what is waited for is there.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A little less than `--tls-confirm` below: the witness sees a change some of its rounds later than a replica may.
pub(crate) const WINDOW: Duration = Duration::from_millis(1500);

/// Three replicas and a namespace whose drivers they inject; configuration, Secret and namespaces are named after it.
pub(crate) struct Replicas {
    pub(crate) name: &'static str,
    pub(crate) api: Api,
    pub(crate) members: Vec<Webhook>,
    pub(crate) balancer: Balancer,
    pub(crate) configuration: Value,
    lifetimes: [&'static str; 2],
    folder: TempDir,
}

impl Replicas {
    /// Starts three at once on a cluster where none of their objects is, and waits until they inject. `lifetimes` are
    /// those of authority and leaf.
    pub(crate) fn start(name: &'static str, lifetimes: [&'static str; 2]) -> Self {
        let api = Cluster::shared().admin().clone();
        let own = Namespace::new(&format!("{name}-own"));
        let team = Namespace::new(name).opted_in().label("acceptance/world", name);
        api.create_namespace(&own);
        api.create_namespace(&team);
        let balancer = Balancer::start();
        let registration = Registration::new(name, &format!("https://{}/mutate", balancer.address()), "");
        let mut configuration = registration.only("acceptance/world", name).object();
        for entry in configuration["webhooks"].as_array_mut().expect("entries") {
            entry["clientConfig"].as_object_mut().expect("an object").remove("caBundle");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let items = [team.object(), profile(name, &json!({}))];
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        std::fs::write(folder.path().join("objects.json"), list.to_string()).expect("a file");
        let members = Vec::new();
        let mut all = Self { name, api, members, balancer, configuration, lifetimes, folder };
        all.apply();
        for _ in 0..3 {
            let replica = all.launch();
            all.members.push(replica);
        }
        all.assert_ready();
        all.assert_injecting();
        all
    }

    /// One more, or one again.
    pub(crate) fn launch(&self) -> Webhook {
        let name = self.name;
        let from = self.folder.path().to_str().expect("a path in UTF-8");
        let [ca, leaf] = self.lifetimes;
        let own = format!("{name}-own");
        let secret = self.secret_name();
        let args = [
            ["--from", from],
            ["--tls", "self"],
            ["--own-namespace", &own],
            ["--tls-secret", &secret],
            ["--webhook-configuration", name],
            ["--tls-san", "127.0.0.1"],
            ["--ca-lifetime", ca],
            ["--certificate-lifetime", leaf],
            ["--tls-confirm", "2s"],
        ];
        let args = args.concat().into_iter().map(ToOwned::to_owned).collect();
        let kubeconfig = Cluster::shared().kubeconfig();
        let options = Options {
            args,
            kubeconfig: Some(&kubeconfig),
            certificate: Certificate::Arguments,
            ..Options::default()
        };
        let webhook = Webhook::launch(&options);
        webhook.join(&self.balancer);
        webhook
    }

    pub(crate) fn secret_name(&self) -> String {
        format!("spark-injector-{}", self.name)
    }

    pub(crate) fn secret_path(&self) -> String {
        format!("/api/v1/namespaces/{}-own/secrets/{}", self.name, self.secret_name())
    }

    pub(crate) fn configuration_path(&self) -> String {
        witness::configuration_path(self.name)
    }

    /// Applies the configuration as people do, with kubectl; it has no `caBundle`.
    pub(crate) fn apply(&self) {
        let file = tempfile::NamedTempFile::with_suffix(".json").expect("a file");
        std::fs::write(file.path(), self.configuration.to_string()).expect("a file");
        Cluster::shared().apply(file.path());
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(Webhook::review_address).collect()
    }

    pub(crate) fn witness(&self) -> Witness {
        Witness::start(&self.api, self.name, "127.0.0.1", self.addresses(), WINDOW)
    }

    /// What the API server makes of a driver.
    pub(crate) fn create(&self, name: &str) -> Reply {
        self.api.create(&driver(self.name, name))
    }

    #[track_caller]
    pub(crate) fn assert_ready(&self) {
        for replica in &self.members {
            replica.wait_until_ready();
        }
    }

    /// Waits until drivers are injected: the API server honours a changed configuration a moment later.
    #[track_caller]
    pub(crate) fn assert_injecting(&self) {
        let mut last = String::new();
        let found = wait_until(PATIENCE, || {
            let reply = self.api.dry_run(&driver(self.name, "canary"));
            last.clone_from(&reply.text);
            (reply.status == 201 && reply.text.contains("spark-injector.io/status")).then_some(())
        });
        assert!(found.is_some(), "{last}");
    }
}

/// A path in UTF-8.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
