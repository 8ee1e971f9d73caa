//! `init-sync` under the environment of stored pods, resolved as a kubelet does: every file is restored, byte for
//! byte, with its mode, where the Spark container sees it.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use acceptance::client::Namespace;
use acceptance::kubelet::{self, INIT_CONTAINER};
use acceptance::pods::fixtures;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::pods::{INVALID, spark_container};
use crate::world::{Plan, World, bundle, driver, executor, names, noise, profile};

/// What a container sees: mode and content by path.
type Files = BTreeMap<String, (u32, Vec<u8>)>;

/// Runs the pod's init container on a new volume and returns what its Spark container sees.
#[track_caller]
fn restore(world: &World, pod: &Value, volume: &Path) -> Files {
    let environment =
        kubelet::environment(pod, INIT_CONTAINER, &world.api).expect("every reference resolves");
    let finished = kubelet::run_init_sync(pod, &environment, volume);
    assert_eq!(finished.status, 0, "{}", finished.stderr);
    assert_mount_points(pod, volume);
    let before = stamps(volume);
    let again = kubelet::run_init_sync(pod, &environment, volume);
    assert_eq!(again.status, 0, "{}", again.stderr);
    assert_eq!(stamps(volume), before, "the second run changed something");

    let name = spark_container(pod)["name"].as_str().expect("a name");
    let sources = kubelet::file_sources(pod, name, volume).into_iter();
    sources
        .map(|(path, source)| {
            let mode = std::fs::metadata(&source).expect("a file").permissions().mode() & 0o7777;
            (path, (mode, std::fs::read(source).expect("a readable file")))
        })
        .collect()
}

/// Inode, size and times of everything on the volume.
fn stamps(volume: &Path) -> BTreeMap<String, (u64, u64, i64, i64)> {
    fn walk(path: &Path, found: &mut BTreeMap<String, (u64, u64, i64, i64)>) {
        let metadata: Metadata = std::fs::symlink_metadata(path).expect("an entry");
        let stamp = (metadata.ino(), metadata.len(), metadata.mtime_nsec(), metadata.ctime_nsec());
        found.insert(path.display().to_string(), stamp);
        if metadata.is_dir() {
            for entry in std::fs::read_dir(path).expect("a directory") {
                walk(&entry.expect("an entry").path(), found);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(volume, &mut found);
    found
}

/// A runtime cannot make a mount point inside a read-only mount: it has to be there, of the right kind.
#[track_caller]
fn assert_mount_points(pod: &Value, volume: &Path) {
    let name = spark_container(pod)["name"].as_str().expect("a name");
    let mounts = kubelet::mounts(pod, name, volume);
    for mount in &mounts {
        assert!(mount.read_only, "{mount:?}");
        assert!(mount.source.exists(), "{mount:?}: a subPath that is not there");
        let outer = mounts
            .iter()
            .filter(|outer| mount.path.starts_with(&format!("{}/", outer.path)))
            .max_by_key(|outer| outer.path.len());
        if let Some(outer) = outer {
            let point = outer.source.join(&mount.path[outer.path.len() + 1..]);
            assert!(point.exists(), "{} is not there for {mount:?}", point.display());
            assert_eq!(point.is_dir(), mount.source.is_dir(), "{mount:?}");
        }
    }
}

fn text(seed: usize, length: usize) -> Vec<u8> {
    let line = format!("<property><name>some.key.of.{seed}</name><value>on</value></property>\n");
    line.into_bytes().into_iter().cycle().take(length).collect()
}

fn secret(name: &str, files: &[(String, Vec<u8>)]) -> Value {
    let data: serde_json::Map<String, Value> =
        files.iter().map(|(key, content)| (key.clone(), BASE64.encode(content).into())).collect();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "spark-injector"}, "data": data})
}

