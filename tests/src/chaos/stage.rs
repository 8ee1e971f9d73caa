//! An API server, the Service path as it is installed ([`crate::installed`]), and replicas behind a balancer.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::balancer::Balancer;
use crate::client::{Api, Namespace};
use crate::cluster::Cluster;
use crate::installed;
use crate::manifests::{self, OWN};
use crate::pki::Authority;
use crate::process::wait_until;
use crate::registration::STATUS_ANNOTATION;
use crate::scratch::Scratch;
use crate::webhook::{Certificate, Options, Webhook};

/// The name that the API server expects in the certificate.
pub const SERVICE: &str = "spark-injector.spark-injector.svc";

/// The namespace in which pods are created.
pub const NAMESPACE: &str = "chaos";

/// Everything that a scene plays on.
#[derive(Debug)]
pub struct Stage {
    /// Behind the balancer, oldest first.
    pub replicas: Vec<Webhook>,
    /// What stands for the Service.
    pub balancer: Balancer,
    /// Where pods are created.
    pub api: Api,
    authority: Authority,
    args: Vec<String>,
    files: Scratch,
    // Last: what all the others talk to.
    _cluster: Cluster,
}

impl Stage {
    /// Starts everything and waits until a pod is injected. `args` are further arguments of `serve`.
    pub fn start(replicas: usize, args: &[&str]) -> Self {
        let cluster = Cluster::start();
        let files = Scratch::new("chaos");
        let authority = Authority::new("chaos-ca");
        authority.server_of(&[SERVICE, "localhost", "127.0.0.1"], OWN).write(files.path(), "tls");
        write_inputs(files.path());
        let api = cluster.admin().clone();
        api.create_namespace(&Namespace::new(NAMESPACE).opted_in());
        let balancer = Balancer::start();
        install(&api, balancer.address().port(), authority.certificate());

        let args = args.iter().map(ToString::to_string).collect();
        let mut stage =
            Self { replicas: Vec::new(), balancer, api, authority, args, files, _cluster: cluster };
        for _ in 0..replicas {
            let replica = stage.replica();
            stage.join(replica);
        }
        wait_until_injected(&stage.api);
        stage
    }

    /// A new replica, which gets no connections yet.
    pub fn replica(&self) -> Webhook {
        self.launch(None)
    }

    /// A new replica that may hold so many descriptors, which gets no connections yet.
    pub fn replica_limited(&self, descriptors: u32) -> Webhook {
        self.launch(Some(descriptors))
    }

    fn launch(&self, descriptors: Option<u32>) -> Webhook {
        let file = |name: &str| self.files.path().join(name).to_str().expect("a path in UTF-8").to_owned();
        let mut args = vec!["--from".to_owned(), file("inputs")];
        args.extend(["--tls-cert".to_owned(), file("tls.crt"), "--tls-key".to_owned(), file("tls.key")]);
        args.extend(self.args.iter().cloned());
        Webhook::launch(&Options {
            args,
            descriptors,
            certificate: Certificate::Arguments,
            ..Options::default()
        })
    }

    /// Puts a replica behind the balancer and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn join(&mut self, replica: Webhook) {
        let before = self.balancer.ready();
        replica.join(&self.balancer);
        let ready = wait_until(Duration::from_secs(30), || (self.balancer.ready() > before).then_some(()));
        assert!(ready.is_some(), "a replica does not become ready: {}", replica.log().join("\n"));
        self.replicas.push(replica);
    }

    /// Who signed the replicas' certificate.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}

/// Waits until a pod is injected.
///
/// # Panics
/// When that does not happen, with the last answer.
pub fn wait_until_injected(api: &Api) {
    let pod = executor();
    let mut last = String::new();
    let injected = wait_until(Duration::from_secs(60), || {
        let reply = api.dry_run(&pod);
        last.clone_from(&reply.text);
        reply.body["metadata"]["annotations"][STATUS_ANNOTATION].is_string().then_some(())
    });
    assert!(injected.is_some(), "nothing is injected: {last}");
}

/// The shipped configuration, with the port and the bundle of this stage.
fn install(api: &Api, port: u16, bundle: &str) {
    api.create_namespace(&Namespace::new(OWN));
    let configuration = manifests::object(manifests::base(), "MutatingWebhookConfiguration", OWN);
    let mut configuration = configuration.clone();
    for entry in configuration["webhooks"].as_array_mut().expect("webhooks") {
        entry["clientConfig"]["caBundle"] = BASE64.encode(bundle).into();
    }
    api.create(&configuration).expect(201);
    installed::lead_to(api, port);
}

/// The namespace, and a profile with a few files for it, as teams have them.
pub fn objects() -> [Value; 2] {
    let files = "spark.some.setting=some-value\n".repeat(128);
    let profile = json!({"apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile",
        "metadata": {"name": NAMESPACE},
        "spec": {"namespaces": {"names": [NAMESPACE]}, "nodeSelector": {"default": {"pool": "a"}},
                 "files": [{"mountPath": "/conf", "inline": {"app.conf": files}}],
                 "executorRole": {"name": "EXECUTOR", "value": "true"}}});
    [Namespace::new(NAMESPACE).opted_in().object(), profile]
}

fn write_inputs(home: &Path) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects()});
    let folder = home.join("inputs");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("all.json"), list.to_string()).expect("a file");
}

/// An executor as Spark 4.3 makes it, without a name, so that any number can be created.
pub fn executor() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
           "metadata": {"generateName": "executor-", "namespace": NAMESPACE,
                        "labels": {"spark-role": "executor", "spark-app-selector": "spark-0", "spark-exec-id": "1"}},
           "spec": {"restartPolicy": "Never", "containers": [
               {"name": "spark-kubernetes-executor", "image": "apache/spark:4.3.0", "args": ["executor"]}]}})
}
