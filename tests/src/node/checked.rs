//! Scenes: `spark-injector check` asks the whole chain, as a person runs it and as the CronJob of the manifests does.

use std::time::Duration;

use super::running::Node;
use super::seen;
use crate::chaos::Finding;
use crate::cli;
use crate::manifests::{self, OWN};

const LIMIT: Duration = Duration::from_secs(120);

/// As a person runs it.
pub fn by_hand(node: &Node) -> Finding {
    let mut finding = Finding::new("`spark-injector check`");
    let kubeconfig = node.cluster().kubeconfig();
    let finished = cli::run(&["check", "--kubeconfig", kubeconfig.to_str().expect("a path in UTF-8")], b"");
    let holds = finished.stdout.matches('✓').count();
    let broken = finished.stdout.matches('✗').count();
    let otherwise = if broken == 0 { String::new() } else { format!(": {}", finished.stdout) };
    finding.promise(
        finished.status == 0 && broken == 0 && holds > 0,
        format_args!("exit status {}, {holds} times ✓ and {broken} times ✗{otherwise}", finished.status),
    );
    finding
}

/// From inside, in the image, with the rights of its own account, while nothing is wrong.
pub fn scheduled(node: &Node) -> Finding {
    let mut finding = Finding::new("`kubectl apply -k manifests/check`");
    let account = "spark-injector-check";
    node.cluster().apply(&manifests::folder("check"));
    let from = format!("--from=cronjob/{account}");
    node.cluster().kubectl_succeeds(&["create", "job", &from, "check-now", "--namespace", OWN]);
    let path = format!("/apis/batch/v1/namespaces/{OWN}/jobs/check-now");
    let job = seen::wait_for(node.api(), &path, "the end of the Job", LIMIT, |job| {
        let conditions = job["status"]["conditions"].as_array()?;
        let ended = |one: &serde_json::Value| {
            ["Complete", "Failed"].iter().any(|kind| one["type"] == *kind) && one["status"] == "True"
        };
        conditions.iter().any(ended).then(|| job.clone())
    });
    let pods = seen::pods(node.api(), OWN, "job-name=check-now");
    let log: String = pods.iter().map(|pod| seen::log(node.api(), pod, "check")).collect();
    finding.promise(job["status"]["succeeded"] == 1, format_args!("a Job of it succeeds: {:?}", log.trim()));
    finding
}
