//! Local directories: entry i gives its source to Spark's i-th volume, further entries add what Spark needs.

use serde_json::{Value, json};

use crate::support::{catalog, denied, driver, inject, inject_with_warnings, named, spark_of, with, world};

const TWO: &str = "localDirs: [{hostPath: {path: /nvme0/spark}}, {hostPath: {path: /nvme1/spark}}]";

fn dirs(pod: &Value) -> &Value {
    &named(spark_of(pod), "/env", "SPARK_LOCAL_DIRS")["value"]
}

#[test]
fn the_empty_dir_of_spark_gets_the_source_and_keeps_its_place() {
    let pod = inject(&catalog("localDirs: [{hostPath: {path: /nvme0/spark}}]"), &driver());
    let expected = json!({ "name": "spark-local-dir-1", "hostPath": { "path": "/nvme0/spark" } });
    assert_eq!(pod["spec"]["volumes"][0], expected);
    assert_eq!(dirs(&pod), "/var/data/spark-1111");
    assert_eq!(spark_of(&pod)["volumeMounts"], spark_of(&driver())["volumeMounts"]);
}

#[test]
fn fields_of_the_volume_that_nobody_knows_survive() {
    let pod = with(driver(), "/spec/volumes/0/futureField", "x");
    let pod = inject_with_warnings(&catalog("localDirs: [{hostPath: {path: /n}}]"), &pod).0;
    assert_eq!(pod["spec"]["volumes"][0]["futureField"], "x");
    assert_eq!(pod["spec"]["volumes"][0].get("emptyDir"), None);
}

#[test]
fn a_further_entry_adds_volume_mount_and_path() {
    let pod = inject(&catalog(TWO), &driver());
    let volume = named(&pod, "/spec/volumes", "spark-injector-local-dir-1");
    assert_eq!(volume["hostPath"]["path"], "/nvme1/spark");
    let mount = named(spark_of(&pod), "/volumeMounts", "spark-injector-local-dir-1");
    assert_eq!(mount["mountPath"], "/var/data/spark-injector-1");
    assert_eq!(dirs(&pod), "/var/data/spark-1111,/var/data/spark-injector-1");
}

#[test]
fn the_users_own_source_stays() {
    for source in [
        json!({ "name": "spark-local-dir-1", "persistentVolumeClaim": { "claimName": "c" } }),
        json!({ "name": "spark-local-dir-1", "hostPath": { "path": "/own" } }),
        json!({ "name": "spark-local-dir-1", "emptyDir": { "medium": "Memory" } }),
    ] {
        let (pod, warnings) =
            inject_with_warnings(&catalog(TWO), &with(driver(), "/spec/volumes/0", source.clone()));
        assert_eq!(pod["spec"]["volumes"][0], source);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(dirs(&pod), "/var/data/spark-1111,/var/data/spark-injector-1");
    }
}

#[test]
fn a_path_of_the_owners_choice_is_used() {
    let spec = "localDirs: [{hostPath: {path: /n0}}, {mountPath: /scratch/1, ephemeral: {volumeClaimTemplate: {spec: {
        accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}}}}}]";
    let pod = inject(&catalog(spec), &driver());
    assert_eq!(dirs(&pod), "/var/data/spark-1111,/scratch/1");
    super::reinvoked(&catalog(spec), &driver());
}

#[test]
fn a_pod_without_the_variable_gets_it() {
    let mut pod = driver();
    pod["spec"]["containers"][0]["env"] = json!(null);
    assert_eq!(dirs(&inject(&catalog(TWO), &pod)), "/var/data/spark-injector-1");
    let mut pod = driver();
    pod["spec"]["containers"][0]["env"][2]["value"] = json!("");
    assert_eq!(dirs(&inject(&catalog(TWO), &pod)), "/var/data/spark-injector-1");
}

#[test]
fn of_several_variables_the_last_one_counts() {
    let pod =
        with(driver(), "/spec/containers/0/env/-", json!({ "name": "SPARK_LOCAL_DIRS", "value": "/last" }));
    let pod = inject(&catalog(TWO), &pod);
    assert_eq!(pod["spec"]["containers"][0]["env"][2]["value"], "/var/data/spark-1111");
    assert_eq!(pod["spec"]["containers"][0]["env"][3]["value"], "/last,/var/data/spark-injector-1");
}

#[test]
fn a_volume_with_the_name_of_ours_and_other_content_is_refused() {
    let pod =
        with(driver(), "/spec/volumes/-", json!({ "name": "spark-injector-local-dir-1", "emptyDir": {} }));
    let (code, message) = denied(&catalog(TWO), &pod);
    assert!(code == 403 && message.contains("spark-injector-local-dir-1"), "{message}");
}

#[test]
fn mistakes_are_named() {
    for (entry, parts) in [
        ("{hostPath: {path: /a}, emptyDir: {}}", ["spec.localDirs[0]", "exactly one source"]),
        ("{}", ["spec.localDirs[0]", "exactly one source"]),
        ("{hostPth: {path: /a}}", ["spec.localDirs[0].hostPth", "unknown field"]),
        ("{mountPath: rel, hostPath: {path: /a}}", ["spec.localDirs[0].mountPath", "rel"]),
    ] {
        let problem = world().spec(&format!("localDirs: [{entry}]")).problems().join("\n");
        assert!(parts.iter().all(|part| problem.contains(part)), "{entry}: {problem}");
    }
}

#[test]
fn two_directories_at_one_path_are_a_mistake() {
    for spec in [
        "localDirs: [{mountPath: /s, hostPath: {path: /a}}, {mountPath: /s/, hostPath: {path: /b}}]",
        "{localDirs: [{mountPath: /s, hostPath: {path: /a}}], files: [{mountPath: /s, inline: {a: b}}]}",
    ] {
        let problem = world().spec(spec).problems().join("\n");
        assert!(problem.contains("\"/s\"") || problem.contains("/s "), "{problem}");
    }
}
