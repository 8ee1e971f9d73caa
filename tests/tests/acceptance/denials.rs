//! Who is refused, with which status and sentence, as a user of `kubectl` or Spark reads it.

use std::sync::OnceLock;

use acceptance::client::Namespace;
use serde_json::{Value, json};

use crate::world::{Plan, World, assert_denied, driver, executor, noise, one_file, profile};

/// Never stopped: statics end with the process.
fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let opted_in = |name: &str| Namespace::new(name).opted_in();
        let template = |priority: &str| json!({"template": {"spec": {"priorityClassName": priority}}});
        // It cannot be compressed: every character counts.
        let noise: String = noise(1, 200 * 1024).iter().map(|byte| char::from(b'!' + byte % 90)).collect();
        let world = World::start(Plan {
            name: "denied",
            namespaces: vec![
                opted_in("denied-selector").node_selector("pool=a"),
                opted_in("denied-whitelist"),
                opted_in("denied-template").node_selector("pool=a"),
                opted_in("denied-annotation").node_selector("pool"),
                opted_in("denied-variant"),
                opted_in("denied-size"),
                opted_in("denied-names"),
                opted_in("denied-opt-out"),
                opted_in("denied-unclaimed"),
                opted_in("denied-broken"),
                opted_in("denied-priority"),
            ],
            documents: vec![
                profile("denied-selector", &json!({})),
                profile("denied-whitelist", &json!({"nodeSelector": {"allowed": {"pool": ["a", "shared"]}}})),
                profile(
                    "denied-template",
                    &json!({"common": {"template": {"spec": {"nodeSelector": {"pool": "b"}}}}}),
                ),
                profile("denied-annotation", &json!({})),
                profile("denied-variant", &json!({"variants": {"p1": template("p1"), "p2": template("p2")}})),
                profile(
                    "denied-size",
                    &json!({"delivery": "Env", "files": [{"mountPath": "/big", "inline": {"noise.bin": noise}}]}),
                ),
                profile("denied-names", &json!({"files": one_file()})),
                profile("denied-opt-out", &json!({"files": one_file()})),
                profile(
                    "denied-broken",
                    &json!({"files": [{"mountPath": "/conf", "configMap": {"name": "gone"}}]}),
                ),
                profile(
                    "denied-priority",
                    &json!({"common": template("p1"), "variants": {"p2": template("p2")},
                            "enforce": ["priorityClassName"]}),
                ),
            ],
            ..Plan::default()
        });
        for (name, value) in [("p1", 10), ("p2", 20)] {
            world.api.apply_priority_class(name, value);
        }
        world
    })
}

#[track_caller]
fn denied(pod: &Value, status: u16, sentence: &str) {
    let reply = world().api.create(pod);
    assert_denied(&reply, status, sentence);
    assert_eq!(world().api.read(pod).status, 404);
    // The same pod offline: the same sentence, and nothing on standard output.
    let namespace = pod["metadata"]["namespace"].as_str().expect("a namespace");
    let finished = world().run("inject", &["-n", namespace], pod.to_string().as_bytes());
    assert_eq!((finished.status, finished.stdout.as_str()), (3, ""), "{}", finished.stderr);
    assert!(finished.stderr.contains(sentence), "{}", finished.stderr);
}

#[test]
fn a_node_selector_against_the_namespaces_is_refused_as_the_in_tree_plugin_does() {
    let mut pod = driver("denied-selector", "one");
    pod["spec"]["nodeSelector"] = json!({"pool": "b"});
    denied(
        &pod,
        403,
        "pod node label selector conflicts with its namespace node label selector: the pod asks for pool=b, but \
         annotation scheduler.alpha.kubernetes.io/node-selector demands pool=a in namespace denied-selector; remove \
         pool from the pod's node selector",
    );
}

#[test]
fn a_node_selector_outside_the_whitelist_is_refused() {
    let mut pod = driver("denied-whitelist", "one");
    pod["spec"]["nodeSelector"] = json!({"pool": "gpu"});
    denied(
        &pod,
        403,
        "pod node label selector labels conflict with its namespace whitelist: the pod asks for pool=gpu; profile \
         denied-whitelist allows pool in (a, shared)",
    );
    pod["spec"]["nodeSelector"] = json!({"pool": "shared"});
    world().api.create(&pod).expect(201);
}

#[test]
fn a_template_against_the_namespaces_node_selector_is_refused_and_names_both() {
    denied(
        &driver("denied-template", "one"),
        403,
        "pod node label selector conflicts with its namespace node label selector: denied-template: \
         spec.common.template.spec.nodeSelector.pool demands pool=b, but annotation \
         scheduler.alpha.kubernetes.io/node-selector of namespace denied-template demands pool=a; the owner of the \
         profile has to agree with the namespace",
    );
}

