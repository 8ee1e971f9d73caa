//! Where files come from, and what is said about a source that is not there.

use spark_injector::catalog::{ObjectData, ObjectKey};

use super::says;
use crate::support::{World, world};

fn entry(entry: &str) -> World {
    world()
        .config_map("krb5", &[("krb5.conf", b"x"), ("other.conf", b"y")])
        .spec(&format!("files: [{entry}]"))
}

#[test]
fn missing_objects_and_keys_are_named_with_what_there_is() {
    for (files, parts) in [
        (
            "{mountPath: /x, configMap: {name: krb}}",
            &["spec.files[0].configMap.name", "no ConfigMap \"krb\"", "spark-injector", "create it"][..],
        ),
        ("{mountPath: /x, secret: {name: krb5}}", &["spec.files[0].secret.name", "no Secret \"krb5\""]),
        (
            "{mountPath: /x, configMap: {name: krb5, items: [{key: krb5.cnf}]}}",
            &["spec.files[0].configMap.items[0].key", "\"krb5.cnf\"", "krb5.conf, other.conf"],
        ),
        (
            "{mountPath: /x, file: krb5.cnf, configMap: {name: krb5}}",
            &["spec.files[0].file", "\"krb5.cnf\"", "krb5.conf, other.conf"],
        ),
        ("{mountPath: /x, directory: {path: hadoop}}", &["spec.files[0].directory.path", "\"hadoop\""]),
    ] {
        says(&entry(files).problem(), parts);
    }
}

#[test]
fn exactly_one_source_is_asked_for() {
    for files in ["{mountPath: /x}", "{mountPath: /x, inline: {a: b}, configMap: {name: krb5}}"] {
        says(
            &entry(files).problem(),
            &["spec.files[0]", "exactly one of configMap, secret, directory, inline"],
        );
    }
}

#[test]
fn a_namespace_of_sources_must_be_listed() {
    let files = "{mountPath: /x, configMap: {name: krb5, namespace: other}}";
    says(&entry(files).problem(), &["spec.files[0].configMap.namespace", "\"other\"", "--source-namespace"]);
    let listed = entry(files).settings(|settings| settings.source_namespaces = vec!["other".to_owned()]);
    says(&listed.problem(), &["no ConfigMap \"krb5\" in namespace other"]);
    let mut found = listed;
    let key = ObjectKey { namespace: "other".to_owned(), name: "krb5".to_owned() };
    found.snapshot.config_maps.insert(key, Ok(ObjectData::from([("a".to_owned(), b"b".to_vec())]).into()));
    found.catalog();
}

#[test]
fn a_directory_that_could_not_be_read_says_why() {
    let mut world = entry("{mountPath: /x, directory: {path: hadoop}}");
    let why = "hadoop/link leads out of the files root".to_owned();
    world.snapshot.directories.insert("hadoop".to_owned(), Err(why));
    says(&world.problem(), &["spec.files[0].directory.path", "leads out of the files root"]);
}

#[test]
fn an_object_that_could_not_be_read_says_why() {
    let key = ObjectKey { namespace: "spark-injector".to_owned(), name: "krb5".to_owned() };
    let mut world = entry("{mountPath: /x, configMap: {name: krb5}}");
    world.snapshot.config_maps.insert(key.clone(), Err("no answer in time".to_owned()));
    let why = "\"krb5\" in namespace spark-injector cannot be read: no answer in time";
    says(&world.problem(), &["spec.files[0].configMap.name: ", "ConfigMap", why]);
    let mut world = entry("{mountPath: /x, secret: {name: krb5}}");
    world.snapshot.secrets.insert(key.clone(), Err("no answer in time".to_owned()));
    says(&world.problem(), &["spec.files[0].secret.name: ", "Secret", why]);
    let mut world = crate::support::world().spec("{pullSecret: {secret: {name: krb5}}}");
    world.snapshot.secrets.insert(key, Err("no answer in time".to_owned()));
    says(&world.problem(), &["spec.pullSecret.secret.name: ", "Secret", why]);
}

#[test]
fn bad_mount_paths_and_modes_are_named_with_what_is_allowed() {
    for path in ["rel/x", "/", "/proc", "//proc/x", "//", "/a/../b", "/a:b", "''", "\"/a\\nb\""] {
        let problem = entry(&format!("{{mountPath: {path}, inline: {{a: b}}}}")).problem();
        says(&problem, &["spec.files[0].mountPath", "absolute path"]);
    }
    for mode in ["'4755'", "'0888'", "'44'", "rw", "'01777'", "''"] {
        let problem = entry(&format!("{{mountPath: /x, mode: {mode}, inline: {{a: b}}}}")).problem();
        says(&problem, &["spec.files[0].mode", "octal"]);
    }
    let item =
        entry("{mountPath: /x, configMap: {name: krb5, items: [{key: krb5.conf, mode: '9'}]}}").problem();
    says(&item, &["spec.files[0].configMap.items[0].mode", "\"9\""]);
}

#[test]
fn paths_of_items_stay_inside_the_mount() {
    for path in ["../x", "/abs", "a/../b", "''"] {
        let problems = entry(&format!(
            "{{mountPath: /x, configMap: {{name: krb5, items: [{{key: krb5.conf, path: {path}}}]}}}}"
        ))
        .problems();
        assert!(!problems.is_empty() && problems[0].contains("spec.files[0]"), "{path}: {problems:?}");
    }
    let twice = "{mountPath: /x, configMap: {name: krb5, items: [{key: krb5.conf, path: a}, {key: other.conf, path: a}]}}";
    says(&entry(twice).problems()[0], &["spec.files[0]", "two items", "\"a\""]);
    let through = "{mountPath: /x, configMap: {name: krb5, items: [{key: krb5.conf, path: a}, {key: other.conf, path: a/b}]}}";
    assert!(!entry(through).problems().is_empty(), "a file cannot be a directory too");
}

#[test]
fn one_mount_path_twice_is_a_mistake_only_for_the_same_role() {
    let two = |roles: &str| {
        entry(&format!(
            "{{mountPath: /x, roles: [driver], inline: {{a: b}}}}, {{mountPath: /x/, roles: [{roles}], inline: {{a: c}}}}"
        ))
    };
    says(&two("driver, executor").problem(), &["spec.files[1].mountPath", "\"/x/\"", "spec.files[0]"]);
    two("executor").catalog();
    says(
        &entry("{mountPath: /x, roles: [], inline: {a: b}}").problem(),
        &["spec.files[0].roles", "driver, executor"],
    );
}

#[test]
fn a_mount_path_of_files_and_of_a_template_is_a_mistake() {
    let world = world().spec(
        "{files: [{mountPath: /x, inline: {a: b}}], common: {template: {spec: {volumes: [{name: v, emptyDir: {}}],
          containers: [{name: spark, volumeMounts: [{name: v, mountPath: /x/}]}]}}}}",
    );
    let problems = world.problems();
    says(&problems[0], &["\"/x\"", "spec.files[0]", "volumeMounts[0]"]);
}
