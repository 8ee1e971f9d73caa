//! The shipped CustomResourceDefinition, on a real API server: what it accepts, keeps and refuses.

use std::time::Duration;

use acceptance::client::Api;
use acceptance::cluster::Cluster;
use acceptance::places;
use acceptance::process::wait_until;
use serde_json::{Value, json};

/// Every way of applying it has to work: `kubectl apply` stores the whole in an annotation of at most 256 KiB.
const MOST_BYTES: usize = 256 * 1024;

fn documents(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(places::repository().join(path)).expect(path);
    serde_saphyr::from_multiple(&text).expect(path)
}

/// The API server with the definition in effect.
fn api() -> &'static Api {
    let api = Cluster::shared().admin();
    let text =
        std::fs::read_to_string(places::repository().join("manifests/base/crd.yaml")).expect("the CRD");
    assert!(text.len() < MOST_BYTES, "{} bytes", text.len());
    let definition = documents("manifests/base/crd.yaml").remove(0);
    api.apply(&definition);
    let established = wait_until(Duration::from_secs(20), || {
        (api.dry_run(&profile("probe", &json!({}))).status == 201).then_some(())
    });
    assert!(established.is_some(), "the definition did not come into effect");
    api
}

fn profile(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile",
        "metadata": {"name": name}, "spec": spec,
    })
}

#[test]
fn profiles_are_accepted_as_they_are_written_and_come_back_so() {
    let api = api();
    for path in ["examples/platform/profile-base.yaml", "examples/platform/profile-team-a.yaml"] {
        let written = documents(path).remove(0);
        let stored = api.create(&written).expect(201);
        assert_eq!(stored["spec"], written["spec"], "{path}");
    }
}

#[test]
fn a_misspelt_field_of_a_template_is_kept_for_the_compiler_to_name() {
    let template = json!({"spec": {"tolerationz": [], "containers": [{"name": "spark", "envv": []}]}});
    let spec = json!({"common": {"template": template}, "localDirs": [{"hostPath": {"path": "/x"}}]});
    let stored = api().create(&profile("misspelt", &spec)).expect(201);
    assert_eq!(stored["spec"], spec);
}

#[test]
fn what_the_schema_can_tell_is_refused_with_the_field() {
    let api = api();
    for (spec, part) in [
        (json!({"mode": "Maybe"}), "spec.mode"),
        (json!({"files": [{"mountPath": "relative"}]}), "spec.files[0].mountPath"),
        (json!({"files": [{"mountPath": "/x", "mode": "999"}]}), "spec.files[0].mode"),
        (json!({"files": [{"mountPath": "/x", "roles": ["worker"]}]}), "spec.files[0].roles[0]"),
        (json!({"delivery": "Carrier pigeon"}), "spec.delivery"),
    ] {
        let reply = api.create(&profile("refused", &spec));
        assert_eq!(reply.status, 422, "{part}: {}", reply.text);
        assert!(reply.message().contains(part), "{part}: {}", reply.message());
    }
}
