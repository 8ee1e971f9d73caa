//! That everything can be applied, again and again, and comes to life.

use std::time::Duration;

use acceptance::client::object_path;
use acceptance::manifests::{OWN, folder, guarded};
use acceptance::process::wait_until;
use serde_json::Value;

use crate::world::cluster;

const WITHIN: Duration = Duration::from_secs(30);

#[test]
fn everything_is_there_and_applying_again_changes_nothing() {
    let api = cluster().admin();
    for object in guarded() {
        assert_eq!(api.read(object).status, 200, "{}", object_path(object));
    }
    let guarded = folder("guarded");
    let folder = guarded.to_str().expect("a path in UTF-8");
    let output = cluster().kubectl(&["diff", "-k", folder]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
    // These tests have changed the failure policy.
    let changed = |line: &&str| line.starts_with("diff ") && !line.contains("MutatingWebhookConfiguration");
    assert_eq!(text.lines().find(changed), None, "{text}");
}

/// The namespace enforces Pod Security `restricted`, and the quota counts critical pods: neither stops the replicas.
#[test]
fn the_deployment_gets_its_pods() {
    let api = cluster().admin();
    let pods = wait_until(WITHIN, || {
        let pods = api.list("v1", "Pod", Some(OWN));
        (pods.len() == 2).then_some(pods)
    });
    let pods = pods.unwrap_or_else(|| panic!("no replicas: {:?}", api.list("v1", "Event", Some(OWN))));
    for pod in pods {
        assert_eq!(pod["spec"]["priority"], 2_000_000_000);
        assert_eq!(pod["spec"]["serviceAccountName"], OWN);
    }
}

/// The API server checks the types of each expression against the schemas of what it is about.
#[test]
fn policies_are_well_typed() {
    let api = cluster().admin();
    let policies: Vec<&Value> =
        guarded().iter().filter(|object| object["kind"] == "ValidatingAdmissionPolicy").collect();
    assert_eq!(policies.len(), 6);
    for policy in policies {
        let checked = wait_until(WITHIN, || {
            let status = api.read(policy).expect(200)["status"].clone();
            (status["observedGeneration"].as_u64() >= Some(1)).then_some(status)
        });
        let status = checked.expect("a controller has looked at the policy");
        let warnings = &status["typeChecking"]["expressionWarnings"];
        assert!(warnings.is_null(), "{}: {warnings:#}", policy["metadata"]["name"]);
    }
}
