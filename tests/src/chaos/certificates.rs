//! Scene: certificates and authorities that live for seconds, replicas that race to replace them, and pods that are
//! created all the while.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Finding;
use super::load::Load;
use super::stage;
use crate::cluster::Cluster;
use crate::installed::{CONFIGURATION, Installed};
use crate::manifests::{OWN, folder};
use crate::process::wait_until;
use crate::webhook::Webhook;

/// How long certificates live: everything that happens once a month or year in production, over and over.
#[derive(Debug, Clone, Copy)]
pub struct Lives {
    /// Of an authority, in seconds; it is replaced after two thirds.
    pub authority: u64,
    /// Of a serving certificate, likewise.
    pub certificate: u64,
    /// For how long a new authority is published before its certificate is served.
    pub confirm: u64,
}

impl Lives {
    fn arguments(self) -> [String; 3] {
        let Self { authority, certificate, confirm } = self;
        [
            format!("--ca-lifetime={authority}s"),
            format!("--certificate-lifetime={certificate}s"),
            format!("--tls-confirm={confirm}s"),
        ]
    }
}

/// Replicas as installed, that make their own certificates, all started at once.
pub fn rotate(replicas: usize, lives: Lives, per_second: u32, lasting: Duration) -> Finding {
    let mut finding =
        Finding::new(&format!("Certificates replaced for {} s, {replicas} replicas", lasting.as_secs()));
    let cluster = Cluster::start();
    let installed = Installed::on(&cluster, &folder("base"));
    let profiles = "/apis/spark-injector.io/v1alpha1/sparkprofiles";
    wait_until(Duration::from_secs(30), || (installed.api.get(profiles).status == 200).then_some(()));
    for object in stage::objects() {
        installed.api.apply(&object);
    }
    installed.api.ensure_service_account(stage::NAMESPACE, "default");
    let pod = installed.pod();
    let arguments = lives.arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let running: Vec<Webhook> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..replicas).map(|_| scope.spawn(|| installed.run(&pod, &arguments))).collect();
        starts.into_iter().map(|start| start.join().expect("a replica")).collect()
    });
    for replica in &running {
        replica.join(&installed.balancer);
    }
    stage::wait_until_injected(&installed.api);

    let load = Load::start(&installed.api, per_second);
    let begin = Instant::now();
    let (mut bundles, mut leaves) = (BTreeSet::new(), BTreeSet::new());
    while begin.elapsed() < lasting {
        let configuration = installed.api.get(CONFIGURATION).expect(200);
        bundles.insert(configuration["webhooks"][0]["clientConfig"]["caBundle"].to_string());
        let secret =
            installed.api.get(&format!("/api/v1/namespaces/{OWN}/secrets/spark-injector-tls")).expect(200);
        leaves.insert(secret["data"]["tls.crt"].to_string());
        std::thread::sleep(Duration::from_millis(500));
    }
    let tally = load.stop();
    finding.measured(&tally);
    finding.measured(format_args!(
        "{} bundles were published, {} certificates served",
        bundles.len(),
        leaves.len()
    ));
    finding.promise(tally.failed == 0, format_args!("no creation fails ({} did)", tally.failed));
    finding.promise(
        bundles.len() > 1 && leaves.len() > 1,
        "certificates and authorities were replaced meanwhile",
    );
    finding
}
