//! Isolated namespaces on a real API server: the table of PodNodeSelector for pods that are not Spark's, what is refused
//! beside it, and the pods of workload controllers.

use std::time::Duration;

use acceptance::client::{Api, Namespace, Reply};
use acceptance::cluster::{Cluster, ClusterOptions};
use acceptance::kubelet::INIT_CONTAINER;
use acceptance::process::wait_until;
use acceptance::registration::{ISOLATE_NAME, STATUS_ANNOTATION};
use serde_json::{Value, json};

use crate::world::{Plan, World, driver, executor, names, one_file, profile};

const CONFLICT: &str = "pod node label selector conflicts with its namespace node label selector: ";
const WHITELIST: &str = "pod node label selector labels conflict with its namespace whitelist: ";

/// A pod of nobody in particular, with these fields of the spec.
fn plain(namespace: &str, name: &str, spec: &Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
                         "spec": {"containers": [{"name": "main", "image": "notebook:1"}]}});
    for (field, value) in spec.as_object().into_iter().flatten() {
        pod["spec"][field] = value.clone();
    }
    pod
}

fn selector(pairs: &Value) -> Value {
    json!({"nodeSelector": pairs})
}

#[track_caller]
fn assert_refused(reply: &Reply, beginning: &str) {
    assert_eq!(reply.status, 403, "{}", reply.text);
    let preamble = format!("admission webhook \"{ISOLATE_NAME}\" denied the request: ");
    let sentence = reply.message().strip_prefix(&preamble);
    assert!(sentence.is_some_and(|sentence| sentence.starts_with(beginning)), "{}", reply.message());
}

#[track_caller]
fn placed(reply: Reply) -> Value {
    let pod = reply.expect(201);
    pod["spec"]["nodeSelector"].clone()
}

