//! The built server, over TLS as the API server calls it, against two others on the same machine at the same time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::Progress;
use crate::args::{Bench, output, program, repository};
use crate::fixtures::{self, LARGE, SMALL};
use crate::idiom::Addition;
use crate::load::{Client, Found};
use crate::measure::{Samples, count, memory};
use crate::picture::{Curve, Panel};
use crate::process::{Credentials, Server};
use crate::report::{Report, Threshold};
use crate::swap;

const CPU: &str = "µs CPU";
const MEGABYTE: f64 = 1e6;
/// As many connections as the API server keeps idle.
const CONNECTIONS: [usize; 3] = [1, 8, 25];
const NO_GO: &str = "the Go reference: no go";

/// Everything that the runs of this suite share.
pub(crate) struct World {
    binary: PathBuf,
    files: TempDir,
    credentials: Credentials,
    small: Client,
    large: Client,
}

pub(crate) fn run(bench: &Bench, progress: &Progress, report: &mut Report) {
    let binary = match bench.injector() {
        Ok(binary) => binary,
        Err(missing) => return report.missing(&format!("suite server: {missing}")),
    };
    let world = World::new(binary);
    progress.say("server, building the Go reference");
    let go = build_go();
    if let Err(why) = &go {
        report.missing(why);
    }
    requests(bench, progress, report, &world, go.as_deref().ok());
    memory_of_connections(progress, report, &world);
    memory_of_large_reviews(progress, report, &world);
    namespaces(bench, progress, report, &world);
    swap::run(bench, progress, report, &world);
    start(bench, progress, report, &world);
}

impl World {
    fn new(binary: PathBuf) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let credentials = Credentials::write(files.path());
        let client = |namespace| Client::new(&credentials.authority, &fixtures::review(namespace));
        Self { binary, small: client("team-a"), large: client("team-b"), credentials, files }
    }

    /// A client for executors of a namespace.
    pub(crate) fn client(&self, namespace: &str) -> Client {
        Client::new(&self.credentials.authority, &fixtures::review(namespace))
    }

    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let directory = self.files.path().join(name);
        std::fs::create_dir_all(&directory).expect("a directory");
        directory
    }

    fn serve(&self, inputs: &Path) -> Server {
        self.serve_with(inputs, &[])
    }

    /// With environment variables.
    pub(crate) fn serve_with(&self, inputs: &Path, environment: &[(&str, &str)]) -> Server {
        Server::announced(
            Command::new(&self.binary)
                .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--from"])
                .arg(inputs)
                .arg("--tls-cert")
                .arg(&self.credentials.certificate)
                .arg("--tls-key")
                .arg(&self.credentials.key)
                .env("SPARK_INJECTOR_LOG", "info")
                .envs(environment.iter().copied()),
        )
    }

    fn constant(&self, payload: usize) -> Server {
        Server::announced(
            Command::new(std::env::current_exe().expect("this program"))
                .args(["constant", "--payload", &payload.to_string()])
                .arg("--certificate")
                .arg(&self.credentials.certificate)
                .arg("--key")
                .arg(&self.credentials.key),
        )
    }

    fn go(&self, binary: &Path) -> Server {
        let file = self.files.path().join("addition.json");
        let addition = Addition::of(&fixtures::catalog(SMALL), &fixtures::review("team-a"));
        std::fs::write(&file, serde_json::to_vec(&addition).expect("JSON")).expect("a file");
        Server::on_port(|port| {
            let mut command = Command::new(binary);
            command.arg("-port").arg(port.to_string()).arg("-certificates").arg(self.files.path());
            command.arg("-addition").arg(file);
            command
        })
    }

    /// `team-a` with the small payload, `team-b` with the large one.
    fn two_teams(&self) -> PathBuf {
        self.teams("two", &[("team-a", SMALL), ("team-b", LARGE)])
    }

    /// `team-a` with the small payload: all that the Go reference knows.
    fn one_team(&self) -> PathBuf {
        self.teams("one", &[("team-a", SMALL)])
    }

    fn teams(&self, directory: &str, teams: &[(&str, usize)]) -> PathBuf {
        let directory = self.directory(directory);
        let profile = |&(name, payload): &_| fixtures::profile(name, &fixtures::only(name), payload);
        let profiles: Vec<Value> = teams.iter().map(profile).collect();
        let namespaces = teams.iter().map(|&(name, _)| (name.to_owned(), String::new()));
        fixtures::write_inputs(&directory, &profiles, namespaces);
        directory
    }
}

#[derive(Default)]
struct Both {
    cpu: Samples,
    p99: Samples,
}

impl Both {
    fn push(&mut self, found: Found) {
        self.cpu.push(found.cpu);
        self.p99.push(found.p99);
    }
}

