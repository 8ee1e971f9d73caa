//! Scene: `spark-injector check` asks the whole chain, from outside and as the CronJob of the manifests.

use super::running::Node;
use crate::chaos::Finding;
use crate::cli;

/// As a person runs it.
pub fn by_hand(node: &Node) -> Finding {
    let mut finding = Finding::new("`spark-injector check`");
    let kubeconfig = node.cluster().kubeconfig();
    let finished = cli::run(&["check", "--kubeconfig", kubeconfig.to_str().expect("a path in UTF-8")], b"");
    let holds = finished.stdout.matches('✓').count();
    let broken = finished.stdout.matches('✗').count();
    finding.promise(
        finished.status == 0 && broken == 0 && holds > 0,
        format_args!("exit status {}, {holds} times ✓ and {broken} times ✗", finished.status),
    );
    if finished.status != 0 {
        finding.measured(format_args!("it said:\n```\n{}{}\n```", finished.stdout, finished.stderr));
    }
    finding
}