#[test]
fn every_kind_of_file_arrives_in_the_environment_of_the_pod() {
    let odd = "a=$(HOME) $$ \\ \"quoted\" ümlaut\r\nno newline at the end";
    let binary: Vec<u8> = (0..=255).collect();
    let large = noise(7, 120 * 1024);
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "mixed", "namespace": "spark-injector"},
        "data": {"empty": "", "odd.txt": odd, "0.starts-with-digit": "0\n", "f1": "looks like a derived name\n",
                 "INIT_SYNC_MANIFEST": "not the manifest\n", "PATH": "not the path\n",
                 "long.xml": String::from_utf8(text(1, 60_000)).expect("text")},
        "binaryData": {"all-bytes.bin": BASE64.encode(&binary), "large.bin": BASE64.encode(&large)}});
    let world = World::start(Plan {
        name: "files-env",
        namespaces: vec![Namespace::new("files-env").opted_in()],
        documents: vec![
            config,
            profile(
                "files-env",
                &json!({
                    "delivery": "Env",
                    "files": [
                        {"mountPath": "/mixed", "configMap": {"name": "mixed"}, "mode": "0640"},
                        // The same base name with other content, names outside the legal ones, paths, modes.
                        {"mountPath": "/other", "inline": {"odd.txt": "other\n", "with space.conf": "s\n", "ü": "u\n"}},
                        {"mountPath": "/deep", "configMap": {"name": "mixed", "items": [
                            {"key": "odd.txt", "path": "a/b/c/odd.txt", "mode": "0400"},
                            {"key": "empty", "path": "a/run.sh", "mode": "0755"}]}},
                        {"mountPath": "/mixed/inner", "inline": {"x": "inner\n"}},
                        {"mountPath": "/mixed/inner/single.conf", "file": "empty", "configMap": {"name": "mixed"}},
                        {"mountPath": "/executors", "roles": ["executor"], "inline": {"e": "e\n"}},
                    ],
                }),
            ),
        ],
        ..Plan::default()
    });
    let file = |path: &str, mode: u32, content: &[u8]| (path.to_owned(), (mode, content.to_vec()));
    let mut expected: Files = [
        file("/mixed/empty", 0o640, b""),
        file("/mixed/odd.txt", 0o640, odd.as_bytes()),
        file("/mixed/0.starts-with-digit", 0o640, b"0\n"),
        file("/mixed/f1", 0o640, b"looks like a derived name\n"),
        file("/mixed/INIT_SYNC_MANIFEST", 0o640, b"not the manifest\n"),
        file("/mixed/PATH", 0o640, b"not the path\n"),
        file("/mixed/long.xml", 0o640, &text(1, 60_000)),
        file("/mixed/all-bytes.bin", 0o640, &binary),
        file("/mixed/large.bin", 0o640, &large),
        file("/other/odd.txt", 0o444, b"other\n"),
        file("/other/with space.conf", 0o444, b"s\n"),
        file("/other/ü", 0o444, b"u\n"),
        file("/deep/a/b/c/odd.txt", 0o400, odd.as_bytes()),
        file("/deep/a/run.sh", 0o755, b""),
        file("/mixed/inner/x", 0o444, b"inner\n"),
        file("/mixed/inner/single.conf", 0o444, b""),
    ]
    .into();

    let pod = world.api.create(&driver("files-env", "d")).expect(201);
    assert!(!pod.to_string().contains("secretKeyRef"));
    let volume = tempfile::tempdir().expect("a volume");
    assert_same(&restore(&world, &pod, volume.path()), &expected);

    expected.extend([file("/executors/e", 0o444, b"e\n")]);
    let pod = world.api.create(&executor("files-env", "e")).expect(201);
    let volume = tempfile::tempdir().expect("a volume");
    assert_same(&restore(&world, &pod, volume.path()), &expected);
}

/// A difference of a megabyte helps nobody: names, modes and sizes do.
#[track_caller]
fn assert_same(seen: &Files, expected: &Files) {
    let short = |files: &Files| -> Vec<String> {
        files.iter().map(|(path, (mode, content))| format!("{mode:o} {} {path}", content.len())).collect()
    };
    assert_eq!(short(seen), short(expected));
    for (path, (_, content)) in seen {
        assert!(*content == expected[path].1, "{path} has other content");
    }
}

