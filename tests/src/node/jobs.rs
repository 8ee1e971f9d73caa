//! Scene: Spark jobs that run to their end on the node, submitted as ever, and what their processes see of the files.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::running::Node;
use super::seen;
use crate::chaos::Finding;
use crate::client::{self, Namespace};
use crate::kubelet::INIT_CONTAINER;
use crate::manifests::OWN;
use crate::registration::STATUS_ANNOTATION;
use crate::spark;

/// The profile whose files go into each namespace as a Secret.
pub const BY_SECRET: &str = "team-a";
/// Namespaces of the same profile in which no pod has run yet: the kubelet goes on with an immutable Secret that it has
/// read, whatever becomes of it. One loses its Secret, the other one gets another.
pub const WITHOUT: &str = "team-a-without";
/// See [`WITHOUT`].
pub const EXCHANGED: &str = "team-a-exchanged";
/// The profile whose files stand in the pods; its namespace is a restricted one.
pub const BY_ENVIRONMENT: &str = "team-b";

/// The keytab as it is mounted.
pub const KEYTAB: &str = "/my_project/resources/kerberos/etl.keytab";

const JOB: &str = include_str!("../../node/look.py");
const KERBEROS: &str = "[libdefaults]\n  default_realm = EXAMPLE.COM\n";
const APPLICATION: &str = "spring.profiles.active=prod\n";
const EXECUTORS: &str = "2";
const LIMIT: Duration = Duration::from_secs(60);

/// What the platform owner applies before any job: sources, profiles, labels.
pub fn prepare(node: &Node) -> Finding {
    let mut finding = Finding::new("Profiles, their sources, and namespaces that opt in");
    let api = node.api();
    api.apply_config_map(OWN, "krb5", &[("krb5.conf", KERBEROS)]);
    api.apply_config_map(OWN, "application", &[("application.properties", APPLICATION)]);
    api.apply_secret(OWN, "etl-keytab", &[("etl.keytab", &keytab())]);
    for name in [BY_SECRET, WITHOUT, EXCHANGED] {
        api.create_namespace(&Namespace::new(name).opted_in());
    }
    restrict(node);
    api.apply(&with_secret(node));
    api.apply(&without_secret());

    for name in [BY_SECRET, BY_ENVIRONMENT] {
        let path = format!("/apis/spark-injector.io/v1alpha1/sparkprofiles/{name}");
        let revision =
            seen::wait_for(api, &path, "a profile that is ready and delivered", LIMIT, |profile| {
                let conditions = profile["status"]["conditions"].as_array()?;
                let holds =
                    |kind: &str| conditions.iter().any(|one| one["type"] == kind && one["status"] == "True");
                // Where files stand in the pods there is nothing to deliver.
                (holds("Ready") && (holds("Delivered") || name == BY_ENVIRONMENT))
                    .then(|| profile["status"]["revision"].as_str().map(str::to_owned))
                    .flatten()
            });
        finding.measured(format_args!("{name} is ready, revision {revision}"));
    }
    for namespace in [BY_SECRET, WITHOUT, EXCHANGED] {
        let delivered = delivered(node, namespace);
        finding.promise(
            delivered.as_ref().is_some_and(|secret| secret["immutable"] == true),
            format_args!("the files of {BY_SECRET} are in {namespace} as an immutable Secret"),
        );
    }
    finding.promise(
        delivered(node, BY_ENVIRONMENT).is_none(),
        format_args!("nothing is in {BY_ENVIRONMENT}, whose files stand in the pods"),
    );
    finding
}

/// The Secret with files of ours in a namespace.
pub fn delivered(node: &Node, namespace: &str) -> Option<Value> {
    let secrets = node.api().list("v1", "Secret", Some(namespace));
    secrets.into_iter().find(|secret| seen::name(secret).starts_with("spark-injector-"))
}

/// The strictest of namespaces: Pod Security `restricted`, and a quota by which each container has to say what it needs.
fn restrict(node: &Node) {
    let level = "pod-security.kubernetes.io/enforce";
    node.api().create_namespace(&Namespace::new(BY_ENVIRONMENT).opted_in().label(level, "restricted"));
    let metadata = json!({"name": "compute", "namespace": BY_ENVIRONMENT});
    let hard = json!({"requests.cpu": "2", "requests.memory": "6Gi", "limits.cpu": "6", "limits.memory": "6Gi", "pods": "5"});
    node.api().apply(
        &json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": hard}}),
    );
}

fn files() -> Vec<Value> {
    vec![
        json!({"mountPath": "/etc/krb5.conf", "file": "krb5.conf", "configMap": {"name": "krb5"}}),
        json!({"mountPath": "/my_project/resources", "configMap": {"name": "application"}}),
        json!({"mountPath": "/my_project/job", "roles": ["driver"], "inline": {"look.py": JOB}}),
    ]
}

