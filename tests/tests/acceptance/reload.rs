//! Profiles and sources that change while the webhook serves.

use std::time::Duration;

use acceptance::client::{Namespace, config_map};
use acceptance::kubelet::INIT_CONTAINER;
use acceptance::process::wait_until;
use acceptance::registration::STATUS_ANNOTATION;
use serde_json::{Value, json};

use crate::world::{Plan, World, driver, names, profile};

fn documents(content: &str, mount: &str) -> Vec<Value> {
    let files = json!([{"mountPath": mount, "configMap": {"name": "app"}}]);
    vec![
        profile("reload", &json!({"files": files})),
        config_map("spark-injector", "app", &[("app.conf", content)]),
    ]
}

fn revision(pod: &Value) -> String {
    let status = pod["metadata"]["annotations"][STATUS_ANNOTATION].as_str().expect("the annotation");
    let status: Value = serde_json::from_str(status).expect("JSON");
    status["revision"].as_str().expect("a revision").to_owned()
}

#[test]
fn the_next_pod_has_the_new_revision_and_a_mistake_leaves_the_last_good_one() {
    let world = World::start(Plan {
        name: "reload",
        namespaces: vec![Namespace::new("reload").opted_in()],
        documents: documents("one\n", "/conf"),
        ..Plan::default()
    });
    let create = |name: &str| world.api.create(&driver("reload", name)).expect(201);
    let first = revision(&create("first"));
    assert_eq!(first, revision(&create("again")));

    world.rewrite(&documents("two\n", "/conf"));
    let second = wait_until(Duration::from_secs(10), || {
        let dry = revision(&world.api.dry_run(&driver("reload", "asked")).expect(201));
        (dry != first).then_some(dry)
    });
    let second = second.expect("the new revision within ten seconds");
    assert_eq!(revision(&create("second")), second);

    // Text that is no YAML: everything stays.
    world.rewrite_text("kind: [");
    let line = world.webhook.wait_for_log("the last good ones stay");
    assert!(line.contains("documents.json"), "{line}");
    assert_eq!(revision(&create("while-broken")), second);
    assert_eq!(world.webhook.admin("/readyz").0, 200);

    // A profile with a mistake: its last good plan stays.
    world.rewrite(&documents("three\n", "relative"));
    let line = world.webhook.wait_for_log("mistake in the inputs");
    assert!(line.contains("spec.files[0].mountPath"), "{line}");
    let stored = create("while-mistaken");
    assert_eq!(revision(&stored), second);
    assert_eq!(names(&stored["spec"]["initContainers"]), [INIT_CONTAINER]);

    world.rewrite(&documents("one\n", "/conf"));
    let back = wait_until(Duration::from_secs(10), || {
        (revision(&world.api.dry_run(&driver("reload", "asked")).expect(201)) == first).then_some(())
    });
    assert!(back.is_some(), "the same files have the same revision again");
}
