//! Scene: what a pod pays for its files, on a node that has all images.

use std::time::{Duration, Instant};

use super::jobs::BY_SECRET;
use super::running::Node;
use super::seen;
use super::spoilt::{CONTAINER, executor, path};
use crate::chaos::Finding;
use crate::client::Namespace;

const LIMIT: Duration = Duration::from_secs(60);
const PLAIN: &str = "plain";
const PODS: usize = 7;

/// From the creation of an executor to the start of its Spark container, with our init container and without, in turns.
pub fn start(node: &Node) -> Finding {
    let mut finding = Finding::new("What the init container costs");
    node.api().create_namespace(&Namespace::new(PLAIN));
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..PODS {
        with.push(one(node, BY_SECRET));
        without.push(one(node, PLAIN));
    }
    let [with, without] = [with, without].map(|mut times| {
        times.sort_unstable();
        times[PODS / 2].as_secs_f64()
    });
    finding.measured(format_args!(
        "an executor runs {with:.2} s after its creation, without injection {without:.2} s (median of {PODS}); the kubelet \
         looks once a second whether an init container has ended"
    ));
    finding
}

fn one(node: &Node, namespace: &str) -> Duration {
    let pod = executor(namespace, "Never");
    node.api().create(&pod).expect(201);
    let begin = Instant::now();
    seen::wait_for(node.api(), &path(namespace), "the start of the pod", LIMIT, |pod| {
        (seen::status(pod, CONTAINER)["started"] == true).then_some(())
    });
    let took = begin.elapsed();
    node.api().delete(&pod);
    took
}
