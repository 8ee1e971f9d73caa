//! Files on their way: names of variables, encodings, chunks, modes, and the revision of it all.

use std::collections::BTreeSet;

use init_sync::{Encoding, File};
use serde_json::Value;

use crate::support::files::{Tree, files, manifest};
use crate::support::{World, driver, inject, named, world};

/// Bytes that do not compress.
pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(next).collect()
}

/// A world with these files in one ConfigMap, for drivers.
fn with_files(data: &[(&str, &[u8])], delivery: &str) -> World {
    world().config_map("c", data).spec(&format!(
        "{{delivery: {delivery}, files: [{{mountPath: /x, roles: [driver], configMap: {{name: c}}}}]}}"
    ))
}

fn restored(world: &World) -> (Value, Tree) {
    let catalog = world.catalog();
    let pod = inject(&catalog, &driver());
    let tree = files(&pod, &catalog.secrets(None));
    (pod, tree)
}

fn file(pod: &Value, name: &str) -> File {
    manifest(pod).files().find(|file| file.path.ends_with(&format!("/{name}"))).unwrap().clone()
}

#[test]
fn every_content_comes_back_byte_for_byte_either_way() {
    let big = noise(150_000);
    let text = b"key=value\n".repeat(40_000);
    let data: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("binary", b"\0\xff\xfe\n"),
        ("text", "grün\n".as_bytes()),
        ("big", &big),
        ("wide", &text),
        ("one", b"1"),
    ];
    for delivery in ["Env", "Secret"] {
        let (_, tree) = restored(&with_files(&data, delivery));
        assert_eq!(tree.len(), data.len());
        for (name, content) in &data {
            assert_eq!(tree[&format!("/x/{name}")], (0o444, content.to_vec()), "{name} by {delivery}");
        }
    }
}

#[test]
fn a_variable_is_named_like_its_file_and_holds_plain_base64() {
    let (pod, _) =
        restored(&with_files(&[("krb5.conf", b"[libdefaults]\n"), ("etl.keytab", b"\x05\x02")], "Env"));
    let init = named(&pod, "/spec/initContainers", "spark-injector-init");
    assert_eq!(named(init, "/env", "krb5.conf")["value"], "W2xpYmRlZmF1bHRzXQo=");
    assert_eq!(named(init, "/env", "etl.keytab")["value"], "BQI=");
}

#[test]
fn names_that_are_no_variables_are_derived() {
    let data: [(&str, &[u8]); 9] = [
        ("0.conf", b"a"),
        ("f0", b"b"),
        ("f12.3", b"c"),
        ("INIT_SYNC_MANIFEST", b"d"),
        ("..data", b"e"),
        ("grün", b"f"),
        ("a b", b"g"),
        ("fine.conf", b"h"),
        ("-ok", b"i"),
    ];
    // A key of a ConfigMap is more limited than the path of an item, so the awkward names come as items.
    let keys: Vec<(String, &[u8])> =
        data.iter().enumerate().map(|(index, (_, content))| (format!("k{index}"), *content)).collect();
    let keys: Vec<(&str, &[u8])> = keys.iter().map(|(key, content)| (key.as_str(), *content)).collect();
    let items: Vec<String> = data
        .iter()
        .enumerate()
        .filter(|(_, (name, _))| *name != "..data")
        .map(|(index, (name, _))| format!("{{key: k{index}, path: {name:?}}}"))
        .collect();
    let world = world().config_map("c", &keys).spec(&format!(
        "files: [{{mountPath: /x, roles: [driver], configMap: {{name: c, items: [{}]}}}}]",
        items.join(", ")
    ));
    let (pod, tree) = restored(&world);
    for (name, content) in data.iter().filter(|(name, _)| *name != "..data") {
        assert_eq!(tree[&format!("/x/{name}")].1, *content, "{name}");
        let variables = file(&pod, name).variables;
        let own = matches!(*name, "fine.conf" | "-ok");
        assert_eq!(variables == [(*name).to_owned()], own, "{name}: {variables:?}");
    }
}

#[test]
fn the_same_name_in_two_mounts_does_not_clash() {
    let world = world()
        .config_map("c", &[("a.conf", b"1")])
        .config_map("d", &[("a.conf", b"2")])
        .spec("files: [{mountPath: /x, configMap: {name: c}}, {mountPath: /y, configMap: {name: d}}]");
    let (pod, tree) = restored(&world);
    assert_eq!((&tree["/x/a.conf"].1[..], &tree["/y/a.conf"].1[..]), (&b"1"[..], &b"2"[..]));
    let names: BTreeSet<String> = manifest(&pod).files().flat_map(|file| file.variables.clone()).collect();
    assert_eq!(names.len(), 2);
    assert!(names.contains("a.conf"));
}

#[test]
fn compressible_files_above_16_kib_are_deflated_and_others_are_not() {
    let text = b"0123456789abcdef".repeat(1024);
    let more = [text.clone(), vec![b'x']].concat();
    let hard = noise(20_000);
    let (pod, _) = restored(&with_files(&[("at", &text), ("above", &more), ("noise", &hard)], "Env"));
    assert_eq!(file(&pod, "at").encoding, Encoding::Plain);
    assert_eq!(file(&pod, "above").encoding, Encoding::Deflate);
    assert_eq!(file(&pod, "noise").encoding, Encoding::Plain);
    assert_eq!(file(&pod, "noise").variables, ["noise"]);
    assert!(
        file(&pod, "above").variables[0].starts_with('f'),
        "what is not the content is not named like it"
    );
}

