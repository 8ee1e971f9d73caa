//! Beside the API server's own plugins: priority, limits, and the in-tree node selector.

use std::time::Duration;

use acceptance::client::{Api, Namespace};
use acceptance::cluster::{Cluster, ClusterOptions};
use acceptance::kubelet::{INIT_CONTAINER, container};
use acceptance::process::wait_until;
use serde_json::{Value, json};

use crate::world::{Plan, World, assert_denied, driver, executor, names, one_file, profile};

/// A pod that is nobody's: neither Spark's nor in an opted-in namespace's way.
fn plain(namespace: &str) -> Value {
    let mut pod = driver(namespace, "plain");
    pod["metadata"]["labels"] = json!({});
    pod
}

/// The API server reads what governs admission from caches that lag: asks until it shows.
#[track_caller]
fn wait_for(api: &Api, pod: &Value, what: impl Fn(&Value) -> bool) {
    let seen = wait_until(Duration::from_secs(10), || what(&api.dry_run(pod).body).then_some(()));
    assert!(seen.is_some(), "not in effect: {}", api.dry_run(pod).text);
}

#[test]
fn an_injected_priority_class_is_computed_anew() {
    let variant = |name: &str| json!({"template": {"spec": {"priorityClassName": name}}});
    let world = World::start(Plan {
        name: "priority",
        namespaces: vec![Namespace::new("priority").opted_in()],
        documents: vec![profile(
            "priority",
            &json!({"variants": {"p1": variant("priority-p1"), "never": variant("priority-never")}}),
        )],
        ..Plan::default()
    });
    world.api.apply_priority_class("priority-p1", 1000);
    world.api.apply(&json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
        "metadata": {"name": "priority-never"}, "value": 7, "preemptionPolicy": "Never"}));
    let with_variant = |name: &str, variant: &str| {
        let mut pod = driver("priority", name);
        pod["metadata"]["labels"]["spark-injector.io/variant"] = variant.into();
        pod
    };
    wait_for(&world.api, &with_variant("asked", "p1"), |pod| pod["spec"]["priority"] == 1000);
    wait_for(&world.api, &with_variant("asked", "never"), |pod| pod["spec"]["priority"] == 7);

    let scheduling = |pod: &Value| {
        let stored = world.api.create(pod).expect(201);
        ["priorityClassName", "priority", "preemptionPolicy"].map(|field| stored["spec"][field].clone())
    };
    let expected = [json!("priority-p1"), json!(1000), json!("PreemptLowerPriority")];
    assert_eq!(scheduling(&with_variant("one", "p1")), expected);
    let expected = [json!("priority-never"), json!(7), json!("Never")];
    assert_eq!(scheduling(&with_variant("two", "never")), expected);
    // The user's own choice stays where it is not enforced.
    let mut pod = with_variant("three", "never");
    pod["spec"]["priorityClassName"] = "priority-p1".into();
    assert_eq!(scheduling(&pod)[1], 1000);
    assert_eq!(scheduling(&driver("priority", "four"))[1], 0);
}

#[test]
fn limit_range_defaults_are_nobodys_choice() {
    let template = json!({"spec": {
        "volumes": [{"name": "run", "emptyDir": {}}],
        "containers": [
            {"name": "spark", "resources": {"limits": {"cpu": "4"}, "requests": {"ephemeral-storage": "1500Mi"}}},
            // The ServiceAccount plugin mounts the token below it.
            {"name": "proxy", "image": "proxy:1", "volumeMounts": [{"name": "run", "mountPath": "/var/run"}]},
        ],
    }});
    let world = World::start(Plan {
        name: "limits",
        namespaces: vec![Namespace::new("limits").opted_in()],
        documents: vec![profile(
            "limits",
            &json!({"files": one_file(), "enforce": ["resources"], "common": {"template": template}}),
        )],
        ..Plan::default()
    });
    world.api.apply(&json!({"apiVersion": "v1", "kind": "LimitRange",
        "metadata": {"name": "defaults", "namespace": "limits"},
        "spec": {"limits": [{"type": "Container",
            "default": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "2Gi"},
            "defaultRequest": {"cpu": "500m", "memory": "512Mi", "ephemeral-storage": "1Gi"}}]}}));
    wait_for(&world.api, &plain("limits"), |pod| {
        pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == "1Gi"
    });

    let pod = world.api.create(&driver("limits", "one")).expect(201);
    assert_eq!(names(&pod["spec"]["initContainers"]), [INIT_CONTAINER]);
    // Ours where we say something, the namespace's where we do not.
    let expected = json!({"requests": {"cpu": "100m", "memory": "32Mi", "ephemeral-storage": "1Gi"},
                          "limits": {"cpu": "100m", "memory": "32Mi", "ephemeral-storage": "2Gi"}});
    assert_eq!(container(&pod, INIT_CONTAINER)["resources"], expected);
    // The plugin changed what we had added, so the API server asked a second time.
    let asked = wait_until(Duration::from_secs(10), || {
        let log = world.webhook.log();
        let lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let outcomes: Vec<Value> =
            lines.filter(|line| line["name"] == "one").map(|line| line["outcome"].clone()).collect();
        (outcomes.len() == 2).then_some(outcomes)
    });
    assert_eq!(asked.expect("two lines"), ["injected", "unchanged"]);
    // The profile's amounts, where the pod had chosen none.
    let expected = json!({"requests": {"cpu": "500m", "memory": "512Mi", "ephemeral-storage": "1500Mi"},
                          "limits": {"cpu": "4", "memory": "1Gi", "ephemeral-storage": "2Gi"}});
    assert_eq!(container(&pod, "spark-kubernetes-driver")["resources"], expected);
    assert!(container(&pod, "proxy")["volumeMounts"].to_string().contains("kube-api-access-"));
}

