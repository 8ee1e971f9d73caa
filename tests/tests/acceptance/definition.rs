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
        (json!({"files": [{"mountPath": "/x"}]}), "spec.files[0]: Invalid value: write exactly one of"),
        (
            json!({"files": [{"mountPath": "/x", "inline": {"a": "b"}, "secret": {"name": "s"}}]}),
            "spec.files[0]: Invalid value: write exactly one of configMap, secret, directory, inline",
        ),
        (json!({"namespaces": {}}), "spec.namespaces: Invalid value: write names or a selector"),
        (json!({"namespaces": {"names": []}}), "spec.namespaces: Invalid value: write names or a selector"),
        (json!({"namespaces": {"names": ["a", "a"]}}), "spec.namespaces.names[1]: Duplicate value"),
    ] {
        let reply = api.create(&profile("refused", &spec));
        assert_eq!(reply.status, 422, "{part}: {}", reply.text);
        assert!(reply.message().contains(part), "{part}: {}", reply.message());
    }
}

#[test]
fn a_name_that_cannot_be_part_of_other_names_is_refused() {
    for name in ["a.b".to_owned(), "a".repeat(64)] {
        let reply = api().create(&profile(&name, &json!({})));
        assert_eq!(reply.status, 422, "{name}: {}", reply.text);
        assert!(reply.message().contains("at most 63 lower-case letters"), "{}", reply.message());
    }
}

#[test]
fn null_is_the_same_as_nothing() {
    let spec = json!({"mode": null, "files": [{"mountPath": "/x", "secret": null, "inline": {"a": "b"}}]});
    let stored = api().create(&profile("null", &spec)).expect(201);
    assert_eq!(stored["spec"], json!({"files": [{"mountPath": "/x", "inline": {"a": "b"}}]}));
}

#[test]
fn explain_reads_well_and_diff_works() {
    let (api, cluster) = (api(), Cluster::shared());
    let run = |args: &[&str]| {
        let output = cluster.kubectl(args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let explained = wait_until(Duration::from_secs(20), || {
        // The published schema follows the definition after a moment.
        let (code, text, _) = run(&["explain", "sprof.spec.files"]);
        (code == Some(0)).then_some(text)
    });
    let explained = explained.expect("explain");
    for part in
        ["mountPath\t<string> -required-", "Where the Spark container finds them", "Files from a Secret"]
    {
        assert!(explained.contains(part), "{part}: {explained}");
    }
    api.create(&profile("diffed", &json!({"mode": "Audit"}))).expect(201);
    let file = tempfile::NamedTempFile::with_suffix(".json").expect("a file");
    let wanted = profile("diffed", &json!({"mode": "Enforce"}));
    std::fs::write(file.path(), wanted.to_string()).expect("a file");
    let path = file.path().to_str().expect("UTF-8");
    let (code, text, error) = run(&["diff", "--server-side", "--force-conflicts", "-f", path]);
    assert_eq!(code, Some(1), "{text}{error}");
    assert!(text.contains("-  mode: Audit") && text.contains("+  mode: Enforce"), "{text}");
}

#[test]
fn two_writers_share_the_status_without_taking_from_each_other() {
    let api = api();
    api.create(&profile("shared", &json!({}))).expect(201);
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "reason": "R", "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let write = |manager: &str, status: &Value| {
        let mut object = profile("shared", &json!({}));
        object.as_object_mut().expect("an object").remove("spec");
        object["status"] = status.clone();
        let path =
            format!("/apis/spark-injector.io/v1alpha1/sparkprofiles/shared/status?fieldManager={manager}");
        api.patch(&path, "application/apply-patch+yaml", &object).expect(200)
    };
    write(
        "one",
        &json!({"conditions": [condition("Ready", "True")], "revision": "r1", "namespaces": {"served": 3}}),
    );
    write(
        "two",
        &json!({"conditions": [condition("Delivered", "True")], "deliveredRevision": "r0",
                         "namespaces": {"delivered": 1}, "superseded": [{"revision": "r0", "since": "2026-01-01T00:00:00Z"}]}),
    );
    let stored = write(
        "one",
        &json!({"conditions": [condition("Ready", "False")], "revision": "r2", "namespaces": {"served": 4}}),
    );
    let status = &stored["status"];
    assert_eq!(status["conditions"], json!([condition("Ready", "False"), condition("Delivered", "True")]));
    assert_eq!((&status["revision"], &status["deliveredRevision"]), (&json!("r2"), &json!("r0")));
    assert_eq!(status["namespaces"], json!({"served": 4, "delivered": 1}));
}
