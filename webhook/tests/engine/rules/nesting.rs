//! Mounts inside mounts: init-sync makes the inner mount point where the outer mount is ours, and what the runtime
//! could not mount is refused with both paths.

use init_sync::Entry;
use serde_json::{Value, json};

use crate::support::files::{files, manifest};
use crate::support::{TEAM, admit, catalog, denied, driver, inject, inject_with_warnings, with, world};

const MOUNTS: &str = "/spec/containers/0/volumeMounts/-";

fn points(pod: &Value) -> Vec<String> {
    let point = |entry: &Entry| match entry {
        Entry::Directory { path } => Some(format!("d {path}")),
        Entry::EmptyFile { path } => Some(format!("e {path}")),
        Entry::File(_) => None,
    };
    manifest(pod).entries.iter().filter_map(point).collect()
}

#[test]
fn ours_inside_ours_gets_its_mount_point() {
    let catalog = catalog(
        "files: [{mountPath: /p/conf, inline: {b: '2'}}, {mountPath: /p, inline: {a: '1'}},
                 {mountPath: /p/deep/er/one.txt, file: one.txt, inline: {one.txt: '3'}}]",
    );
    let pod = inject(&catalog, &driver());
    let points = points(&pod);
    assert!(points.contains(&"d m1/conf".to_owned()), "{points:?}");
    assert!(points.contains(&"e m1/deep/er/one.txt".to_owned()), "{points:?}");
    let tree = files(&pod, &[]);
    assert_eq!(tree["/p/conf/b"].1, b"2");
    assert_eq!(tree["/p/a"].1, b"1");
    assert_eq!(tree["/p/deep/er/one.txt"].1, b"3");
}

#[test]
fn three_levels_get_a_mount_point_in_the_closest_one() {
    let catalog = catalog(
        "files: [{mountPath: /a, inline: {x: '1'}}, {mountPath: /a/b, inline: {x: '2'}}, {mountPath: /a/b/c, inline: {x: '3'}}]",
    );
    let points = points(&inject(&catalog, &driver()));
    assert!(points.contains(&"d m0/b".to_owned()) && points.contains(&"d m1/c".to_owned()), "{points:?}");
    assert!(!points.iter().any(|point| point.contains("m0/b/c")), "{points:?}");
}

#[test]
fn a_mount_point_over_a_file_of_the_outer_entry_is_a_mistake_of_the_profile() {
    let problems = world()
        .spec("files: [{mountPath: /a, inline: {conf: '1'}}, {mountPath: /a/conf, inline: {x: '2'}}]")
        .problems();
    assert!(problems[0].contains("/a/conf is mounted over /a/conf"), "{problems:?}");
    let problems = world()
        .spec("files: [{mountPath: /a, file: f, inline: {f: '1'}}, {mountPath: /a/conf, inline: {x: '2'}}]")
        .problems();
    assert!(problems[0].contains("single file"), "{problems:?}");
}