fn requests(bench: &Bench, progress: &Progress, report: &mut Report, world: &World, go: Option<&Path>) {
    let ours = world.serve(&world.two_teams());
    let silent = world.serve_with(&world.two_teams(), &[("SPARK_INJECTOR_LOG", "off")]);
    let constants = [world.constant(SMALL), world.constant(LARGE)];
    for (client, constant) in [(&world.small, &constants[0]), (&world.large, &constants[1])] {
        assert_eq!(client.answer(&ours).len(), client.answer(constant).len(), "the same answer");
    }
    // Asked for the same as the Go reference and for nothing else, since its memory is compared as well.
    let paired = world.serve(&world.one_team());
    let go = go.map(|binary| world.go(binary));
    if let Some(go) = &go {
        let answer: Value = serde_json::from_slice(&world.small.answer(go)).expect("a review");
        assert_eq!(answer["response"]["patchType"], "JSONPatch", "the Go reference injects");
    }
    let clients = [&world.small, &world.large];
    let cpu = bench.server_time();

    let mut keep: [[[Both; 2]; 3]; 2] = Default::default();
    let (mut quiet, mut quick, mut slow) = (Both::default(), Both::default(), Both::default());
    let mut fresh: [Both; 3] = Default::default();
    for round in 1..=bench.rounds() {
        progress.say(&format!("server, requests, round {round} of {}", bench.rounds()));
        for (size, client) in clients.into_iter().enumerate() {
            for (place, connections) in CONNECTIONS.into_iter().enumerate() {
                for (side, server) in [&ours, &constants[size]].into_iter().enumerate() {
                    keep[size][place][side].push(client.keep_alive(server, connections, cpu));
                }
            }
        }
        quiet.push(world.small.keep_alive(&silent, 8, cpu));
        quick.push(world.small.keep_alive(&paired, 8, cpu));
        fresh[0].push(world.small.new_connections(&paired, cpu));
        fresh[1].push(world.small.new_connections(&constants[0], cpu));
        if let Some(go) = &go {
            slow.push(world.small.keep_alive(go, 8, cpu));
            fresh[2].push(world.small.new_connections(go, cpu));
        }
    }

    for (size, (label, limit)) in [("4 KB", 2.0), ("200 KB", 1.25)].into_iter().enumerate() {
        for (place, connections) in CONNECTIONS.into_iter().enumerate() {
            let [ours, constant] = &keep[size][place];
            let plural = if connections == 1 { "" } else { "s" };
            let name =
                format!("server, {label} answer, {connections} connection{plural}, against a constant");
            report.at_most(&name, CPU, &ours.cpu, &constant.cpu, limit);
            if connections == 8 {
                let name = format!("server, {label} answer, p99 at 8 connections, against a constant");
                report.at_most(&name, "µs", &ours.p99, &constant.p99, 2.0);
            }
        }
    }
    let [at_eight, constant] = &keep[0][1];
    report.beside(
        "server, 4 KB answer, 8 connections, without and with its log",
        CPU,
        &quiet.cpu,
        &at_eight.cpu,
    );
    report.beside("server, new TLS connection, against a constant", CPU, &fresh[0].cpu, &fresh[1].cpu);
    let busy = |server: &Server| Samples::one(count(memory(server.id(), "VmHWM")) / MEGABYTE);
    let mut bars = vec![("spark-injector".to_owned(), at_eight.cpu.median())];
    bars.push(("a constant, same server".to_owned(), constant.cpu.median()));
    let cost = ("server, executor, 8 connections, against controller-runtime", Threshold::AtLeast(60.0));
    let handshake = ("server, new TLS connection, against controller-runtime", Threshold::AtLeast(12.0));
    let peak = ("server, peak memory, against controller-runtime", Threshold::AtLeast(4.0));
    if let Some(go) = &go {
        report.at_least(cost.0, CPU, &quick.cpu, &slow.cpu, 60.0);
        report.at_least(handshake.0, CPU, &fresh[0].cpu, &fresh[2].cpu, 12.0);
        report.at_least(peak.0, "MB", &busy(&paired), &busy(go), 4.0);
        bars.push(("controller-runtime (Go)".to_owned(), slow.cpu.median()));
    } else {
        report.without(cost.0, CPU, &quick.cpu, cost.1, NO_GO);
        report.without(handshake.0, CPU, &fresh[0].cpu, handshake.1, NO_GO);
        report.without(peak.0, "MB", &busy(&paired), peak.1, NO_GO);
    }
    bars.push(("spark-injector, new TLS".to_owned(), fresh[0].cpu.median()));
    if go.is_some() {
        bars.push(("Go, new TLS".to_owned(), fresh[2].cpu.median()));
    }
    report.panel(Panel::bars("CPU per request: server, TLS, executor of 9 KB", "µs", bars));
}