#[test]
fn every_pod_of_an_isolated_namespace_stays_on_its_nodes() {
    let policy = |default: Value| {
        json!({"scope": "AllPods", "default": default, "allowed": {"pool": ["a", "shared"], "disk": ["ssd"]},
               "allowedTolerations": [{"key": "dedicated", "value": "team-a"}]})
    };
    let isolated = |name: &str| Namespace::new(name).isolated();
    let world = World::start(Plan {
        name: "isolated",
        namespaces: vec![
            isolated("isolated").opted_in(),
            isolated("isolated-annotated").node_selector(" pool = shared "),
            isolated("isolated-exempt").node_selector(""),
            isolated("isolated-malformed").node_selector("pool"),
            isolated("isolated-unclaimed"),
            isolated("isolated-label-alone"),
            Namespace::new("isolated-scope-alone"),
        ],
        documents: vec![
            json!({"apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile", "metadata": {"name": "isolated"},
                   "spec": {"namespaces": {"names": ["isolated", "isolated-annotated", "isolated-exempt",
                                                     "isolated-malformed", "isolated-scope-alone"]},
                            "nodeSelector": policy(json!({"pool": "a"})), "files": one_file()}}),
            profile("isolated-label-alone", &json!({"nodeSelector": {"default": {"pool": "a"}}})),
        ],
        ..Plan::default()
    });
    let api = &world.api;
    let ask = |namespace: &str, spec: Value| api.dry_run(&plain(namespace, "p", &spec));

    // The default, the annotation before it, the empty annotation before it.
    assert_eq!(placed(ask("isolated", json!({}))), json!({"pool": "a"}));
    assert_eq!(placed(ask("isolated-annotated", json!({}))), json!({"pool": "shared"}));
    assert_eq!(placed(ask("isolated-exempt", json!({}))), Value::Null);
    // Union, agreement, conflict, whitelist.
    let both = json!({"disk": "ssd", "pool": "a"});
    assert_eq!(placed(ask("isolated", selector(&json!({"disk": "ssd"})))), both);
    assert_eq!(placed(ask("isolated", selector(&both))), both);
    assert_refused(&ask("isolated", selector(&json!({"pool": "shared"}))), CONFLICT);
    assert_refused(&ask("isolated-annotated", selector(&json!({"pool": "a"}))), CONFLICT);
    assert_refused(&ask("isolated", selector(&json!({"zone": "z"}))), WHITELIST);
    assert_refused(&ask("isolated-exempt", selector(&json!({"pool": "b"}))), WHITELIST);
    let malformed =
        "annotation scheduler.alpha.kubernetes.io/node-selector of namespace isolated-malformed is malformed";
    assert_refused(&ask("isolated-malformed", json!({})), malformed);
    assert_refused(&ask("isolated-unclaimed", json!({})), "namespace isolated-unclaimed is labelled");
    // One of label and scope alone does nothing.
    assert_eq!(placed(ask("isolated-label-alone", json!({"nodeName": "n1"}))), Value::Null);
    assert_eq!(placed(ask("isolated-scope-alone", json!({"nodeName": "n1"}))), Value::Null);

    // What would lead around the selector.
    assert_refused(&ask("isolated", json!({"nodeName": "n1"})), "the pod sets nodeName n1");
    // Of a pod that is applied by the server, the API server keeps what it drops from one that is posted.
    let mut leaving = plain("isolated", "leaving", &json!({"nodeName": "n1"}));
    leaving["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z".into();
    let path = "/api/v1/namespaces/isolated/pods/leaving?fieldManager=acceptance";
    let applied = api.patch(path, "application/apply-patch+yaml", &leaving);
    assert_refused(&applied, "the pod sets nodeName n1");
    let term = json!({"matchExpressions": [{"key": "pool", "operator": "In", "values": ["b"]}]});
    let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}});
    let affinity = json!({"affinity": {"nodeAffinity": required}});
    assert_refused(&ask("isolated", affinity), "the pod's required node affinity asks for pool In (b)");
    let tolerates = |toleration: Value| json!({"tolerations": [toleration]});
    let own = json!({"key": "dedicated", "operator": "Equal", "value": "team-a", "effect": "NoSchedule"});
    // The two that the API server itself has added are no obstacle.
    assert_eq!(placed(ask("isolated", tolerates(own))), json!({"pool": "a"}));
    let foreign = json!({"key": "dedicated", "operator": "Equal", "value": "team-b", "effect": "NoSchedule"});
    assert_refused(&ask("isolated", tolerates(foreign)), "the pod tolerates dedicated=team-b:NoSchedule");
    assert_refused(
        &ask("isolated", tolerates(json!({"operator": "Exists"}))),
        "the pod tolerates every taint",
    );

    // A stored pod says by whom it was held.
    let stored = api.create(&plain("isolated-annotated", "stored", &json!({}))).expect(201);
    assert_signed(&stored, "isolated");
    let line = world.logged("isolated-annotated", "stored");
    assert_eq!((&line["outcome"], &line["profile"]), (&json!("isolated"), &json!("isolated")));
}

/// The status annotation is that of the entry for isolated namespaces.
#[track_caller]
fn assert_signed(pod: &Value, profile: &str) {
    let text = pod["metadata"]["annotations"][STATUS_ANNOTATION].as_str().unwrap_or_default();
    let status: Value = serde_json::from_str(text).unwrap_or_default();
    assert_eq!((&status["profile"], &status["isolated"]), (&json!(profile), &json!(true)), "{text}");
}

