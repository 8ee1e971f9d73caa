//! Scene: `kubectl apply -k manifests/base`, as it is shipped, on a node that has the images.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::running::Node;
use super::seen::{self, Running};
use crate::chaos::{Finding, stage};
use crate::installed::CONFIGURATION;
use crate::manifests::{self, OWN};

/// The label of the Deployment's pods.
pub const PODS: &str = "app.kubernetes.io/component=webhook";

/// The program in the image.
pub const PROGRAM: &str = "/spark-injector";

const LIMIT: Duration = Duration::from_secs(180);

/// Installs it and looks at what has become of it.
pub fn install(node: &Node) -> Finding {
    let mut finding = Finding::new("`kubectl apply -k manifests/base`");
    let begin = Instant::now();
    node.cluster().apply(&manifests::folder("base"));
    wait_until_available(node);
    finding.measured(format_args!("available after {:.1} s", begin.elapsed().as_secs_f64()));
    let bundle = seen::wait_for(node.api(), CONFIGURATION, "the bundle", LIMIT, |configuration| {
        let entries = configuration["webhooks"].as_array()?;
        entries.iter().all(|entry| entry["clientConfig"]["caBundle"].is_string()).then_some(entries.len())
    });
    finding.measured(format_args!("it has certified itself: the bundle is in {bundle} entries"));

    let pods = seen::pods(node.api(), OWN, PODS);
    finding
        .promise(pods.len() == 2 && pods.iter().all(seen::is_ready), "two pods are ready, says the kubelet");
    for pod in &pods {
        contained(&mut finding, pod);
    }
    reached(&mut finding, node);
    finding
}

/// The policies come on top, as on a shared cluster; nothing of what runs notices.
pub fn guard(node: &Node) -> Finding {
    let mut finding = Finding::new("`kubectl apply -k manifests/guarded` on top");
    let before: Vec<_> =
        seen::pods(node.api(), OWN, PODS).iter().map(|pod| seen::name(pod).to_owned()).collect();
    node.cluster().apply(&manifests::folder("guarded"));
    wait_until_available(node);
    let now: Vec<_> =
        seen::pods(node.api(), OWN, PODS).iter().map(|pod| seen::name(pod).to_owned()).collect();
    finding.promise(before == now, "no replica is replaced");
    finding
}

/// Waits until the Deployment is as it should be.
pub fn wait_until_available(node: &Node) {
    let path = format!("/apis/apps/v1/namespaces/{OWN}/deployments/{OWN}");
    seen::wait_for(node.api(), &path, "a Deployment with two available replicas", LIMIT, |deployment| {
        let (wanted, status) = (&deployment["spec"]["replicas"], &deployment["status"]);
        (status["observedGeneration"] == deployment["metadata"]["generation"]
            && ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|key| status[key] == *wanted))
        .then_some(())
    });
}

/// What the kernel says of a replica's process is what the manifests say of its container.
fn contained(finding: &mut Finding, pod: &Value) {
    let name = seen::name(pod);
    let status = seen::status(pod, OWN);
    finding.promise(
        status["started"] == true && status["restartCount"] == 0,
        format_args!("{name} has passed its probes and was not restarted"),
    );
    let Some(process) = Running::of(pod, PROGRAM) else {
        finding.promise(false, format_args!("{name} has a process"));
        return;
    };
    let ids = ["65532"; 4];
    let claims = [
        ("user and group 65532", process.field("Uid") == ids && process.field("Gid") == ids),
        ("no other group", process.field("Groups") == ["65532"]),
        (
            "no capability, and none to get",
            ["CapPrm", "CapEff", "CapBnd", "CapAmb"]
                .iter()
                .all(|set| process.field(set) == ["0000000000000000"]),
        ),
        ("nothing to gain by executing", process.field("NoNewPrivs") == ["1"]),
        ("a filter of system calls", process.field("Seccomp") == ["2"]),
        ("a root that it cannot write to", process.is_root_read_only()),
    ];
    let broken: Vec<_> = claims.iter().filter(|(_, holds)| !holds).map(|(claim, _)| claim).collect();
    let otherwise = if broken.is_empty() { String::new() } else { format!("; broken: {broken:?}") };
    let claims: Vec<_> = claims.iter().map(|(claim, _)| *claim).collect();
    finding.promise(broken.is_empty(), format_args!("{name} has {}{otherwise}", claims.join(", ")));
    finding.measured(format_args!("{name}: {} resident", process.field("VmRSS").join(" ")));
}

/// The API server's way to the replicas is that of any Service.
fn reached(finding: &mut Finding, node: &Node) {
    let service = node.api().get(&format!("/api/v1/namespaces/{OWN}/services/{OWN}")).expect(200);
    for object in stage::objects() {
        node.api().apply(&object);
    }
    stage::wait_until_injected(node.api());
    finding.measured(format_args!(
        "a Spark pod is injected through the address of the Service, {}",
        service["spec"]["clusterIP"].as_str().unwrap_or("none")
    ));
}
