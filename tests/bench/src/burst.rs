//! Many jobs at once through the real API server: what the webhook adds to the creation of a pod.
//!
//! Half of the jobs run in a namespace that has opted in, half in one that has not, all of them mixed: both halves see
//! the same API server at the same moment, whatever else the machine does. Nothing is kept (`dryRun=All`), so the
//! store costs nothing and the API server's own work is as small as it gets.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use acceptance::balancer::Balancer;
use acceptance::client::Namespace;
use acceptance::cluster::Cluster;
use acceptance::pods;
use acceptance::process::wait_until;
use acceptance::registration::{Registration, STATUS_ANNOTATION};
use acceptance::webhook::{Options, Webhook};
use http::Request;
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::Value;
use tempfile::TempDir;

use crate::Progress;
use crate::args::Bench;
use crate::fixtures;
use crate::measure::{Samples, count, memory, micros, process_cpu, quantile};
use crate::report::{Report, Threshold};

/// Drivers at once in each half, and executors that follow each.
const JOBS: usize = 4_000;
const EXECUTORS: usize = 5;
/// Requests under way at once: about what an API server takes before it queues (`--max-mutating-requests-inflight`).
const UNDER_WAY: usize = 200;

const WITH: &str = "team-a";
const WITHOUT: &str = "plain";

pub(crate) fn run(bench: &Bench, progress: &Progress, report: &mut Report) {
    let jobs = if bench.quick { JOBS / 10 } else { JOBS };
    let injector = match bench.injector() {
        Ok(injector) => injector,
        Err(why) => return report.missing(&why),
    };
    progress.say("burst, a control plane (built at the first use, which takes minutes) and two replicas");
    let world = World::new(&injector);
    let alone = jobs / 40;
    progress.say(&format!("burst, {alone} jobs, one pod at a time"));
    let sides = world.create(alone, 1);
    added(report, "one pod at a time", &sides);

    progress.say(&format!("burst, {jobs} drivers at once and {EXECUTORS} executors each, twice"));
    let (cpu, api_server, started) = (world.cpu(), world.api_server_cpu(), Instant::now());
    let sides = world.create(jobs, UNDER_WAY);
    let (cpu, api_server) = (world.cpu() - cpu, world.api_server_cpu() - api_server);
    let took = started.elapsed().as_secs_f64();
    let pods = count(jobs * (1 + EXECUTORS));
    let scale = format!("{jobs} drivers at once, {EXECUTORS} executors each");
    added(report, &scale, &sides);
    let peak = world.replicas.iter().map(|replica| memory(replica.id(), "VmHWM")).max().unwrap_or_default();
    for (what, unit, figure) in [
        ("CPU of the webhook per pod", "µs", micros(cpu) / pods),
        ("CPU of the API server per pod, both halves", "µs", micros(api_server) / (2.0 * pods)),
        ("creations, both halves", "1/s", 2.0 * pods / took),
        ("peak memory of a replica", "MB", count(peak) / 1e6),
    ] {
        let name = format!("API server, {scale}, {what}");
        report.absolute(&name, unit, &Samples::one(figure), Threshold::None);
    }
}

/// What the webhook adds, from microseconds with and without it.
fn added(report: &mut Report, scale: &str, [with, without]: &[Vec<f64>; 2]) {
    for (name, at) in [("median", 0.5), ("p99", 0.99)] {
        let [with, without] = [with, without].map(|side| quantile(side, at) / 1e3);
        let name = format!("API server, {scale}, a creation with and without the webhook, {name}");
        report.beside(&name, "ms", &Samples::one(with), &Samples::one(without));
    }
    let difference = (quantile(with, 0.5) - quantile(without, 0.5)) / 1e3;
    let name = format!("API server, {scale}, added to a creation, median");
    report.absolute(&name, "ms", &Samples::one(difference), Threshold::None);
}

struct World {
    // Dropped first: a replica that is gone before its configuration would be called in vain.
    _registered: acceptance::registration::Registered,
    _balancer: Balancer,
    replicas: Vec<Webhook>,
    cluster: Cluster,
    _inputs: TempDir,
}