#[test]
fn a_megabyte_over_many_files_arrives_by_secret() {
    let compressible: Vec<(String, Vec<u8>)> =
        (0..20).map(|index| (format!("site-{index}.xml"), text(index, 40_000))).collect();
    let mut noisy: Vec<(String, Vec<u8>)> =
        (0..40).map(|index| (format!("key-{index}.p12"), noise(index, 5_000))).collect();
    // Above what one variable holds.
    noisy.push(("large.bin".to_owned(), noise(99, 200_000)));
    noisy.push(("empty.key".to_owned(), Vec::new()));
    let world = World::start(Plan {
        name: "files-secret",
        namespaces: vec![Namespace::new("files-secret").opted_in()],
        documents: vec![
            secret("compressible", &compressible),
            secret("noisy", &noisy),
            profile(
                "files-secret",
                &json!({"files": [
                    {"mountPath": "/sites", "secret": {"name": "compressible"}, "mode": "0444",
                     "roles": ["driver", "executor"]},
                    {"mountPath": "/keys", "secret": {"name": "noisy"}},
                ]}),
            ),
        ],
        ..Plan::default()
    });
    let delivered = world.deliver("files-secret");
    assert_eq!(delivered.len(), 1);
    assert_eq!(delivered[0]["immutable"], true);

    let at = |root: &str, mode: u32, files: &[(String, Vec<u8>)]| -> Files {
        files.iter().map(|(name, content)| (format!("{root}/{name}"), (mode, content.clone()))).collect()
    };
    let mut expected = at("/sites", 0o444, &compressible);
    let pod = world.api.create(&executor("files-secret", "e")).expect(201);
    let volume = tempfile::tempdir().expect("a volume");
    assert_same(&restore(&world, &pod, volume.path()), &expected);
    assert!(!names(&kubelet::container(&pod, INIT_CONTAINER)["env"]).contains(&"key-0.p12"));

    expected.extend(at("/keys", 0o440, &noisy));
    let total: usize = expected.values().map(|(_, content)| content.len()).sum();
    assert!(total > 1_000_000, "{total}");
    let pod = world.api.create(&driver("files-secret", "d")).expect(201);
    assert!(pod.to_string().len() < 100_000, "the pod refers to the files and does not hold them");
    let volume = tempfile::tempdir().expect("a volume");
    assert_same(&restore(&world, &pod, volume.path()), &expected);
}

#[test]
fn every_recorded_pod_restores_its_files() {
    let keytab = BASE64
        .decode(concat!(
            "BQIAAABNAAIAC0VYQU1QTEUuQ09NAANldGwABnRlYW0tYQAAAAFo53gAAgASACDVaBo4+t/NDFwTGXEzMgcNj1jOHDA0DA5Dx6NZ5Kt4",
            "KwAAAAIAAAA9AAIAC0VYQU1QTEUuQ09NAANldGwABnRlYW0tYQAAAAFo53gAAgARABBBppOTglGyXbK3HyfRpxmiAAAAAg=="
        ))
        .expect("base64");
    let world = World::start(Plan {
        name: "files-recorded",
        namespaces: vec![
            Namespace::new("files-recorded")
                .opted_in()
                .label("bundle", "shared-keytab")
                .node_selector("pool=spark"),
        ],
        folders: vec![bundle()],
        ..Plan::default()
    });
    for account in ["spark", "spark-exec"] {
        world.api.create_service_account("files-recorded", account);
    }
    world.api.apply_priority_class("batch-high", 1000);
    assert_eq!(world.deliver("files-recorded").len(), 1);

    for fixture in fixtures().into_iter().filter(|fixture| !INVALID.contains(&fixture.name.as_str())) {
        let pod = world.api.create(&fixture.pod("files-recorded")).expect(201);
        let volume = tempfile::tempdir().expect("a volume");
        let seen = restore(&world, &pod, volume.path());
        let mut expected = vec!["/tmp/krb5_keytab/etl.keytab"];
        if fixture.role == "driver" {
            expected.extend([
                "/my_project/resources/config/application.properties",
                "/my_project/resources/core-site.xml",
                "/my_project/resources/hdfs-site.xml",
                "/my_project/resources/kerberos/etl.keytab",
            ]);
        }
        // Where the user mounts a krb5.conf, the user's stays.
        let own = fixture.object.to_string().contains("\"mountPath\":\"/etc/krb5.conf\"");
        if !own {
            expected.push("/etc/krb5.conf");
        }
        expected.sort_unstable();
        assert_eq!(seen.keys().collect::<Vec<_>>(), expected, "{}", fixture.name);
        assert_eq!(seen["/tmp/krb5_keytab/etl.keytab"], (0o400, keytab.clone()), "{}", fixture.name);
    }
}