/// The name under which a driver looks for the API server: this cluster has no DNS.
fn aliases() -> Value {
    json!([{"ip": "10.96.0.1", "hostnames": ["kubernetes.default.svc"]}])
}

/// A keytab, one mount inside another, a disk of the node.
fn with_secret(node: &Node) -> Value {
    let disk = node.directory("disk");
    // As the owner of a node prepares a disk for every user.
    std::fs::set_permissions(&disk, std::fs::Permissions::from_mode(0o1777)).expect("a directory of our own");
    let mut files = files();
    files.push(json!({"mountPath": "/my_project/resources/kerberos", "roles": ["driver", "executor"],
                      "secret": {"name": "etl-keytab"}, "mode": "0440"}));
    profile(
        BY_SECRET,
        &json!({
            "namespaces": {"names": [BY_SECRET, WITHOUT, EXCHANGED]},
            "delivery": "Auto",
            "files": files,
            "common": {"template": {"spec": {"hostAliases": aliases()}}},
            "localDirs": [{"hostPath": {"path": disk, "type": "Directory"}}],
        }),
    )
}

/// What Spark's own settings cannot say, and a restricted namespace asks for.
fn without_secret() -> Value {
    let container = json!({"name": "spark", "securityContext": {"allowPrivilegeEscalation": false,
                                                                "capabilities": {"drop": ["ALL"]}},
                           "resources": {"limits": {"cpu": "1"}}});
    let pod = json!({"hostAliases": aliases(), "containers": [container],
                     "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}});
    profile(
        BY_ENVIRONMENT,
        &json!({"namespaces": {"names": [BY_ENVIRONMENT]}, "delivery": "Env", "files": files(),
                "common": {"template": {"spec": pod}}}),
    )
}

fn profile(name: &str, more: &Value) -> Value {
    let mut spec = more.clone();
    spec["nodeSelector"] = json!({"default": {"pool": "a"}});
    spec["executorRole"] = json!({"name": "MY_PROJECT_EXECUTOR", "value": "true"});
    json!({"apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile", "metadata": {"name": name}, "spec": spec})
}

/// Runs a job with a driver and two executors in a namespace, and looks at what each of them saw.
pub fn run(node: &Node, namespace: &str) -> Finding {
    let mut finding = Finding::new(&format!("`spark-submit` in cluster mode, namespace {namespace}"));
    let job = "local:///my_project/job/look.py";
    let settings = [
        ("spark.executor.instances", EXECUTORS),
        ("spark.driver.memory", "512m"),
        ("spark.executor.memory", "512m"),
        ("spark.kubernetes.driver.request.cores", "0.1"),
        ("spark.kubernetes.executor.request.cores", "0.1"),
        // A task for each executor, at the same time.
        ("spark.scheduler.minRegisteredResourcesRatio", "1.0"),
        ("spark.scheduler.maxRegisteredResourcesWaitingTime", "120s"),
    ];
    let application = [job, EXECUTORS, "/etc/krb5.conf", "/my_project"];
    let run = spark::run_job(node.cluster(), namespace, &settings, &application);
    finding.measured(format_args!("spark-submit ended after {:.0} s", run.took.as_secs_f64()));
    // The kubelet tells of the last executor a moment after spark-submit has ended.
    let pods = seen::wait_for(
        node.api(),
        &format!("/api/v1/namespaces/{namespace}/pods"),
        "the end of every pod",
        LIMIT,
        |list| {
            let pods = list["items"].as_array()?;
            let ended =
                |pod: &Value| ["Succeeded", "Failed"].iter().any(|phase| pod["status"]["phase"] == *phase);
            pods.iter().all(ended).then(|| pods.clone())
        },
    );
    let roles: Vec<_> = pods.iter().map(|pod| pod["metadata"]["labels"]["spark-role"].as_str()).collect();
    let executors = roles.iter().filter(|role| **role == Some("executor")).count();
    finding.promise(
        (executors, roles.len()) == (2, 3),
        format_args!("{} pods, {executors} of them executors", roles.len()),
    );
    for pod in &pods {
        injected(&mut finding, node, pod);
    }

    let driver = pods.iter().find(|pod| pod["metadata"]["labels"]["spark-role"] == "driver");
    let log = driver.map(|pod| seen::log(node.api(), pod, "spark-kubernetes-driver")).unwrap_or_default();
    let said: Vec<Value> =
        log.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("SEEN ")?).ok()).collect();
    finding.promise(
        said.len() == 3,
        format_args!("the job says what its three processes saw{}", if said.len() == 3 { "" } else { &log }),
    );
    for one in &said {
        looked(&mut finding, one, namespace == BY_SECRET);
    }
    let hosts: BTreeSet<_> = said.iter().map(|one| one["host"].to_string()).collect();
    finding.promise(hosts.len() == said.len(), "they are processes of different pods");
    finding
}

