//! `init-sync` under an environment that is not what the manifest says: its own exit code, one line that says which
//! file, and no file at all.

use std::collections::BTreeMap;

use acceptance::client::Namespace;
use acceptance::kubelet::{self, INIT_CONTAINER};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::world::{Plan, World, driver, profile};

const MANIFEST: &str = "INIT_SYNC_MANIFEST";

fn start(name: &'static str) -> (World, Value) {
    let data = json!({"etl.keytab": BASE64.encode(b"\x05\x02secret keytab"), "second.key": BASE64.encode(b"second")});
    let world = World::start(Plan {
        name,
        namespaces: vec![Namespace::new(name).opted_in()],
        documents: vec![
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "spark-injector"},
                   "data": data}),
            profile(name, &json!({"files": [{"mountPath": "/keys", "secret": {"name": "keys"}}]})),
        ],
        ..Plan::default()
    });
    let pod = world.api.create(&driver(name, "d")).expect(201);
    (world, pod)
}

/// Asserts the exit code, what the line says, and that nothing is there.
#[track_caller]
fn fails(pod: &Value, environment: &BTreeMap<String, String>, code: i32, says: &str) {
    let volume = tempfile::tempdir().expect("a volume");
    let finished = kubelet::run_init_sync(pod, environment, volume.path());
    assert_eq!(finished.status, code, "{}", finished.stderr);
    assert_eq!(finished.stderr.trim_end().lines().count(), 1, "{}", finished.stderr);
    assert!(finished.stderr.contains(says), "{}", finished.stderr);
    let left: Vec<_> = std::fs::read_dir(volume.path()).expect("the volume").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_secret_that_was_planted_or_changed_gives_no_file() {
    let (world, pod) = start("hostile-secret");
    // Not delivered yet: the kubelet waits.
    let error = kubelet::environment(&pod, INIT_CONTAINER, &world.api).expect_err("no Secret");
    assert!(error.contains("not found"), "{error}");

    let secret = world.deliver("hostile-secret").remove(0);
    let name = secret["metadata"]["name"].as_str().expect("a name");
    let plant = |key: &str, value: &str| {
        assert_eq!(world.api.delete(&secret).status, 200);
        let mut planted = secret.clone();
        planted["data"][key] = BASE64.encode(value).into();
        planted["metadata"] = json!({"name": name, "namespace": "hostile-secret"});
        world.api.create(&planted).expect(201);
        kubelet::environment(&pod, INIT_CONTAINER, &world.api).expect("it resolves")
    };
    // Same size, other content; other size; not base64.
    let environment = plant("etl.keytab", &BASE64.encode(b"\x05\x02forged keytab"));
    fails(&pod, &environment, 17, "etl.keytab");
    let environment = plant("etl.keytab", &BASE64.encode(b"longer than what was promised"));
    fails(&pod, &environment, 16, "etl.keytab");
    let environment = plant("etl.keytab", "not base64!");
    fails(&pod, &environment, 14, "etl.keytab");
    // No line quotes what it found.
    let volume = tempfile::tempdir().expect("a volume");
    let finished = kubelet::run_init_sync(&pod, &environment, volume.path());
    assert!(!finished.stderr.contains("not base64!"), "{}", finished.stderr);

    // A key that is gone: the kubelet's error, not ours.
    assert_eq!(world.api.delete(&secret).status, 200);
    let mut planted = secret.clone();
    planted["data"].as_object_mut().expect("data").remove("second.key");
    planted["metadata"] = json!({"name": name, "namespace": "hostile-secret"});
    world.api.create(&planted).expect(201);
    let error = kubelet::environment(&pod, INIT_CONTAINER, &world.api).expect_err("no key");
    assert!(error.contains("couldn't find key second.key"), "{error}");
}

#[test]
fn a_poisoned_or_truncated_environment_gives_no_file() {
    let (world, pod) = start("hostile-environment");
    world.deliver("hostile-environment");
    let good = kubelet::environment(&pod, INIT_CONTAINER, &world.api).expect("it resolves");
    let with = |change: &dyn Fn(&mut BTreeMap<String, String>)| {
        let mut environment = good.clone();
        change(&mut environment);
        environment
    };
    let manifest = |change: &dyn Fn(&str) -> String| {
        with(&|environment| {
            let text = change(&environment[MANIFEST]);
            environment.insert(MANIFEST.to_owned(), text);
        })
    };
    fails(&pod, &with(&|environment| drop(environment.remove("second.key"))), 13, "second.key");
    fails(&pod, &with(&|environment| drop(environment.remove(MANIFEST))), 10, MANIFEST);
    fails(&pod, &manifest(&|text| text.replacen("init-sync 1", "init-sync 9", 1)), 12, "9");
    fails(&pod, &manifest(&|text| text[..text.len() / 2].to_owned()), 11, MANIFEST);
    fails(&pod, &manifest(&|text| text.replace("m0/second.key", "m0/../../second.key")), 11, MANIFEST);
    let cut = with(&|environment| {
        let value = environment["etl.keytab"].clone();
        environment.insert("etl.keytab".to_owned(), value[..value.len() - 4].to_owned());
    });
    fails(&pod, &cut, 16, "etl.keytab");
    // What the manifest does not name is not looked at.
    let volume = tempfile::tempdir().expect("a volume");
    let more = with(&|environment| drop(environment.insert("THIRD".to_owned(), "not base64!".to_owned())));
    assert_eq!(kubelet::run_init_sync(&pod, &more, volume.path()).status, 0);
}
