//! Messages about a profile as a whole: unknown fields, wrong types, all of them at once.

use serde_json::{Value, json};

use super::says;
use crate::support::{World, world};

fn object(change: &dyn Fn(&mut Value)) -> World {
    let mut object = json!({ "apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile",
        "metadata": { "name": "team-a" }, "spec": {} });
    change(&mut object);
    world().object(object)
}

#[test]
fn unknown_fields_are_named_with_the_allowed_ones() {
    for (spec, parts) in [
        ("exetnds: [a]", &["spec.exetnds: unknown field", "allowed here:", "extends"][..]),
        (
            "files: [{mountpath: /x, mountPath: /x, inline: {a: b}}]",
            &["spec.files[0].mountpath", "mountPath"],
        ),
        (
            "files: [{mountPath: /x, configMap: {nam: a, name: b}}]",
            &["spec.files[0].configMap.nam", "items, name, namespace"],
        ),
        ("variants: {a: {templat: {}}}", &["spec.variants.a.templat", "common, driver, executor, template"]),
        ("driver: {spec: {}}", &["spec.driver.spec", "template"]),
        ("executorRole: {name: A, value: b, vlaue: c}", &["spec.executorRole.vlaue", "name, value"]),
    ] {
        let problems = world().spec(spec).problems().join("\n");
        says(&problems, parts);
    }
}

#[test]
fn wrong_values_are_named_with_the_allowed_ones() {
    for (spec, parts) in [
        ("mode: Enforced", &["spec.mode", "Enforced", "Audit", "Enforce", "Off"][..]),
        ("delivery: env", &["spec.delivery", "Env", "Secret", "Auto"]),
        (
            "files: [{mountPath: /x, roles: [drivers], inline: {}}]",
            &["spec.files[0].roles[0]", "driver", "executor"],
        ),
        ("allowOptOut: 'yes'", &["spec.allowOptOut", "boolean"]),
        ("executorRole: {name: '1A', value: b}", &["spec.executorRole.name", "\"1A\"", "no digit first"]),
        ("variants: {'a b': {}}", &["spec.variants.a b", "label"]),
        ("nodeSelector: {default: {'a b': c}}", &["spec.nodeSelector.default.a b", "label"]),
        ("nodeSelector: {scope: Pods}", &["spec.nodeSelector.scope", "SparkPods", "AllPods"]),
    ] {
        says(&world().spec(spec).problem(), parts);
    }
}

/// Serde reads a list as the fields in their order.
#[test]
fn a_list_is_no_mapping_although_it_would_fit() {
    for (spec, path) in [
        ("namespaces: [team-b]", "spec.namespaces"),
        ("namespaces: [[team-b]]", "spec.namespaces"),
        ("executorRole: [A, 'true']", "spec.executorRole"),
        ("files: [[/a, null, null, null, {a: b}]]", "spec.files[0]"),
        ("variants: {a: {common: []}}", "spec.variants.a.common"),
        ("common: {template: []}", "spec.common.template"),
    ] {
        says(&world().spec(spec).problem(), &[path, "invalid type: list, expected a mapping"]);
    }
}

/// What is left of a list whose entries were commented out. An API server drops it.
#[test]
fn a_field_that_is_null_is_absent_and_an_entry_of_a_map_is_not() {
    let spec = "{extends: null, enforce: null, localDirs: null, variants: null, mode: null, executorRole: null, files: [
        {mountPath: /x, secret: null, roles: null, inline: {a: b}}], nodeSelector: {default: null, allowed: null}, common: null}";
    assert_eq!(world().spec(spec).problems(), Vec::<String>::new());
    says(
        &world().spec("files: [{mountPath: /x, inline: {a: null}}]").problem(),
        &["spec.files[0].inline.a", "null", "expected a string"],
    );
    says(&world().spec("extends: [null]").problem(), &["spec.extends[0]", "null", "expected a string"]);
}

#[test]
fn all_mistakes_of_a_profile_are_reported_at_once() {
    let problems = world()
        .spec(
            "{enforce: [nope], files: [{mountPath: rel, inline: {}}, {mountPath: /x, mode: x, inline: {a: b}}],
              localDirs: [{}], common: {template: {spec: {nodeName: x, volumes: [{name: spark-injector-a, emptyDir: {}}]}}}}",
        )
        .problems();
    for path in [
        "spec.enforce[0]",
        "spec.files[0].mountPath",
        "spec.localDirs[0]",
        "template.spec.nodeName",
        "volumes[0].name",
    ] {
        assert!(problems.iter().any(|problem| problem.contains(path)), "{path} in {problems:#?}");
    }
}

#[test]
fn messages_begin_with_the_file_and_the_profile() {
    assert!(
        world()
            .spec("nonsense: 1")
            .problem()
            .starts_with("team-a.yaml: SparkProfile team-a: spec.nonsense: ")
    );
}

#[test]
fn the_frame_of_the_object_is_checked() {
    for (change, parts) in [
        (
            &(|object: &mut Value| object["apiVersion"] = json!("v1")) as &dyn Fn(&mut Value),
            &["apiVersion", "\"v1\"", "spark-injector.io/v1alpha1"][..],
        ),
        (&|object| object["metadata"]["name"] = json!("Team_A"), &["metadata.name", "\"Team_A\"", "63"]),
        (&|object| object["metadata"]["name"] = json!("a".repeat(64)), &["metadata.name", "63"]),
        (&|object| object["metadata"]["lables"] = json!({}), &["metadata.lables", "unknown field"]),
        (&|object| object["specs"] = json!({}), &["specs", "apiVersion, kind, metadata, spec, status"]),
        (&|object| object["spec"] = json!([]), &["spec", "invalid type"]),
    ] {
        says(&object(change).problem(), parts);
    }
    object(&|object| object["spec"] = Value::Null).catalog();
    object(&|object| object["status"] = json!({ "anything": 1 })).catalog();
}

#[test]
fn nothing_at_all_is_survived() {
    for object in [json!(null), json!([]), json!("x"), json!({}), json!({ "metadata": { "name": 7 } })] {
        assert!(!world().object(object).problems().is_empty());
    }
}

#[test]
fn the_content_of_a_file_is_never_quoted() {
    let world = world()
        .secret("s", &[("..k", b"hunter2")])
        .spec("{delivery: Env, files: [{mountPath: /x, secret: {name: s}}, {mountPath: /y, inline: {'..b': hunter2}}]}");
    let problems = world.problems().join("\n");
    assert!(!problems.is_empty() && !problems.contains("hunter2"), "{problems}");
}
