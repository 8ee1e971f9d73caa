//! What a pod and a profile both bring, and the API server takes once, or takes twice and means something else.

use std::sync::OnceLock;

use acceptance::client::Namespace;
use acceptance::kubelet::container;
use serde_json::{Value, json};

use crate::world::{Plan, World, assert_denied, driver, names, profile};

const SPARK: &str = "spark-kubernetes-driver";

/// Never stopped: statics end with the process.
fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let spark = json!({"name": "spark",
            "env": [{"name": "TEAM", "value": "a"}],
            "ports": [{"name": "metrics", "containerPort": 9000}],
            "resources": {"limits": {"cpu": "500m"}},
            "securityContext": {"privileged": true},
            "volumeMounts": [{"name": "shared", "mountPath": "/data"}]});
        let spec = json!({
            "containers": [spark, {"name": "logs", "image": "busybox:1.37"}],
            "topologySpreadConstraints": [spread(1)],
            "volumes": [{"name": "shared", "emptyDir": {}}],
        });
        let common = json!({"template": {"spec": spec}});
        World::start(Plan {
            name: "alike",
            namespaces: ["alike", "alike-enforced", "alike-written"]
                .map(|name| Namespace::new(name).opted_in())
                .to_vec(),
            documents: vec![
                profile("alike-written", &json!({"common": {"template": {"spec": written_out()}}})),
                profile("alike", &json!({"common": common})),
                profile(
                    "alike-enforced",
                    &json!({"common": common, "enforce": ["env", "resources", "volumeMounts"]}),
                ),
            ],
            ..Plan::default()
        })
    })
}

/// Everything here is stored in other words, or not at all.
fn written_out() -> Value {
    json!({
        "containers": [{"name": "logs", "image": "busybox:1.37", "imagePullPolicy": "", "terminationMessagePath": "",
            "command": [], "workingDir": "",
            "ports": [{"containerPort": 80, "hostPort": 0, "name": "", "protocol": ""}],
            "resources": {"limits": {"cpu": "0.0005", "memory": "1500M"}},
            "livenessProbe": {"httpGet": {"port": 80, "path": ""}, "timeoutSeconds": 0, "initialDelaySeconds": 0}}],
        "securityContext": {"supplementalGroups": [], "sysctls": []},
        "volumes": [{"name": "disk", "gcePersistentDisk": {"pdName": "a", "partition": 0}}],
    })
}

fn spread(max_skew: u32) -> Value {
    json!({"maxSkew": max_skew, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"})
}

#[test]
fn the_pods_own_stays_where_the_api_server_takes_one() {
    let mut pod = driver("alike", "one");
    pod["spec"]["topologySpreadConstraints"] = json!([spread(2)]);
    pod["spec"]["containers"][0]["ports"] = json!([{"name": "metrics", "containerPort": 9001}]);
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1"}});
    pod["spec"]["containers"][0]["securityContext"] = json!({"allowPrivilegeEscalation": false});
    let stored = world().api.create(&pod).expect(201);
    let spark = container(&stored, SPARK);
    assert_eq!(stored["spec"]["topologySpreadConstraints"], json!([spread(2)]));
    assert_eq!(spark["ports"], json!([{"name": "metrics", "containerPort": 9001, "protocol": "TCP"}]));
    assert_eq!(spark["resources"], json!({"requests": {"cpu": "1"}}));
    assert_eq!(spark["securityContext"], json!({"allowPrivilegeEscalation": false}));
    assert_eq!(names(&stored["spec"]["containers"]), [SPARK, "logs"]);
}

#[test]
fn a_native_sidecar_with_the_name_of_the_profiles_sidecar_is_told_whose_it_is() {
    let mut pod = driver("alike", "native");
    pod["spec"]["initContainers"] =
        json!([{"name": "logs", "image": "busybox:1.37", "restartPolicy": "Always"}]);
    assert_denied(
        &world().api.create(&pod),
        403,
        "the pod has an init container named logs, which is the name of one that profile alike adds (alike: \
         spec.common.template.spec.containers[1]); rename the pod's",
    );
}

/// The API server stores both; what is enforced is what the container would see.
#[test]
fn what_stands_twice_is_no_way_around_what_is_enforced() {
    let twice = |namespace: &str, name: &str, field: &str, values: [Value; 2]| {
        let mut pod = driver(namespace, name);
        pod["spec"]["volumes"] = json!([{"name": "shared", "emptyDir": {}}, {"name": "own", "emptyDir": {}}]);
        pod["spec"]["containers"][0][field] = json!(values);
        pod
    };
    let env = [json!({"name": "TEAM", "value": "a"}), json!({"name": "TEAM", "value": "b"})];
    let mounts =
        [json!({"name": "shared", "mountPath": "/data"}), json!({"name": "own", "mountPath": "/data/"})];
    for (name, field, values, sets) in
        [("env", "env", env, "env TEAM"), ("mounts", "volumeMounts", mounts, "mount /data")]
    {
        let stored = world().api.create(&twice("alike", name, field, values.clone())).expect(201);
        assert_eq!(container(&stored, SPARK)[field].as_array().expect("a list")[..2], values[..]);
        let reply = world().api.create(&twice("alike-enforced", name, field, values));
        assert_eq!(reply.status, 403, "{}", reply.text);
        let sentence = format!("the pod sets its own {sets}, but profile alike-enforced enforces");
        assert!(reply.message().contains(&sentence), "{}", reply.message());
    }
}

/// The token that the API server mounts into the sidecar makes it call a second time.
#[test]
fn what_the_api_server_writes_in_other_words_is_known_again() {
    let stored = world().api.create(&driver("alike-written", "one")).expect(201);
    assert_eq!(container(&stored, "logs")["resources"]["requests"], json!({"cpu": "1m", "memory": "1500M"}));
    let mut copy = driver("alike-written", "two");
    copy["spec"] = stored["spec"].clone();
    copy["metadata"]["annotations"] = stored["metadata"]["annotations"].clone();
    world().api.create(&copy).expect(201);
    assert_eq!(world().logged("alike-written", "two")["outcome"], "unchanged");
}

#[test]
fn an_enforced_limit_below_the_request_names_both_amounts() {
    let mut pod = driver("alike-enforced", "limit");
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1"}});
    assert_denied(
        &world().api.create(&pod),
        403,
        "the pod requests 1 of cpu, more than the limit of 500m that profile alike-enforced enforces (alike-enforced: \
         spec.common.template.spec.containers[0].resources.limits.cpu); request less",
    );
}