#[test]
fn a_malformed_node_selector_annotation_is_refused() {
    let reply = world().api.create(&driver("denied-annotation", "one"));
    assert_eq!(reply.status, 403);
    for part in [
        "annotation scheduler.alpha.kubernetes.io/node-selector",
        "of namespace denied-annotation is malformed",
    ] {
        assert!(reply.message().contains(part), "{}", reply.message());
    }
}

#[test]
fn an_unknown_variant_is_refused_with_the_names_that_there_are() {
    let mut pod = executor("denied-variant", "one");
    pod["metadata"]["labels"]["spark-injector.io/variant"] = "p9".into();
    denied(
        &pod,
        403,
        "the pod's label spark-injector.io/variant asks for variant p9, which profile denied-variant does not have; \
         choose one of p1, p2, or remove the label",
    );
}

#[test]
fn a_payload_above_the_limit_refuses_and_names_the_largest_file() {
    let reply = world().api.create(&driver("denied-size", "one"));
    assert_eq!(reply.status, 403);
    for part in [
        "SparkProfile denied-size, which serves namespace denied-size, has an error that its owner must mend",
        "spec.files",
        "in the environment of drivers, at most 262144 are possible; the largest are /big/noise.bin",
    ] {
        assert!(reply.message().contains(part), "{}", reply.message());
    }
}

#[test]
fn a_volume_or_container_of_our_name_with_other_content_is_refused() {
    let mut pod = driver("denied-names", "volume");
    pod["spec"]["volumes"] = json!([{"name": "spark-injector-files", "hostPath": {"path": "/etc"}}]);
    denied(
        &pod,
        403,
        "the pod already has a volume spark-injector-files with other content than profile denied-names gives it \
         (denied-names: spec.files[0]); rename the pod's volume",
    );
    let mut pod = driver("denied-names", "container");
    pod["spec"]["initContainers"] = json!([{"name": "spark-injector-init", "image": "busybox:1"}]);
    denied(
        &pod,
        403,
        "the pod already has a container spark-injector-init whose command, env, image, securityContext, \
         terminationMessagePolicy, volumeMounts is not what profile denied-names gives it (denied-names: \
         spec.files[0]); rename the pod's container, or, if another webhook changed ours, let it leave \
         spark-injector-init alone",
    );
}

#[test]
fn a_pod_whose_spark_container_cannot_be_told_is_refused() {
    let mut pod = driver("denied-names", "which");
    pod["spec"]["containers"] = json!([{"name": "one", "image": "i:1"}, {"name": "two", "image": "i:1"}]);
    denied(
        &pod,
        422,
        "cannot tell which container runs Spark among one, two; exactly one must have the first argument driver or be \
         named spark-kubernetes-driver",
    );
}

#[test]
fn opting_out_is_refused_where_the_profile_does_not_allow_it() {
    let mut pod = driver("denied-opt-out", "one");
    pod["metadata"]["labels"]["spark-injector.io/inject"] = "disabled".into();
    denied(
        &pod,
        403,
        "the pod is labelled spark-injector.io/inject: disabled, but profile denied-opt-out allows no opt-out; remove \
         the label",
    );
}

#[test]
fn an_opted_in_namespace_without_a_profile_refuses_and_says_the_remedy() {
    denied(
        &driver("denied-unclaimed", "one"),
        403,
        "namespace denied-unclaimed is labelled spark-injector.io/inject: enabled, but no SparkProfile serves it; its \
         owner must name it in spec.namespaces of one, or remove the label",
    );
}

#[test]
fn a_broken_profile_refuses_in_its_own_namespaces_alone() {
    denied(
        &driver("denied-broken", "one"),
        403,
        "SparkProfile denied-broken, which serves namespace denied-broken, has an error that its owner must mend: \
         spec.files[0].configMap.name: there is no ConfigMap \"gone\" in namespace spark-injector; create it there",
    );
    world().api.create(&driver("denied-names", "beside-broken")).expect(201);
}

#[test]
fn another_priority_class_than_the_enforced_one_is_refused() {
    let mut pod = driver("denied-priority", "one");
    pod["spec"]["priorityClassName"] = "p2".into();
    denied(
        &pod,
        403,
        "the pod sets its own priorityClassName, but profile denied-priority enforces \"p1\" (denied-priority: \
         spec.common.template.spec.priorityClassName); leave it out of the pod",
    );
    // The variant's is the one that is enforced for who chose it.
    pod["metadata"]["labels"]["spark-injector.io/variant"] = "p2".into();
    let stored = world().api.create(&pod).expect(201);
    assert_eq!(
        (&stored["spec"]["priorityClassName"], &stored["spec"]["priority"]),
        (&json!("p2"), &json!(20))
    );
}