impl World {
    fn new(injector: &Path) -> Self {
        let inputs = tempfile::tempdir().expect("a directory");
        let profile = fixtures::profile("team-a", &fixtures::only(WITH), fixtures::SMALL);
        fixtures::write_inputs(inputs.path(), &[profile], [(WITH.to_owned(), "a".to_owned())].into_iter());
        let cluster = Cluster::start();
        let admin = cluster.admin();
        admin.create_namespace(&Namespace::new(WITH).opted_in());
        admin.create_namespace(&Namespace::new(WITHOUT));
        let replicas: Vec<_> = (0..2).map(|_| replica(injector, inputs.path())).collect();
        let balancer = Balancer::start();
        for replica in &replicas {
            balancer.add(replica.review_address(), Some(replica.admin_address()));
        }
        // Until then connections are refused, and a refused call in the webhook's name is what `wait` looks for, too.
        let ready =
            wait_until(Duration::from_secs(30), || (balancer.ready() == replicas.len()).then_some(()));
        ready.expect("both replicas are ready");
        let authorities: String = replicas.iter().map(|replica| replica.authority().certificate()).collect();
        let url = format!("https://{}/mutate", balancer.address());
        let registered = Registration::new("burst", &url, &authorities).register(admin);
        registered.wait(WITH);
        Self { _registered: registered, _balancer: balancer, replicas, cluster, _inputs: inputs }
    }

    fn cpu(&self) -> Duration {
        self.replicas.iter().map(|replica| process_cpu(replica.id())).sum()
    }

    fn api_server_cpu(&self) -> Duration {
        let [_, api_server] = self.cluster.process_ids();
        process_cpu(api_server)
    }

    /// Creates the pods of so many jobs in each half, so many requests at a time; microseconds of each creation.
    fn create(&self, jobs: usize, under_way: usize) -> [Vec<f64>; 2] {
        let half = |namespace: &str| {
            let pod = |name: &str| pods::fixture(name).pod_as_default(namespace);
            Arc::new(Half {
                driver: body(&pod("spark-3.5.9-driver")),
                executor: body(&pod("spark-3.5.9-executor")),
                path: format!("/api/v1/namespaces/{namespace}/pods?dryRun=All"),
                injected: namespace == WITH,
                took: Mutex::default(),
            })
        };
        let halves = [half(WITH), half(WITHOUT)];
        let client = self.cluster.admin().kube();
        // The drivers of both halves in turn; what a driver asks for joins the queue when the driver is there.
        let queue: VecDeque<_> =
            (0..jobs).flat_map(|_| halves.iter().map(|half| (Arc::clone(half), Kind::Driver))).collect();
        let queue = Arc::new(Mutex::new(queue));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let workers: Vec<_> =
                (0..under_way).map(|_| tokio::spawn(work(client.clone(), Arc::clone(&queue)))).collect();
            for worker in workers {
                worker.await.expect("every pod is admitted");
            }
        });
        halves.map(|half| std::mem::take(&mut *half.took.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn replica(injector: &Path, inputs: &Path) -> Webhook {
    let args = ["--from".to_owned(), inputs.display().to_string()].into();
    Webhook::launch(&Options { program: Some(injector), args, ..Options::default() })
}

struct Half {
    driver: Vec<u8>,
    executor: Vec<u8>,
    path: String,
    injected: bool,
    took: Mutex<Vec<f64>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Driver,
    Executor,
}

type Queue = Arc<Mutex<VecDeque<(Arc<Half>, Kind)>>>;

async fn work(client: kube::Client, queue: Queue) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((half, kind)) = next else { return };
        let body = if kind == Kind::Driver { &half.driver } else { &half.executor };
        let request = Request::post(&half.path).header("content-type", "application/json");
        let request = request.body(Body::from(body.clone())).expect("a request");
        let before = Instant::now();
        let response = client.send(request).await.expect("an answer");
        let status = response.status();
        let answer = response.into_body().collect().await.expect("an answer").to_bytes();
        let took = micros(before.elapsed());
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
        let text = String::from_utf8_lossy(&answer);
        assert_eq!(text.contains(STATUS_ANNOTATION), half.injected, "injected where opted in: {text}");
        half.took.lock().unwrap_or_else(PoisonError::into_inner).push(took);
        if kind == Kind::Driver {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.extend((0..EXECUTORS).map(|_| (Arc::clone(&half), Kind::Executor)));
        }
    }
}

/// A dry run keeps nothing: equal names do not clash.
fn body(pod: &Value) -> Vec<u8> {
    serde_json::to_vec(pod).expect("JSON")
}
