//! Beside other teams' mutating webhooks, called before ours and after ours: exactly one of everything of ours.

use acceptance::client::Namespace;
use acceptance::kubelet::{INIT_CONTAINER, VOLUME, container};
use acceptance::recorder::Recorder;
use serde_json::{Value, json};

use crate::world::{Plan, World, driver, executor, items, names, one_file, profile, variable};

/// What a service mesh or an agent does: a sidecar, a label, a volume, a variable in every container, once.
fn sidecar_injector(review: &Value) -> Option<Value> {
    let pod = &review["request"]["object"];
    let mut operations = Vec::new();
    let mut add =
        |path: String, value: Value| operations.push(json!({"op": "add", "path": path, "value": value}));
    for list in ["initContainers", "containers"] {
        for (index, container) in items(&pod["spec"][list]).iter().enumerate() {
            if variable(container, "DD_AGENT_HOST").is_none() && container["name"] != "agent" {
                let env = format!("/spec/{list}/{index}/env");
                let entry = json!({"name": "DD_AGENT_HOST", "value": "agent.example.com"});
                if container["env"].is_null() {
                    add(env, json!([entry]));
                } else {
                    add(format!("{env}/0"), entry);
                }
            }
        }
    }
    if !names(&pod["spec"]["containers"]).contains(&"agent") {
        // In front: whoever takes container 0 for Spark's takes the wrong one.
        add("/spec/containers/0".to_owned(), json!({"name": "agent", "image": "example.com/agent:1"}));
        add("/spec/volumes/0".to_owned(), json!({"name": "agent-socket", "emptyDir": {}}));
        add("/metadata/labels/mesh".to_owned(), json!("on"));
    }
    (!operations.is_empty()).then_some(Value::Array(operations))
}

/// `other` says when the other webhook is called: the API server goes by the names of the configurations.
fn exactly_one_of_ours(
    world_name: &'static str,
    other: &str,
    answer: fn(&Value) -> Option<Value>,
) -> Vec<Value> {
    let world = World::start(Plan {
        name: world_name,
        namespaces: vec![Namespace::new(world_name).opted_in().node_selector("pool=a")],
        documents: vec![profile(
            world_name,
            &json!({
                "files": one_file(),
                "executorRole": {"name": "MY_EXECUTOR", "value": "true"},
                "common": {"template": {"spec": {
                    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
                    "initContainers": [{"name": "wait", "image": "busybox:1.37"}],
                    "containers": [{"name": "spark", "env": [{"name": "TEAM", "value": "a"}]},
                                   {"name": "metrics", "image": "example.com/metrics:1"}],
                }}},
                "localDirs": [{"hostPath": {"path": "/nvme0"}}],
            }),
        )],
        ..Plan::default()
    });
    let recorder = Recorder::start_with(answer);
    let registered = recorder
        .registration(&format!("{other}-{world_name}"))
        .only("acceptance/world", world_name)
        .register(&world.api);
    registered.wait_for(world_name, |_| !recorder.reviews().is_empty());

    [driver(world_name, "d"), executor(world_name, "e")]
        .iter()
        .map(|pod| {
            let stored = world.api.create(pod).expect(201);
            let count = |list: &Value, name: &str| names(list).iter().filter(|known| **known == name).count();
            let spec = &stored["spec"];
            let spark = container(&stored, pod["spec"]["containers"][0]["name"].as_str().expect("a name"));
            for (list, name) in [
                (&spec["initContainers"], INIT_CONTAINER),
                (&spec["initContainers"], "wait"),
                (&spec["containers"], "metrics"),
                (&spec["volumes"], VOLUME),
                (&spec["volumes"], "spark-injector-local-dir-0"),
                (&spark["volumeMounts"], VOLUME),
                (&spark["env"], "TEAM"),
            ] {
                assert_eq!(count(list, name), 1, "{name}: {list}");
            }
            let is_executor = pod["metadata"]["name"] == "e";
            assert_eq!(variable(spark, "MY_EXECUTOR"), is_executor.then_some("true"));
            let ours =
                items(&spec["tolerations"]).iter().filter(|toleration| toleration["key"] == "dedicated");
            assert_eq!(ours.count(), 1);
            assert_eq!(spec["nodeSelector"], json!({"pool": "a"}));
            stored
        })
        .collect()
}

