//! Scene: certificates and authorities that live for seconds, replicas that race to replace them, and pods that are
//! created all the while.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::Finding;
use super::load::Load;
use super::stage::{self, SERVICE};
use crate::cluster::Cluster;
use crate::installed::Installed;
use crate::manifests::{OWN, folder};
use crate::process::wait_until;
use crate::webhook::Webhook;
use crate::witness::Witness;

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

/// What has to be trusted: every certificate by every bundle of so many of the last seconds. A little less than
/// [`Lives::confirm`], since the witness sees a change some of its rounds later than a replica may.
fn window(lives: Lives) -> Duration {
    Duration::from_secs(lives.confirm).mul_f64(0.9)
}

/// Everything that is installed, with the objects of the stage, and the pod of a replica.
pub(super) fn installation(cluster: &Cluster) -> (Installed, Value) {
    let installed = Installed::on(cluster, &folder("base"));
    let profiles = "/apis/spark-injector.io/v1alpha1/sparkprofiles";
    wait_until(Duration::from_secs(30), || (installed.api.get(profiles).status == 200).then_some(()));
    for object in stage::objects() {
        installed.api.apply(&object);
    }
    installed.api.ensure_service_account(stage::NAMESPACE, "default");
    let pod = installed.pod();
    (installed, pod)
}

/// Replicas as installed, that make their own certificates, all started at once. What the API server says to those who
/// create pods is counted; and a witness looks at each replica's certificate and at the published bundles all the time.
pub fn rotate(replicas: usize, lives: Lives, per_second: u32, lasting: Duration) -> Finding {
    let mut finding = Finding::new(&format!(
        "Certificates replaced for {} s, {replicas} replicas: authorities live for {} s, certificates for {} s",
        lasting.as_secs(),
        lives.authority,
        lives.certificate
    ));
    let cluster = Cluster::start();
    let (installed, pod) = installation(&cluster);
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
    // One is enough for that, and nothing is shown in a handshake before there is a first certificate.
    running.iter().for_each(Webhook::wait_until_ready);

    let addresses = running.iter().map(Webhook::review_address).collect();
    let witness = Witness::start(&installed.api, OWN, SERVICE, addresses, window(lives));
    let load = Load::start(&installed.api, per_second);
    std::thread::sleep(lasting);
    let tally = load.stop();
    let seen = witness.tell();
    let authorities: BTreeSet<&str> = seen
        .bundles
        .iter()
        .flatten()
        .flat_map(|bundle| bundle.split_inclusive("-----END CERTIFICATE-----"))
        .collect();
    finding.measured(&tally);
    finding.measured(format_args!(
        "{} bundles with {} authorities were published, {} certificates served; {} handshakes",
        seen.bundles.len(),
        authorities.iter().filter(|one| one.contains("BEGIN")).count(),
        seen.leaves.len(),
        seen.handshakes
    ));
    finding.promise(tally.failed == 0, format_args!("no creation fails ({} did)", tally.failed));
    finding.promise(
        seen.troubles.is_empty(),
        format_args!(
            "every certificate that is served verifies against every bundle of the last {:.1} s ({} do not{})",
            window(lives).as_secs_f64(),
            seen.troubles.len(),
            seen.troubles.first().map(|first| format!("; {first}")).unwrap_or_default()
        ),
    );
    finding.promise(
        seen.bundles.len() > 1 && seen.leaves.len() > 1,
        "certificates and authorities were replaced meanwhile",
    );
    finding
}
