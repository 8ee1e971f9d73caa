//! The scenes of the story, in order, each with its checks.

use std::panic::resume_unwind;
use std::thread;

use serde_json::Value;

use acceptance::cluster::Cluster;
use acceptance::kubelet::INIT_CONTAINER;
use acceptance::registration::STATUS_ANNOTATION;
use acceptance::spark::{self, Run};
use acceptance::webhook::Webhook;
use acceptance::{cli, kubelet};

use super::additions::{self, spark_container};
use super::bundle::{Bundle, SHOWN};
use super::checks::Checks;
use super::explained::Explained;
use super::screen::Screen;
use super::table::{self, Row};
use super::workplace::Workplace;
use super::{files, settings};

/// The namespace that the bundle is for.
pub(super) const TEAM: &str = "team-a";
/// A namespace that nobody opted in: what Spark alone makes.
pub(super) const PLAIN: &str = "plain";

/// The priority that the job asks for: the one choice that is the user's.
const DRIVER: (&str, &str) = ("spark.kubernetes.driver.label.spark-injector.io/variant", "p1");
const EXECUTOR: (&str, &str) = ("spark.kubernetes.executor.label.spark-injector.io/variant", "p2");
const CONFLICT: (&str, &str) = ("spark.kubernetes.node.selector.pool", "b");

/// The mounts of a real platform; what the bundle must give to each role, and nothing else.
const MOUNTS: [(&str, &[&str]); 2] = [
    (
        "driver",
        &[
            "/my_project/resources",
            "/my_project/resources/config",
            "/my_project/resources/kerberos",
            "/my_project/resources/scheduler-config",
            "/tmp/application-properties",
            "/tmp/executor_template",
            "/tmp/krb5",
            "/tmp/ranger",
            "/tmp/scheduler-config",
        ],
    ),
    ("executor", &["/my_project/resources/kerberos", "/tmp/krb5_conf", "/tmp/krb5_keytab"]),
];

/// What the same command line made of a role in both namespaces.
#[derive(Debug)]
pub(super) struct Made {
    role: &'static str,
    alone: Value,
    stored: Value,
}

/// What the scenes share.
pub(super) struct Stage<'a> {
    pub(super) screen: Screen,
    pub(super) cluster: &'a Cluster,
    pub(super) bundle: &'a Bundle,
    pub(super) checks: &'a mut Checks,
    /// The table that the reader saw last.
    pub(super) rows: Vec<Row>,
    /// The settings in which the two submissions differ.
    pub(super) differences: Vec<String>,
}

