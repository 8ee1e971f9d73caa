//! The story: an owner's documents, a submission, the pods, the files, a refusal. It shows what is there, and checks
//! what it shows.

mod additions;
mod bundle;
mod checks;
mod explained;
mod files;
mod scenes;
mod screen;
mod settings;
mod table;
mod workplace;

use std::io::BufRead as _;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use acceptance::client::Namespace;
use acceptance::cluster::Cluster;
use acceptance::places;
use acceptance::process::is_alive;
use acceptance::webhook::Webhook;

use bundle::Bundle;
use checks::Checks;
use scenes::{PLAIN, Stage, TEAM};
use screen::{Screen, complain};
use workplace::Workplace;

/// Runs the demo; with `keep`, everything stays up at the end until somebody says so.
pub(crate) fn run(keep: bool) -> ExitCode {
    workplace::stop_on_signals();
    panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let why = text.or_else(|| payload.downcast_ref().copied()).unwrap_or("an error without a message");
        let place = panic.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
        complain(&format!("{why}{}", place.unwrap_or_default()));
    }));
    let (screen, mut checks) = (Screen::new(), Checks::default());
    let told = panic::catch_unwind(AssertUnwindSafe(|| tell(screen, keep, &mut checks)));
    verdict(screen, &checks, told.ok())
}

/// The whole story; returns how long it took.
fn tell(screen: Screen, keep: bool, checks: &mut Checks) -> Duration {
    let mut begin = Instant::now();
    // Both say themselves what takes long the first time. Spark first: it is the one that soon knows what is missing.
    places::spark_home();
    places::control_plane();
    let workplace = Workplace::new();
    let processes = {
        let bundle = Bundle::copy_to(workplace.directory("platform"));
        let cluster = screen.during("starting etcd and kube-apiserver", Cluster::start);
        let webhook = Webhook::start(bundle.directory(), &[]);
        create_namespaces(&cluster, &bundle);
        // Dropped before the webhook: an API server that calls nobody refuses everything.
        let registered = webhook.registration("spark-injector").register(cluster.admin());
        registered.wait(TEAM);
        let mut stage = Stage {
            screen,
            cluster: &cluster,
            bundle: &bundle,
            checks,
            rows: Vec::new(),
            differences: Vec::new(),
        };
        stage.owner(&webhook);
        let driver = stage.submission();
        stage.pod(&driver);
        let executor = stage.executors();
        stage.pod(&executor);
        stage.files(&[driver, executor], &workplace);
        stage.refusal();
        let paused = Instant::now();
        if keep {
            wait(screen, &cluster, &webhook);
        }
        begin += paused.elapsed();
        let [store, server] = cluster.process_ids();
        [store, server, webhook.id()]
    };
    drop(workplace);
    for process in processes {
        checks.holds(!is_alive(process), || format!("process {process} is still there"));
    }
    begin.elapsed()
}

/// The team's namespace as the bundle has it, and one that nobody opted in.
fn create_namespaces(cluster: &Cluster, bundle: &Bundle) {
    let api = cluster.admin();
    let file = bundle.directory().join("namespace.yaml");
    let applied = cluster.kubectl(&["apply", "-f", file.to_str().expect("a path in UTF-8")]);
    assert!(applied.status.success(), "kubectl apply: {}", String::from_utf8_lossy(&applied.stderr));
    // A controller of a real cluster makes it.
    api.create_service_account(TEAM, "default");
    api.create_namespace(&Namespace::new(PLAIN));
    for (value, class) in (1..).map(|rank| 10_000 / rank).zip(bundle.priority_classes().values()) {
        api.apply_priority_class(class, value);
    }
}

fn wait(screen: Screen, cluster: &Cluster, webhook: &Webhook) {
    let kubectl = places::control_plane().join("kubectl");
    screen.step("Still running, for a look around");
    screen.command(&format!("export KUBECONFIG={}", cluster.kubeconfig().display()));
    screen.command(&format!("alias kubectl={}", kubectl.display()));
    screen.command(&format!("kubectl get pods -n {TEAM}"));
    screen.command(&format!("kubectl get pods -n {TEAM} -l spark-role=driver -o yaml"));
    screen.command(&format!("kubectl get pods -n {PLAIN} -l spark-role=driver -o yaml"));
    screen.line(format_args!("  The webhook answers at {} (process {}).", webhook.url(), webhook.id()));
    screen.line("");
    screen.line("  Enter or Ctrl-C ends everything.");
    let mut line = String::new();
    // Without a terminal there is no Enter, and only a signal ends it.
    if std::io::stdin().lock().read_line(&mut line).unwrap_or_default() == 0 {
        loop {
            std::thread::park();
        }
    }
}

/// The last lines. No time where the story broke off: why is on standard error already.
fn verdict(screen: Screen, checks: &Checks, took: Option<Duration>) -> ExitCode {
    let (count, failures) = (checks.count(), checks.failures());
    if let (Some(took), true) = (took, failures.is_empty()) {
        let took = took.as_secs_f64();
        screen.line("");
        screen.line(screen.green(&format!(
            "All {count} checks hold, in {took:.0} s. Everything that was started has ended."
        )));
        return ExitCode::SUCCESS;
    }
    if !failures.is_empty() {
        complain(&format!("{} of {count} checks failed:", failures.len()));
        for failure in failures {
            complain(&format!("  {failure}"));
        }
    }
    ExitCode::FAILURE
}
