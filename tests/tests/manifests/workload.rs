//! That roll-outs, drains and faults leave replicas that serve.

use std::time::Duration;

use acceptance::client::object_path;
use acceptance::manifests::{OWN, base, object};
use acceptance::process::wait_until;
use acceptance::{cli, manifests};
use serde_json::{Value, json};

use crate::world::cluster;

const WITHIN: Duration = Duration::from_secs(60);

fn pod() -> &'static Value {
    &object(base(), "Deployment", OWN)["spec"]["template"]
}

fn container() -> &'static Value {
    let containers = pod()["spec"]["containers"].as_array().expect("containers");
    assert_eq!(containers.len(), 1);
    &containers[0]
}

/// Seconds in a flag of `serve`, from the arguments or from its default in the help text.
fn seconds(flag: &str) -> u64 {
    let text = cli::run(&["serve", "--help"], b"").stdout;
    let (_, after) = text.split_once(&format!("--{flag} ")).unwrap_or_else(|| panic!("no --{flag}"));
    let (_, default) = after.split_once("[default: ").expect("a default");
    let number: String = default.chars().take_while(char::is_ascii_digit).collect();
    number.parse().expect("seconds")
}

#[test]
fn a_replica_is_there_before_another_one_goes() {
    let spec = &object(base(), "Deployment", OWN)["spec"];
    assert!(spec["replicas"].as_u64() >= Some(2));
    assert_eq!(spec["strategy"]["rollingUpdate"], json!({"maxUnavailable": 0, "maxSurge": 1}));
    assert!(spec["minReadySeconds"].as_u64() >= Some(10));
    let grace = pod()["spec"]["terminationGracePeriodSeconds"].as_u64().expect("a grace period");
    // What is still running after the drain has some seconds more.
    assert!(grace >= seconds("drain-max") + 10, "{grace}");
    assert_eq!(pod()["spec"]["priorityClassName"], "system-cluster-critical");
}

#[test]
fn replicas_are_apart_and_drains_take_one_at_a_time() {
    let labels = &pod()["metadata"]["labels"];
    let selected = |selector: &Value| {
        let wanted = selector.as_object().expect("labels");
        assert!(!wanted.is_empty());
        wanted.iter().all(|(key, value)| labels[key] == *value)
    };
    let constraints = pod()["spec"]["topologySpreadConstraints"].as_array().expect("constraints");
    let keys: Vec<&Value> = constraints.iter().map(|constraint| &constraint["topologyKey"]).collect();
    assert_eq!(keys, ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]);
    assert!(constraints.iter().all(|constraint| selected(&constraint["labelSelector"]["matchLabels"])));

    let budget = &object(base(), "PodDisruptionBudget", OWN)["spec"];
    assert_eq!(budget["maxUnavailable"], 1);
    assert_eq!(budget["unhealthyPodEvictionPolicy"], "AlwaysAllow");
    assert!(selected(&budget["selector"]["matchLabels"]));
    assert!(selected(&object(base(), "Service", OWN)["spec"]["selector"]));
    assert!(selected(&object(base(), "NetworkPolicy", OWN)["spec"]["podSelector"]["matchLabels"]));
}