#[test]
fn values_above_96_kib_are_split_and_no_variable_is_too_long_for_the_kernel() {
    let exact = noise(96 * 1024 / 4 * 3);
    let above = noise(96 * 1024 / 4 * 3 + 1);
    let (pod, _) = restored(&with_files(&[("above", &above), ("exact", &exact)], "Secret"));
    assert_eq!(file(&pod, "exact").variables, ["exact"]);
    assert_eq!(file(&pod, "above").variables, ["f0.0", "f0.1"]);
    let catalog = with_files(&[("above", &above)], "Env").catalog();
    let pod = inject(&catalog, &driver());
    for variable in named(&pod, "/spec/initContainers", "spark-injector-init")["env"].as_array().unwrap() {
        let bytes = variable["name"].as_str().unwrap().len() + 2 + variable["value"].as_str().unwrap().len();
        assert!(bytes <= init_sync::MAX_VARIABLE_BYTES);
    }
}

#[test]
fn modes_are_those_of_the_entry_or_the_item() {
    let world = world().config_map("c", &[("a", b"1"), ("b", b"2")]).secret("s", &[("k", b"3"), ("l", b"4")]).spec(
        "files: [{mountPath: /c, mode: '0400', roles: [driver], configMap: {name: c, items: [{key: a}, {key: b, mode: '755', path: deep/b}]}},
                 {mountPath: /s, secret: {name: s, items: [{key: k}, {key: l, mode: '0600'}]}}, {mountPath: /i, inline: {i: ii}}]",
    );
    let (_, tree) = restored(&world);
    for (path, mode) in
        [("/c/a", 0o400), ("/c/deep/b", 0o755), ("/s/k", 0o440), ("/s/l", 0o600), ("/i/i", 0o444)]
    {
        assert_eq!(tree[path].0, mode, "{path}");
    }
}

#[test]
fn directories_keep_their_subdirectories() {
    let world = world()
        .directory("hadoop", &[("core-site.xml", b"<c/>"), ("conf.d/deep/x.xml", b"<x/>")])
        .spec("files: [{mountPath: /opt/hadoop-conf, directory: {path: hadoop}}]");
    let (_, tree) = restored(&world);
    let paths: Vec<&str> = tree.keys().map(String::as_str).collect();
    assert_eq!(paths, ["/opt/hadoop-conf/conf.d/deep/x.xml", "/opt/hadoop-conf/core-site.xml"]);
}

fn revision(world: &World) -> String {
    let catalog = world.catalog();
    let revision = catalog.profiles()[0].revision.clone();
    assert!(revision.len() == 16 && revision.bytes().all(|byte| byte.is_ascii_hexdigit()), "{revision}");
    revision
}

#[test]
fn the_revision_is_about_what_the_init_container_is_told_and_nothing_else() {
    let of = |files: &str, rest: &str, data: &[(&str, &[u8])]| {
        revision(&world().config_map("c", data).spec(&format!("{{files: [{files}] {rest}}}")))
    };
    let (data, entry): (&[(&str, &[u8])], _) =
        (&[("a", b"1"), ("b", b"2")], "{mountPath: /x, configMap: {name: c}}");
    let first = of(entry, "", data);
    assert_eq!(of(entry, "", data), first, "the same input");
    assert_eq!(
        of(entry, ", common: {template: {spec: {schedulerName: s}}}", data),
        first,
        "pod fields do not matter"
    );
    let others = [
        of(entry, ", delivery: Secret", data),
        of(entry, "", &[("a", b"1"), ("b", b"3")]),
        of(entry, "", &[("a", b"1"), ("c", b"2")]),
        of(entry, "", &[("a", b"12"), ("b", b"")]),
        of("{mountPath: /y, configMap: {name: c}}", "", data),
        of("{mountPath: /x, mode: '0400', configMap: {name: c}}", "", data),
        of("{mountPath: /x, roles: [driver], configMap: {name: c}}", "", data),
        // A mount point that init-sync has to make.
        of(
            entry,
            ", common: {template: {spec: {volumes: [{name: v, emptyDir: {}}], containers: [{name: spark, volumeMounts: [{name: v, mountPath: /x/y}]}]}}}",
            data,
        ),
        of("{mountPath: /x, file: a, configMap: {name: c}}", "", data),
        of("{mountPath: /x, configMap: {name: c, items: [{key: a}]}}", "", data),
    ];
    let distinct: BTreeSet<&String> = others.iter().chain([&first]).collect();
    assert_eq!(distinct.len(), others.len() + 1, "{others:?}");
}

#[test]
fn the_patch_does_not_depend_on_the_order_of_reading() {
    let base = |spec: &str| world().config_map("c", &[("a", b"1")]).profile("base", spec);
    let spec = "files: [{mountPath: /x, configMap: {name: c}}]";
    let one = base(spec).profile("other", "").spec("extends: [base]").catalog();
    let other = world()
        .spec("extends: [base]")
        .profile("other", "")
        .config_map("c", &[("a", b"1")])
        .profile("base", spec)
        .catalog();
    assert_eq!(inject(&one, &driver()).to_string(), inject(&other, &driver()).to_string());
}