#[test]
fn a_pods_mount_inside_ours_is_refused_with_both_paths() {
    let catalog = catalog("files: [{mountPath: /p, inline: {a: '1'}}]");
    let own = json!({ "name": "spark-local-dir-1", "mountPath": "/p/scratch" });
    let (code, message) = denied(&catalog, &with(driver(), MOUNTS, own));
    assert_eq!(code, 422);
    for part in ["spark-local-dir-1", "/p/scratch", "team-a: spec.files[0]", "at /p", "elsewhere"] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

/// Another webhook, or a user who wrote ours himself.
#[test]
fn a_pods_mount_inside_ours_is_refused_also_where_ours_stands_already() {
    let spec = "{files: [{mountPath: /p, inline: {a: '1'}}, {mountPath: /p/conf, inline: {b: '2'}}], enforce: [volumeMounts]}";
    let catalog = catalog(spec);
    let patched = inject(&catalog, &driver());
    for own in ["/p/scratch", "/p/a", "/p/conf/x"] {
        let pod = with(patched.clone(), MOUNTS, json!({ "name": "spark-local-dir-1", "mountPath": own }));
        let (code, message) = denied(&catalog, &pod);
        assert!(code == 422 && message.contains(own), "{message}");
    }
    let elsewhere = with(patched, MOUNTS, json!({ "name": "spark-local-dir-1", "mountPath": "/q/p" }));
    assert!(admit(&catalog, TEAM, &elsewhere).allowed);
}

/// In the order of paths, not of bytes: `/p-x` stands between `/p` and `/p/x` there.
#[test]
fn tens_of_thousands_of_mounts_inside_each_other_are_looked_at_once_each() {
    let catalog =
        catalog("files: [{mountPath: /o, inline: {a: '1'}}, {mountPath: /o/m-x, inline: {a: '1'}}]");
    let mounts = |last: &str| {
        let mut mounts: Vec<Value> = (0..70_000)
            .map(|index| json!({ "name": "spark-local-dir-1", "mountPath": format!("/o/m/{index}") }))
            .collect();
        mounts.push(json!({ "name": "spark-local-dir-1", "mountPath": last }));
        with(driver(), "/spec/containers/0/volumeMounts", mounts)
    };
    let (code, message) = denied(&catalog, &mounts("/o/m"));
    assert!(code == 422 && message.contains(" at /o/m,"), "{message}");
    let (_, message) = denied(&catalog, &mounts("/o/m-x"));
    assert!(message.contains(" at /o/m/0,"), "{message}");
}

#[test]
fn a_pods_mount_inside_a_read_only_volume_of_a_template_is_refused() {
    for volume in ["configMap: {name: c}", "secret: {secretName: c}", "projected: {sources: []}"] {
        let catalog = catalog(&super::common(
            &format!(
                "volumes: [{{name: v, {volume}}}], containers: [{{name: spark, volumeMounts: [{{name: v, mountPath: /p}}]}}]"
            ),
            "",
        ));
        let own = json!({ "name": "spark-local-dir-1", "mountPath": "/p/scratch" });
        let (code, message) = denied(&catalog, &with(driver(), MOUNTS, own));
        assert_eq!(code, 422, "{message}");
        assert!(message.contains("/p/scratch") && message.contains("at /p"), "{message}");
    }
}

#[test]
fn a_pods_mount_inside_a_writable_volume_of_a_template_is_fine() {
    let catalog = catalog(&super::common(
        "volumes: [{name: v, emptyDir: {}}], containers: [{name: spark, volumeMounts: [{name: v, mountPath: /p}]}]",
        "",
    ));
    inject(
        &catalog,
        &with(driver(), MOUNTS, json!({ "name": "spark-local-dir-1", "mountPath": "/p/scratch" })),
    );
}

#[test]
fn a_pods_mount_where_one_of_ours_would_be_is_kept_and_has_its_mount_point() {
    let catalog =
        catalog("files: [{mountPath: /p, inline: {a: '1'}}, {mountPath: /p/conf, inline: {b: '2'}}]");
    let own = json!({ "name": "spark-local-dir-1", "mountPath": "/p/conf" });
    let (_, warnings) = inject_with_warnings(&catalog, &with(driver(), MOUNTS, own));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn ours_inside_a_read_only_mount_of_the_pod_is_refused_with_both_paths() {
    let catalog = catalog("files: [{mountPath: /opt/spark/conf/extra, inline: {a: '1'}}]");
    let (code, message) = denied(&catalog, &driver());
    assert_eq!(code, 422);
    for part in ["/opt/spark/conf/extra", "ConfigMap", "spark-conf-volume-driver", "at /opt/spark/conf,"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    for (volume, word) in [
        (json!({ "name": "v", "secret": { "secretName": "s" } }), "Secret"),
        (json!({ "name": "v", "projected": { "sources": [] } }), "projected"),
        (json!({ "name": "v", "downwardAPI": { "items": [] } }), "downward API"),
        (json!({ "name": "v", "persistentVolumeClaim": { "claimName": "c" } }), "read-only"),
    ] {
        let mut pod = with(driver(), "/spec/volumes/1", volume);
        let mount = json!({ "name": "v", "mountPath": "/opt/spark/conf", "readOnly": word == "read-only" });
        pod["spec"]["containers"][0]["volumeMounts"][1] = mount;
        let (code, message) = denied(&catalog, &pod);
        assert!(code == 422 && message.contains(word), "{message}");
    }
}

#[test]
fn ours_inside_a_writable_mount_of_the_pod_is_fine() {
    inject(&catalog("files: [{mountPath: /var/data/spark-1111/x, inline: {a: '1'}}]"), &driver());
}

#[test]
fn the_closest_mount_decides() {
    // The pod's own emptyDir lies between its ConfigMap and our mount.
    let catalog = catalog("files: [{mountPath: /opt/spark/conf/work/extra, inline: {a: '1'}}]");
    let own = json!({ "name": "spark-local-dir-1", "mountPath": "/opt/spark/conf/work" });
    inject(&catalog, &with(driver(), MOUNTS, own));
}

#[test]
fn a_path_that_only_begins_alike_is_not_inside() {
    inject(&catalog("files: [{mountPath: /opt/spark/config, inline: {a: '1'}}]"), &driver());
}

#[test]
fn ours_inside_a_read_only_mount_of_a_template_is_a_mistake_of_the_profile() {
    let problems = world()
        .spec(
            "{files: [{mountPath: /p/x, inline: {a: '1'}}], common: {template: {spec: {
               volumes: [{name: v, configMap: {name: c}}], containers: [{name: spark, volumeMounts: [{name: v, mountPath: /p}]}]}}}}",
        )
        .problems();
    assert!(problems[0].contains("/p/x") && problems[0].contains("at /p"), "{problems:?}");
}
