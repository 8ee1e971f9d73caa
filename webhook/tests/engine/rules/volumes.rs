//! Volumes by name: absent is added, equal is kept, different is refused.

use serde_json::json;

use super::common;
use crate::support::{catalog, denied, driver, inject, named, with};

const FIELD: &str = "volumes: [{name: shared, persistentVolumeClaim: {claimName: data}}]";

#[test]
fn an_absent_volume_is_added_behind_the_pods_own() {
    let pod = inject(&catalog(&common(FIELD, "")), &driver());
    let added = json!({ "name": "shared", "persistentVolumeClaim": { "claimName": "data" } });
    assert_eq!(pod["spec"]["volumes"][2], added);
}

#[test]
fn a_pod_without_volumes_gets_all_of_them() {
    let two = "volumes: [{name: a, emptyDir: {}}, {name: b, emptyDir: {}}]";
    for volumes in [json!(null), json!([])] {
        let pod = inject(&catalog(&common(two, "")), &with(driver(), "/spec/volumes", volumes));
        assert_eq!(pod["spec"]["volumes"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn an_equal_volume_is_kept_defaults_aside() {
    let pod = with(
        driver(),
        "/spec/volumes/-",
        json!({ "name": "shared", "persistentVolumeClaim": { "claimName": "data", "readOnly": false } }),
    );
    assert_eq!(inject(&catalog(&common(FIELD, "")), &pod)["spec"]["volumes"], pod["spec"]["volumes"]);
}

#[test]
fn a_volume_of_the_same_name_and_other_content_is_refused() {
    let pod = with(driver(), "/spec/volumes/-", json!({ "name": "shared", "emptyDir": {} }));
    let (code, message) = denied(&catalog(&common(FIELD, "")), &pod);
    assert_eq!(code, 403);
    for part in ["shared", "team-a: spec.common.template.spec.volumes[0]", "rename"] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn the_volume_of_the_files_cannot_be_planted() {
    let catalog = catalog("files: [{mountPath: /x, inline: {a: b}}]");
    let pod = with(
        driver(),
        "/spec/volumes/-",
        json!({ "name": "spark-injector-files", "configMap": { "name": "evil" } }),
    );
    let (code, message) = denied(&catalog, &pod);
    assert_eq!(code, 403);
    assert!(message.contains("spark-injector-files"), "{message}");
}

#[test]
fn a_volume_for_secrets_is_in_memory_and_every_volume_has_a_limit() {
    let world = crate::support::world().secret("k", &[("keytab", b"k")]);
    let secret =
        inject(&world.clone().spec("files: [{mountPath: /x, secret: {name: k}}]").catalog(), &driver());
    let volume = named(&secret, "/spec/volumes", "spark-injector-files");
    assert_eq!(volume["emptyDir"]["medium"], "Memory");
    let plain = inject(&world.spec("files: [{mountPath: /x, inline: {a: b}}]").catalog(), &driver());
    let volume = named(&plain, "/spec/volumes", "spark-injector-files");
    assert_eq!(volume["emptyDir"].get("medium"), None);
    assert_eq!(volume["emptyDir"]["sizeLimit"], "1Mi");
}