/// One more control plane, for what would change every pod of the shared one.
#[test]
fn in_tree_node_selector_default_priority_class_and_pull_policy_go_together_with_ours() {
    let options = ClusterOptions {
        pod_node_selector: true,
        // Changes every container that a webhook has added, ours too.
        api_server_args: vec!["--enable-admission-plugins=AlwaysPullImages".to_owned()],
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start_with(&options);
    let sidecar = json!({"name": "logs", "image": "busybox:1.37", "imagePullPolicy": "IfNotPresent"});
    let template = json!({"template": {"spec": {"priorityClassName": "batch", "containers": [sidecar]}}});
    let world = World::start_on(
        &cluster,
        Plan {
            name: "in-tree",
            namespaces: vec![
                Namespace::new("agreed").opted_in().node_selector("pool=a"),
                // The in-tree plugin knows nothing of a profile's default, nor the webhook of the plugin's file.
                Namespace::new("by-default").opted_in(),
                Namespace::new("against").opted_in().node_selector("pool=a"),
            ],
            documents: vec![
                profile("agreed", &json!({"files": one_file(), "common": template})),
                profile("by-default", &json!({"nodeSelector": {"default": {"pool": "b"}}})),
                profile(
                    "against",
                    &json!({"common": {"template": {"spec": {"nodeSelector": {"pool": "b"}}}}}),
                ),
            ],
            arguments: vec!["--default-priority-class", "standard"],
            ..Plan::default()
        },
    );
    let api = &world.api;
    api.apply(&json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
        "metadata": {"name": "standard"}, "value": 5, "globalDefault": true}));
    api.apply_priority_class("batch", 50);
    wait_for(api, &plain("agreed"), |pod| pod["spec"]["priority"] == 5);

    for pod in [driver("agreed", "d"), executor("agreed", "e")] {
        let stored = api.create(&pod).expect(201);
        assert_eq!(stored["spec"]["nodeSelector"], json!({"pool": "a"}));
        // The class that the API server had set was nobody's choice.
        assert_eq!(
            (&stored["spec"]["priorityClassName"], &stored["spec"]["priority"]),
            (&json!("batch"), &json!(50))
        );
        assert_eq!(names(&stored["spec"]["initContainers"]), [INIT_CONTAINER]);
        for name in [INIT_CONTAINER, "logs"] {
            assert_eq!(container(&stored, name)["imagePullPolicy"], "Always", "{name}");
        }
    }
    let mut chosen = driver("agreed", "chosen");
    chosen["spec"]["priorityClassName"] = "system-cluster-critical".into();
    assert_eq!(api.create(&chosen).expect(201)["spec"]["priorityClassName"], "system-cluster-critical");

    let stored = api.create(&driver("by-default", "d")).expect(201);
    assert_eq!(stored["spec"]["nodeSelector"], json!({"pool": "b"}));
    assert_eq!(stored["spec"]["priorityClassName"], "standard");

    // A pod against its namespace never reaches the webhook.
    let mut pod = driver("agreed", "conflict");
    pod["spec"]["nodeSelector"] = json!({"pool": "b"});
    let reply = api.create(&pod);
    assert_eq!(reply.status, 403);
    assert_eq!(
        reply.message(),
        "pods \"conflict\" is forbidden: pod node label selector conflicts with its namespace node label selector"
    );
    // A profile against its namespace does: the webhook's sentence begins as the plugin's.
    assert_denied(
        &api.create(&driver("against", "d")),
        403,
        "pod node label selector conflicts with its namespace node label selector: against: \
         spec.common.template.spec.nodeSelector.pool demands pool=b, but annotation \
         scheduler.alpha.kubernetes.io/node-selector of namespace against demands pool=a; the owner of the profile has \
         to agree with the namespace",
    );
}