#[track_caller]
fn assert_mesh(pod: &Value) {
    assert_eq!(pod["spec"]["containers"][0]["name"], "agent");
    assert_eq!(pod["metadata"]["labels"]["mesh"], "on");
    assert!(names(&pod["spec"]["volumes"]).contains(&"agent-socket"));
    for container in items(&pod["spec"]["initContainers"]).iter().chain(items(&pod["spec"]["containers"])) {
        let expected = (container["name"] != "agent").then_some("agent.example.com");
        assert_eq!(variable(container, "DD_AGENT_HOST"), expected, "{container}");
    }
}

#[test]
fn a_sidecar_injector_that_is_called_before_us() {
    for pod in exactly_one_of_ours("others-before", "aaa", sidecar_injector) {
        assert_mesh(&pod);
        assert_eq!(pod["spec"]["initContainers"][0]["name"], INIT_CONTAINER);
    }
}

#[test]
fn a_sidecar_injector_that_is_called_after_us() {
    for pod in exactly_one_of_ours("others-after", "zzz", sidecar_injector) {
        assert_mesh(&pod);
        assert_eq!(pod["spec"]["initContainers"][0]["name"], INIT_CONTAINER);
    }
}

/// A webhook that wants to be first among the init containers: ours moves, and is not added again.
fn first_init_container(review: &Value) -> Option<Value> {
    let known = &review["request"]["object"]["spec"]["initContainers"];
    if names(known).contains(&"first") {
        return None;
    }
    let entry = json!({"name": "first", "image": "busybox:1.37"});
    let (path, value) = if known.is_null() {
        ("/spec/initContainers", json!([entry]))
    } else {
        ("/spec/initContainers/0", entry)
    };
    Some(json!([{"op": "add", "path": path, "value": value}]))
}

#[test]
fn an_init_container_that_is_put_before_ours_does_not_make_a_second_one() {
    for pod in exactly_one_of_ours("others-first", "zzz", first_init_container) {
        assert_eq!(names(&pod["spec"]["initContainers"]), ["first", INIT_CONTAINER, "wait"]);
    }
}

#[test]
fn an_init_container_that_was_there_before_ours_comes_after_it() {
    for pod in exactly_one_of_ours("others-earlier", "aaa", first_init_container) {
        assert_eq!(names(&pod["spec"]["initContainers"]), [INIT_CONTAINER, "wait", "first"]);
    }
}

/// Anything but a known addition makes the init container somebody else's: a pod whose files would come from another
/// image is refused.
#[test]
fn a_webhook_that_replaces_the_image_of_our_init_container_is_found_out() {
    let name = "others-image";
    let world = World::start(Plan {
        name,
        namespaces: vec![Namespace::new(name).opted_in()],
        documents: vec![profile(name, &json!({"files": one_file()}))],
        ..Plan::default()
    });
    let recorder = Recorder::start_with(|review| {
        let known = names(&review["request"]["object"]["spec"]["initContainers"]).contains(&INIT_CONTAINER);
        let path = "/spec/initContainers/0/image";
        known.then(|| json!([{"op": "replace", "path": path, "value": "example.com/other:1"}]))
    });
    let registered =
        recorder.registration("zzz-others-image").only("acceptance/world", name).register(&world.api);
    registered.wait_for(name, |_| !recorder.reviews().is_empty());
    let reply = world.api.create(&driver(name, "d"));
    assert_eq!(reply.status, 403, "{}", reply.text);
    assert!(reply.message().contains(INIT_CONTAINER), "{}", reply.message());
}