/// Large plans, and what one more connection costs.
fn memory_of_connections(progress: &Progress, report: &mut Report, world: &World) {
    progress.say("server, memory of connections");
    let server = world.serve(&world.two_teams());
    world.large.keep_alive(&server, 25, Duration::from_secs(1));
    let peak = memory(server.id(), "VmHWM");
    let name = "server, peak memory, 25 connections, 200 KB answers";
    report.absolute(name, "MB", &Samples::one(count(peak) / MEGABYTE), Threshold::AtMost(16.0));
    for (client, label) in [(&world.small, "4 KB"), (&world.large, "200 KB")] {
        let server = world.serve(&world.two_teams());
        let resident = || memory(server.id(), "VmRSS");
        let (few, many) = (client.hold(&server, 25, resident), client.hold(&server, 525, resident));
        let each = count(many.saturating_sub(few)) / 500.0 / 1e3;
        let name = format!("server, memory of a further connection, {label} answers");
        report.absolute(&name, "kB", &Samples::one(each), Threshold::AtMost(60.0));
    }
}

/// What callers can make it take who may create pods and mean no good.
fn memory_of_large_reviews(progress: &Progress, report: &mut Report, world: &World) {
    progress.say("server, large reviews");
    let server = world.serve(&world.two_teams());
    let client = Client::new(&world.credentials.authority, &fixtures::review_of_many_entries("team-a"));
    let found = client.keep_alive(&server, 20, Duration::from_secs(2));
    let name = "server, 20 reviews of 3 MB at once, a million entries each";
    report.absolute(name, "ms CPU", &Samples::one(found.cpu / 1e3), Threshold::None);
    let peak = Samples::one(count(memory(server.id(), "VmHWM")) / MEGABYTE);
    report.absolute(&format!("{name}, peak memory"), "MB", &peak, Threshold::None);
}

/// Memory against namespaces: twenty profiles of 4 kB.
fn namespaces(bench: &Bench, progress: &Progress, report: &mut Report, world: &World) {
    let mut points = Vec::new();
    let sizes: &[usize] = if bench.quick { &[10, 10_000] } else { &[10, 100, 1_000, 3_000, 10_000] };
    for namespaces in sizes {
        progress.say(&format!("server, {namespaces} namespaces"));
        let directory = world.directory(&format!("namespaces-{namespaces}"));
        let profiles: Vec<Value> = (0..20)
            .map(|index| fixtures::profile(&format!("profile-{index}"), &fixtures::group(index), SMALL))
            .collect();
        fixtures::write_inputs(&directory, &profiles, fixtures::groups(*namespaces, 20));
        let server = world.serve(&directory);
        let client = world.client("team-7");
        assert!(client.answer(&server).len() > SMALL, "it is served");
        // The first look at the inputs after the start reads them once more.
        std::thread::sleep(Duration::from_secs(3));
        points.push((count(*namespaces), count(memory(server.id(), "VmRSS")) / MEGABYTE));
        if *namespaces == 10_000 {
            let resident = Samples::one(count(memory(server.id(), "VmRSS")) / MEGABYTE);
            let peak = Samples::one(count(memory(server.id(), "VmHWM")) / MEGABYTE);
            let name = "server, memory, 10,000 namespaces, 20 profiles of 4 kB";
            report.absolute(name, "MB", &resident, Threshold::AtMost(64.0));
            report.absolute(&format!("{name}, peak"), "MB", &peak, Threshold::None);
        }
    }
    let curves = vec![Curve::new("spark-injector", points)];
    report.panel(Panel::lines(
        "Memory by namespaces: server, 20 profiles of 4 kB",
        "namespaces",
        "MB",
        curves,
    ));
}

/// From the start of the process to the line that says that it listens: it accepts from then on.
fn start(bench: &Bench, progress: &Progress, report: &mut Report, world: &World) {
    progress.say("server, start");
    let directory = world.directory("fifty");
    let profiles: Vec<Value> = (0..50)
        .map(|index| fixtures::profile(&format!("profile-{index}"), &fixtures::group(index), SMALL))
        .collect();
    fixtures::write_inputs(&directory, &profiles, fixtures::groups(50, 50));
    let mut took = Samples::default();
    for _ in 0..bench.rounds() * 4 {
        took.push(world.serve(&directory).started.as_secs_f64() * 1e3);
    }
    let name = "server, start to accepting, 50 profiles";
    report.absolute(name, "ms", &took, Threshold::AtMost(20.0));
}

fn build_go() -> Result<PathBuf, String> {
    let go = program("go").ok_or(NO_GO)?;
    let binary = output().join("controller-runtime");
    std::fs::create_dir_all(output()).map_err(|error| error.to_string())?;
    let built = Command::new(go)
        .current_dir(repository().join("tests/bench/go"))
        .args(["build", "-trimpath", "-ldflags=-s -w", "-o"])
        .arg(&binary)
        .arg(".")
        .output()
        .map_err(|error| format!("the Go reference: {error}"))?;
    if built.status.success() {
        Ok(binary)
    } else {
        let text = String::from_utf8_lossy(&built.stderr);
        Err(format!("the Go reference: {}", text.lines().last().unwrap_or("go build failed")))
    }
}