#[test]
fn a_spark_pod_passes_both_entries_and_they_agree() {
    let world = World::start(Plan {
        name: "isolated-spark",
        namespaces: vec![Namespace::new("isolated-spark").opted_in().isolated()],
        documents: vec![profile(
            "isolated-spark",
            &json!({
                "nodeSelector": {"scope": "AllPods", "default": {"pool": "a"}, "allowedTolerations": []},
                "files": one_file(),
                "common": {"template": {"spec": {"tolerations": [{"key": "spark", "operator": "Exists"}],
                                                 "nodeSelector": {"disk": "ssd"}}}},
            }),
        )],
        ..Plan::default()
    });
    for pod in [driver("isolated-spark", "d"), executor("isolated-spark", "e")] {
        let stored = world.api.create(&pod).expect(201);
        assert_eq!(stored["spec"]["nodeSelector"], json!({"pool": "a", "disk": "ssd"}));
        assert_eq!(names(&stored["spec"]["initContainers"]), [INIT_CONTAINER]);
        let status = stored["metadata"]["annotations"][STATUS_ANNOTATION].as_str().expect("a status");
        assert!(status.contains("\"role\"") && !status.contains("isolated\":"), "{status}");
        // The command line, which asks both entries as well, has the same result.
        let offline = world.inject("isolated-spark", &pod);
        assert_eq!(offline["spec"]["nodeSelector"], stored["spec"]["nodeSelector"]);
        assert_eq!(offline["metadata"]["annotations"], stored["metadata"]["annotations"]);
    }
    let mut pinned = driver("isolated-spark", "pinned");
    pinned["spec"]["nodeName"] = "n1".into();
    assert_refused(&world.api.create(&pinned), "the pod sets nodeName n1");
    let finished = world.run("inject", &["-n", "isolated-spark"], pinned.to_string().as_bytes());
    assert_eq!(finished.status, 3, "{}", finished.stderr);
    assert!(finished.stderr.contains("denied: the pod sets nodeName n1"), "{}", finished.stderr);
}

/// The pods of a workload, once its controller has made some.
#[track_caller]
fn made(api: &Api, namespace: &str, prefix: &str) -> Value {
    let found = wait_until(Duration::from_secs(60), || {
        let pods = api.list("v1", "Pod", Some(namespace));
        pods.into_iter()
            .find(|pod| pod["metadata"]["name"].as_str().is_some_and(|name| name.starts_with(prefix)))
    });
    found.unwrap_or_else(|| {
        let events = api.list("v1", "Event", Some(namespace));
        let said: Vec<&Value> = events.iter().map(|event| &event["message"]).collect();
        panic!("no pod {prefix}* in {namespace}; the events say {said:?}")
    })
}

#[test]
fn pods_of_workload_controllers_are_held_too() {
    let options = ClusterOptions { controller_manager: true, ..ClusterOptions::default() };
    let cluster = Cluster::start_with(&options);
    let name = "isolated-workloads";
    let world = World::start_on(
        &cluster,
        Plan {
            name,
            namespaces: vec![Namespace::new(name).isolated()],
            documents: vec![profile(
                name,
                &json!({"nodeSelector": {"scope": "AllPods", "default": {"pool": "a"}, "allowed": {"pool": ["a"]},
                                         "allowedTolerations": []}}),
            )],
            ..Plan::default()
        },
    );
    let api = &world.api;
    api.apply(
        &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"pool": "a"}}}),
    );
    // Nobody says that it is ready, so the API server has tainted it.
    let untaint = json!({"spec": {"taints": null}});
    assert_eq!(api.patch("/api/v1/nodes/n1", "application/merge-patch+json", &untaint).status, 200);
    let template = |restart: &str| {
        json!({"metadata": {"labels": {"app": "w"}},
               "spec": {"restartPolicy": restart, "containers": [{"name": "main", "image": "w:1"}]}})
    };
    let workload = |version: &str, kind: &str, spec: Value| {
        let metadata = json!({"name": kind.to_lowercase(), "namespace": name});
        api.apply(&json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}))
    };
    let chosen = json!({"matchLabels": {"app": "w"}});
    workload(
        "apps/v1",
        "Deployment",
        json!({"replicas": 1, "selector": chosen, "template": template("Always")}),
    );
    workload("apps/v1", "DaemonSet", json!({"selector": chosen, "template": template("Always")}));
    workload("batch/v1", "Job", json!({"template": template("Never")}));
    for prefix in ["deployment-", "daemonset-", "job-"] {
        let pod = made(api, name, prefix);
        assert_eq!(pod["spec"]["nodeSelector"], json!({"pool": "a"}), "{prefix}");
        assert_signed(&pod, name);
    }
    // The one for a node by name, with the tolerations that its controller gives to it.
    let daemon = made(api, name, "daemonset-");
    assert!(daemon["spec"]["tolerations"].as_array().expect("tolerations").len() >= 5, "{daemon:#}");
    assert!(daemon.pointer("/spec/affinity/nodeAffinity").is_some(), "{daemon:#}");
}