impl Stage<'_> {
    /// What the owner has done, once.
    pub(super) fn owner(&mut self, webhook: &Webhook) {
        let screen = self.screen;
        let kinds = ["SparkProfile", "ConfigMap", "Secret"];
        let [profiles, maps, secrets] = kinds.map(|kind| self.bundle.count(kind));
        let metadata = &self.bundle.find("Namespace", TEAM)["metadata"];
        let first = |map: &Value| {
            let mut pairs = map.as_object().into_iter().flatten();
            let (key, value) = pairs.next().expect("a label or annotation");
            format!("{key}: {}", value.as_str().unwrap_or_default())
        };
        let version = self.cluster.admin().get("/version").expect(200);
        screen.line(screen.bold("spark-injector, shown on the real thing"));
        screen.line(format_args!(
            "  Spark {} and an API server {} on this machine. No node: pods are stored, none runs.",
            spark::IMAGE.rsplit(':').next().unwrap_or_default(),
            version["gitVersion"].as_str().unwrap_or_default(),
        ));
        screen.step("1  The platform's owner writes this once");
        screen.line(format_args!(
            "  {SHOWN}/  {profiles} SparkProfiles, {maps} ConfigMaps, {secrets} Secret, and namespace {TEAM}:"
        ));
        screen.line(format_args!("    label       {}", first(&metadata["labels"])));
        screen.line(format_args!("    annotation  {}", first(&metadata["annotations"])));
        screen.line(format_args!("  The webhook serves from there at {}.", webhook.url()));
    }

    /// The same submission, with and without us.
    pub(super) fn submission(&mut self) -> Made {
        let drivers = self.both("spark-submit, cluster mode", |namespace| {
            spark::submit_driver(self.cluster, namespace, &[DRIVER, EXECUTOR])
        });
        for run in &drivers {
            assert_eq!((run.status, run.pods.len()), (Some(0), 1), "spark-submit failed: {}", run.output);
        }
        let api = self.cluster.admin();
        let [plain, team] = drivers.each_ref().map(|run| settings::of(&run.pods[0], api));
        self.differences = settings::differences(&plain, &team);
        let only = ["spark.kubernetes.namespace".to_owned()];
        self.checks.equal("settings in which the submissions differ", self.differences.as_slice(), &only);

        let screen = self.screen;
        screen.step("2  A user submits as ever");
        let conf = |key: &str| format!("--conf {key}={}", team.get(key).map_or("", String::as_str));
        let master = team.get("spark.master").map_or("", String::as_str);
        screen.command(&format!("spark-submit --master {master} --deploy-mode cluster \\"));
        for line in [
            conf("spark.kubernetes.container.image"),
            conf("spark.kubernetes.authenticate.driver.serviceAccountName"),
            conf(DRIVER.0),
            conf(EXECUTOR.0),
        ] {
            screen.line(format_args!("      {} \\", screen.cyan(&line)));
        }
        screen.line(format_args!("      {} \\", screen.bold(&conf("spark.kubernetes.namespace"))));
        let application = "--class org.apache.spark.examples.SparkPi local:///opt/spark/examples/jars/spark-examples.jar 1000";
        screen.line(format_args!("      {}", screen.cyan(application)));
        screen
            .line("  Left out: credentials, names, temporary paths, and what a machine without nodes needs.");
        screen.line(format_args!(
            "  The same once more in namespace {PLAIN}, which nobody opted in, shows what Spark alone makes."
        ));
        let [alone, stored] = drivers.map(|run| run.pods[0].clone());
        Made { role: "driver", alone, stored }
    }

    /// The executors of a job with the same settings.
    pub(super) fn executors(&mut self) -> Made {
        let executors = self.both("a client-mode driver asks for two executors", |namespace| {
            spark::client_mode_executors(self.cluster, namespace, 2, &[DRIVER, EXECUTOR])
        });
        for run in &executors {
            assert_eq!(run.pods.len(), 2, "too few executors: {}", run.output);
        }
        let [alone, stored] = executors.each_ref().map(|run| run.pods[0].clone());
        let [one, other] = [0, 1].map(|at| self.seen(&alone, &executors[1].pods[at], "executor"));
        self.checks.equal("what two executors of one job get", &one, &other);
        Made { role: "executor", alone, stored }
    }

    fn seen(&self, alone: &Value, stored: &Value, role: &str) -> Vec<String> {
        let all = additions::between(alone, stored, role, self.bundle).into_iter();
        all.map(|addition| addition.field + &addition.value).collect()
    }

    /// Does something in both namespaces at the same time: Spark mostly starts its Java machine.
    fn both(&self, what: &str, work: impl Fn(&str) -> Run + Sync) -> [Run; 2] {
        self.screen.during(what, || {
            thread::scope(|scope| {
                let work = &work;
                let threads = [PLAIN, TEAM].map(|namespace| scope.spawn(move || work(namespace)));
                threads.map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            })
        })
    }

    /// What the API server stored that Spark did not send.
    pub(super) fn pod(&mut self, made: &Made) {
        let Made { role, alone, stored } = made;
        let screen = self.screen;
        let number = if *role == "driver" { 3 } else { 4 };
        let [before, after] = [alone, stored].map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default());
        screen.step(&format!("{number}  The {role}: what Spark sent, and what the API server stored"));
        screen.line(screen.dim(&format!("    {PLAIN}/{before}: as Spark made it")));
        screen.line(screen.dim(&format!("    {TEAM}/{after}: the same, and")));
        self.checks
            .holds(additions::is_untouched(alone), || format!("{role}: the pod in {PLAIN} was touched"));
        self.checks.equal(
            &format!("{role}: altered by us"),
            &additions::altered(alone, stored, role),
            &Vec::new(),
        );

        let mut explained = Explained::of(alone, TEAM, self.bundle);
        let mut rows = Vec::new();
        for addition in additions::between(alone, stored, role, self.bundle) {
            let origin = explained.origin(&addition.field, addition.told_by.as_ref());
            let field = &addition.field;
            self.checks
                .holds(origin.is_some(), || format!("{role}: explain does not say who asked for {field}"));
            if let Some(path) = field.strip_prefix("mount ") {
                let wanted = self.bundle.entry(path, role).map(|entry| entry.origin);
                self.checks.equal(&format!("{role}: who asked for {path}"), &origin, &wanted);
            }
            rows.push(Row::new(&addition, origin.as_deref()));
        }
        self.checks.equal(&format!("{role}: explained, and not stored"), &explained.unasked(), &Vec::new());
        table::print(screen, &rows, &self.rows);
        self.rows = rows;
        self.promises(made);
    }

    /// What the bundle promises, by name: not derived from what the webhook or `explain` says.
    fn promises(&mut self, made: &Made) {
        let Made { role, stored, .. } = made;
        let (spec, container) = (&stored["spec"], kubelet::container(stored, &spark_container(role)));
        let mut mounts: Vec<&str> = Vec::new();
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            if mount["name"] == kubelet::VOLUME {
                mounts.extend(mount["mountPath"].as_str());
            }
        }
        mounts.sort_unstable();
        let (_, wanted) = MOUNTS.iter().find(|(its, _)| its == role).expect("a role");
        self.checks.equal(&format!("{role}: mounts"), mounts.as_slice(), wanted);
        let variable = |name: &str| {
            let all = container["env"].as_array().into_iter().flatten();
            all.clone().find(|its| its["name"] == name).and_then(|its| its["value"].as_str())
        };
        let executor = (*role == "executor").then_some("true");
        self.checks.equal(
            &format!("{role}: MY_PROJECT_EXECUTOR"),
            &variable("MY_PROJECT_EXECUTOR"),
            &executor,
        );
        self.checks.equal(&format!("{role}: HADOOP_USER_NAME"), &variable("HADOOP_USER_NAME"), &Some("etl"));
        let class = if *role == "driver" { "spark-p1" } else { "spark-p2" };
        let status = stored["metadata"]["annotations"][STATUS_ANNOTATION].as_str().unwrap_or_default();
        for (what, found, expected) in [
            ("node selector", spec["nodeSelector"]["pool"].as_str(), "a"),
            ("priority class", spec["priorityClassName"].as_str(), class),
            ("first init container", spec["initContainers"][0]["name"].as_str(), INIT_CONTAINER),
            ("first DNS option", spec["dnsConfig"]["options"][0]["name"].as_str(), "single-request-reopen"),
            ("first host alias", spec["hostAliases"][0]["ip"].as_str(), "10.1.2.3"),
        ] {
            self.checks.equal(&format!("{role}: {what}"), &found, &Some(expected));
        }
        let text = spec.to_string();
        for promised in ["/nvme0/spark", "/nvme1/spark", "kdc.example.com", "\"dedicated\""] {
            self.checks.holds(text.contains(promised), || format!("{role}: nothing says {promised}"));
        }
        self.checks.holds(status.contains(role), || format!("{role}: the status annotation is {status}"));
    }

    /// The files, as the containers would see them.
    pub(super) fn files(&mut self, pods: &[Made; 2], workplace: &Workplace) {
        let screen = self.screen;
        screen.step("5  The files: init-sync writes them before Spark starts");
        screen.command(&format!(
            "spark-injector secrets --from {SHOWN} --namespace {TEAM} | kubectl apply -f -"
        ));
        let secrets = cli::run(&["secrets", "--from", self.bundle.argument(), "--namespace", TEAM], b"");
        assert!(
            secrets.status == 0,
            "spark-injector secrets ended with {}: {}",
            secrets.status,
            secrets.stderr
        );
        let file = workplace.path().join("secrets.yaml");
        std::fs::write(&file, secrets.stdout).expect("a file");
        let applied = self.cluster.kubectl(&["apply", "-f", file.to_str().expect("a path in UTF-8")]);
        assert!(applied.status.success(), "kubectl apply: {}", String::from_utf8_lossy(&applied.stderr));
        screen.line(format_args!("    {}", String::from_utf8_lossy(&applied.stdout).trim_end()));
        for made in pods {
            let volume = workplace.directory(&format!("{}-files", made.role));
            let variables = files::write(&made.stored, self.cluster.admin(), &volume);
            let seen = files::look(&made.stored, made.role, &volume, self.bundle, self.checks);
            screen.line(format_args!(
                "  {} finds {} files ({variables} variables, resolved as the kubelet does):",
                made.role,
                seen.len()
            ));
            for file in seen {
                let ok = if file.source.is_empty() { screen.red("wrong") } else { screen.green("ok") };
                screen.line(format_args!(
                    "    {:60} {:04o} {:>5} B  sha256 {}… {ok} {}",
                    file.path,
                    file.mode,
                    file.size,
                    file.digest,
                    screen.dim(&format!("= {}", file.source)),
                ));
            }
        }
    }

    /// What a user is told who asks for the nodes of another team.
    pub(super) fn refusal(&mut self) {
        let run = self.screen.during("spark-submit for the nodes of another team", || {
            spark::submit_driver(self.cluster, TEAM, &[DRIVER, EXECUTOR, CONFLICT])
        });
        let screen = self.screen;
        let (key, value) = CONFLICT;
        screen.step("6  A refusal: the job asks for the nodes of another team");
        screen.command(&format!("spark-submit … --conf {key}={value}"));
        let said = run.output.lines().find(|line| line.contains("admission webhook"));
        // Spark then says it all again, as a Java object.
        let shown = said.map(|said| said.split_once(" Received status").map_or(said, |(first, _)| first));
        for line in wrapped(shown.unwrap_or("(nothing)"), 104) {
            screen.line(format_args!("    {}", screen.red(&line)));
        }
        self.checks.equal("pods of the refused submission", &run.pods.len(), &0);
        self.checks.holds(run.status != Some(0), || "the refused submission ended with 0".to_owned());
        let sentence = "pod node label selector conflicts with its namespace node label selector";
        let named = said.is_some_and(|said| said.contains(sentence) && said.contains("pool"));
        self.checks.holds(named, || format!("the refusal was: {}", run.output));

        screen.step("What did the user do differently? Nothing.");
        screen.line(format_args!(
            "  Spark wrote down the settings of both submissions. They differ in: {}.",
            self.differences.join(", "),
        ));
    }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("one line at least");
        if !last.is_empty() && last.chars().count() + word.chars().count() >= width {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}