#[test]
fn probes_ask_the_admin_port_and_liveness_asks_for_nothing_but_life() {
    let named = |name: &str| {
        let ports = container()["ports"].as_array().expect("ports");
        ports.iter().find(|port| port["name"] == name).expect("a port")["containerPort"].clone()
    };
    for (variable, port) in [("SPARK_INJECTOR_LISTEN", "review"), ("SPARK_INJECTOR_ADMIN", "admin")] {
        let env = container()["env"].as_array().expect("variables");
        let address = env.iter().find(|entry| entry["name"] == variable).expect(variable);
        // Of both families: a pod of a cluster for IPv6 alone has no other address.
        assert_eq!(address["value"], format!("[::]:{}", named(port)));
    }
    // An overlay changes variables, and an argument would win over its own.
    assert_eq!(container()["args"], json!(["serve"]));
    assert_eq!(object(base(), "Service", OWN)["spec"]["ports"][0]["targetPort"], "review");
    for (probe, path) in
        [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
    {
        assert_eq!(container()[probe]["httpGet"], json!({"path": path, "port": "admin"}), "{probe}");
    }
}

/// The budget counts what is ready, and a drain asks it for every pod.
#[test]
fn a_drain_takes_one_replica_at_a_time_and_what_is_not_ready_at_once() {
    let api = cluster().admin();
    let replicas = || {
        let pods = api.list("v1", "Pod", Some(OWN));
        let stay = pods.into_iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        // Items of a list do not say what they are.
        let typed = stay.map(|mut pod| {
            (pod["apiVersion"], pod["kind"]) = ("v1".into(), "Pod".into());
            pod
        });
        typed.collect::<Vec<_>>()
    };
    let two = wait_until(WITHIN, || Some(replicas()).filter(|pods| pods.len() == 2));
    let two = two.expect("two replicas");
    // As a kubelet would say it.
    let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    for pod in &two {
        let path = format!("{}/status", object_path(pod));
        api.patch(&path, "application/strategic-merge-patch+json", &ready).expect(200);
    }
    let budget = object(base(), "PodDisruptionBudget", OWN);
    let counted =
        wait_until(WITHIN, || (api.read(budget).body["status"]["disruptionsAllowed"] == 1).then_some(()));
    assert!(counted.is_some(), "{}", api.read(budget).text);
    let evict = |pod: &Value| {
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
                              "metadata": {"name": pod["metadata"]["name"], "namespace": OWN}});
        api.post(&format!("{}/eviction", object_path(pod)), &eviction)
    };
    evict(&two[0]).expect(201);
    let second = evict(&two[1]);
    assert_eq!(second.status, 429, "{}", second.text);
    // The one that is made for the first is not ready yet, and holds nobody up.
    let next = wait_until(WITHIN, || {
        replicas()
            .into_iter()
            .find(|pod| two.iter().all(|old| old["metadata"]["uid"] != pod["metadata"]["uid"]))
    });
    evict(&next.expect("another replica")).expect(201);
    assert_eq!(api.read(&two[1]).expect(200)["status"]["phase"], "Running");
}

#[test]
fn the_network_is_open_for_what_is_asked_and_no_more() {
    let spec = &object(base(), "NetworkPolicy", OWN)["spec"];
    assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
    // The API server is no pod, so the review port has no `from`; metrics are for pods.
    let ingress = json!([
        {"ports": [{"port": "review"}]},
        {"from": [{"namespaceSelector": {}}], "ports": [{"port": "admin"}]},
    ]);
    assert_eq!(spec["ingress"], ingress);
    let dns = json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}]);
    let egress = json!([
        {"ports": [{"port": 443}, {"port": 6443}]},
        {"to": dns, "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
    ]);
    assert_eq!(spec["egress"], egress);
}

#[test]
fn memory_has_headroom_and_nothing_throttles() {
    let resources = &container()["resources"];
    assert!(resources["requests"]["cpu"].is_string() && resources["limits"]["cpu"].is_null());
    let megabytes = |value: &Value| -> u64 {
        value.as_str().and_then(|text| text.strip_suffix("Mi")?.parse().ok()).expect("Mi")
    };
    assert!(megabytes(&resources["limits"]["memory"]) >= 4 * megabytes(&resources["requests"]["memory"]));
}

#[test]
fn images_are_of_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(container()["image"], format!("spark-injector/spark-injector:{version}"));
    let variables = container()["env"].as_array().expect("env");
    let init = variables.iter().find(|variable| variable["name"] == "SPARK_INJECTOR_INIT_IMAGE");
    assert_eq!(init.expect("the variable")["value"], format!("spark-injector/init-sync:{version}"));
}

#[test]
fn every_object_says_whose_it_is_and_secrets_are_not_shipped() {
    for object in manifests::guarded() {
        assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/part-of"], OWN, "{}", object["metadata"]);
        assert_ne!(object["kind"], "Secret", "a certificate that nobody renews");
    }
}