/// The pod ran where it should, and our init container did its work.
fn injected(finding: &mut Finding, node: &Node, pod: &Value) {
    let role = pod["metadata"]["labels"]["spark-role"].as_str().unwrap_or_default();
    let ended = &seen::status(pod, INIT_CONTAINER)["state"]["terminated"];
    let (phase, code, message) = (&pod["status"]["phase"], &ended["exitCode"], &ended["message"]);
    let holds = phase == "Succeeded"
        && *code == 0
        && message.is_null()
        && pod["metadata"]["annotations"][STATUS_ANNOTATION].is_string()
        && pod["spec"]["nodeSelector"]["pool"] == "a";
    let otherwise =
        if holds { String::new() } else { format!(": {phase}, init-sync {ended}, {}", why(node, pod)) };
    finding.promise(
        holds,
        format_args!(
            "{role} {}: injected, on a node that its selector names, init-sync ended with {code}, then it ended \
             well{otherwise}",
            seen::name(pod)
        ),
    );
}

/// The last words of a pod that did not end well.
fn why(node: &Node, pod: &Value) -> String {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let names = containers.filter_map(|container| container["name"].as_str());
    let last = |name: &str| {
        let log = seen::log(node.api(), pod, name);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    };
    format!("{}\n{}", pod["status"], names.map(last).collect::<Vec<_>>().join("\n"))
}

/// What one process said: every file at its path with its content and mode, and nothing else below those paths.
fn looked(finding: &mut Finding, said: &Value, keytab: bool) {
    let role = said["role"].as_str().unwrap_or_default();
    let found: BTreeMap<String, (String, String)> = said["files"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(path, file)| {
            let text = |key: &str| file[key].as_str().unwrap_or_default().to_owned();
            (path.clone(), (text("mode"), text("digest")))
        })
        .collect();
    let expected = expected(role, keytab);
    let alias = json!(["10.96.0.1", "kubernetes.default.svc"]);
    let local = said["local"].as_object();
    let claims = [
        ("user 185", said["user"] == 185),
        ("every file with its content and mode, and no other", found == expected),
        ("none of them writable", said["writable"] == false),
        if role == "driver" {
            ("no role variable", said["variable"].is_null())
        } else {
            ("the role variable", said["variable"] == "true")
        },
        ("the host alias", said["hosts"].as_array().is_some_and(|all| all.contains(&alias))),
        (
            "writable local directories",
            local.is_some_and(|all| !all.is_empty() && all.values().all(|writable| *writable == true)),
        ),
    ];
    let broken: Vec<_> = claims.iter().filter(|(_, holds)| !holds).map(|(claim, _)| claim).collect();
    let claims: Vec<_> = claims.iter().map(|(claim, _)| *claim).collect();
    let otherwise = if broken.is_empty() { String::new() } else { format!("; broken: {broken:?} in {said}") };
    finding.promise(
        broken.is_empty(),
        format_args!("what {role} {} sees: {}{otherwise}", said["host"], claims.join(", ")),
    );
    if let Some(keytab) = said["files"][KEYTAB].as_object() {
        let [mode, owner, group] = ["mode", "owner", "group"].map(|key| keytab[key].to_string());
        finding.measured(format_args!("its keytab: mode {mode}, owner {owner}, group {group}"));
    }
}

fn expected(role: &str, keytab: bool) -> BTreeMap<String, (String, String)> {
    let file = |path: &str, mode: &str, content: &[u8]| {
        let digest =
            Sha256::digest(content).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        (path.to_owned(), (mode.to_owned(), digest))
    };
    let mut files = BTreeMap::from([
        file("/etc/krb5.conf", "0444", KERBEROS.as_bytes()),
        file("/my_project/resources/application.properties", "0444", APPLICATION.as_bytes()),
    ]);
    if role == "driver" {
        files.extend([file("/my_project/job/look.py", "0444", JOB.as_bytes())]);
    }
    if keytab {
        files.extend([file(KEYTAB, "0440", &self::keytab())]);
    }
    files
}

/// Bytes of every value, as in a real keytab.
fn keytab() -> Vec<u8> {
    [5, 2].into_iter().chain((0..=255).rev()).collect()
}

/// A Secret of other content, under the same name.
pub(super) fn other(secret: &Value) -> Value {
    let metadata = &secret["metadata"];
    let (namespace, name) = (metadata["namespace"].as_str(), metadata["name"].as_str());
    let keys = secret["data"].as_object().into_iter().flatten().map(|(key, _)| key.as_str());
    // Well-formed base64 of something else.
    let data: Vec<(&str, &[u8])> = keys.map(|key| (key, b"bm90IHRoZSBmaWxl".as_slice())).collect();
    client::secret(namespace.unwrap_or_default(), name.unwrap_or_default(), &data)
}
