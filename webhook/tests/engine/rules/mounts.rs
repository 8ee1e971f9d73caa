//! Mounts of the Spark container, by cleaned path; and who gets which files.

use serde_json::{Value, json};

use super::{enforced, kept, spark_field};
use crate::support::files::files;
use crate::support::{World, catalog, driver, executor, inject, spark_of, with, world};

const MOUNTS: &str = "/spec/containers/0/volumeMounts";

fn paths(container: &Value) -> Vec<&str> {
    let mounts = container["volumeMounts"].as_array();
    mounts.into_iter().flatten().map(|mount| mount["mountPath"].as_str().unwrap()).collect()
}

fn kerberos() -> World {
    world()
        .config_map("krb5", &[("krb5.conf", b"[libdefaults]\n")])
        .secret("keytab", &[("etl.keytab", b"\x05\x02")])
}

#[test]
fn an_absent_mount_is_added_and_an_equal_one_is_not_added_twice() {
    let catalog = catalog(&super::common(
        "volumes: [{name: v, emptyDir: {}}], containers: [{name: spark, volumeMounts: [{name: v, mountPath: /data}]}]",
        "",
    ));
    assert_eq!(
        paths(spark_of(&inject(&catalog, &driver()))),
        ["/var/data/spark-1111", "/opt/spark/conf", "/data"]
    );
    let own = with(driver(), &format!("{MOUNTS}/-"), json!({ "name": "v", "mountPath": "/data/" }));
    assert_eq!(
        paths(spark_of(&inject(&catalog, &own))),
        ["/var/data/spark-1111", "/opt/spark/conf", "/data/"]
    );
}

#[test]
fn a_mount_of_the_user_at_the_same_cleaned_path_stays() {
    let field = "volumeMounts: [{name: v, mountPath: /opt//spark/conf/}]";
    kept(&catalog(&spark_field(field, "")), &driver(), &format!("{MOUNTS}/1"), "mount /opt/spark/conf");
    enforced(&catalog(&spark_field(field, "volumeMounts")), &driver(), "/opt/spark/conf");
}

#[test]
fn one_path_in_two_spellings_is_one_place_and_both_have_to_be_equal() {
    let own = |spelling: &str, volume: &str| {
        let pod = with(driver(), &format!("{MOUNTS}/-"), json!({ "name": "v", "mountPath": "/data" }));
        with(pod, &format!("{MOUNTS}/-"), json!({ "name": volume, "mountPath": spelling }))
    };
    let field = "volumeMounts: [{name: v, mountPath: /data}]";
    for spelling in ["/data/", "//data", "/x/../data", "data/."] {
        enforced(&catalog(&spark_field(field, "volumeMounts")), &own(spelling, "other"), "mount /data");
        kept(&catalog(&spark_field(field, "")), &own(spelling, "other"), MOUNTS, "mount /data");
        inject(&catalog(&spark_field(field, "volumeMounts")), &own(spelling, "v"));
    }
}

#[test]
fn what_else_a_mount_says_makes_it_another_one() {
    let own = |mount: Value| with(driver(), &format!("{MOUNTS}/-"), mount);
    let part = json!({ "name": "v", "mountPath": "/data", "subPathExpr": "$(SPARK_USER)" });
    let whole = json!({ "name": "v", "mountPath": "/data" });
    let shared = json!({ "name": "v", "mountPath": "/data", "mountPropagation": "HostToContainer" });
    let deep = json!({ "name": "v", "mountPath": "/data", "readOnly": true, "recursiveReadOnly": "Enabled" });
    let shallow =
        json!({ "name": "v", "mountPath": "/data", "readOnly": true, "recursiveReadOnly": "Disabled" });
    for (ours, equal, other) in [
        ("{name: v, mountPath: /data}", &whole, &part),
        ("{name: v, mountPath: /data, subPathExpr: $(SPARK_USER)}", &part, &whole),
        ("{name: v, mountPath: /data, mountPropagation: HostToContainer}", &shared, &whole),
        ("{name: v, mountPath: /data, mountPropagation: None}", &whole, &shared),
        ("{name: v, mountPath: /data, readOnly: true, recursiveReadOnly: Enabled}", &deep, &shallow),
    ] {
        let catalog = catalog(&spark_field(&format!("volumeMounts: [{ours}]"), "volumeMounts"));
        inject(&catalog, &own(equal.clone()));
        enforced(&catalog, &own(other.clone()), "mount /data");
    }
}

#[test]
fn a_container_without_mounts_gets_them() {
    let catalog = catalog("files: [{mountPath: /a, inline: {x: u}}, {mountPath: /b, inline: {x: z}}]");
    for mounts in [json!(null), json!([])] {
        let pod = with(with(driver(), MOUNTS, mounts), "/spec/containers/0/env", json!([]));
        assert_eq!(paths(spark_of(&inject(&catalog, &pod))), ["/a", "/b"]);
    }
}

#[test]
fn files_of_a_secret_go_to_drivers_unless_roles_say_otherwise() {
    let world = kerberos();
    let default = world.clone().spec("files: [{mountPath: /k, secret: {name: keytab}}]").catalog();
    let secrets = default.secrets(None);
    assert_eq!(files(&inject(&default, &driver()), &secrets)["/k/etl.keytab"], (0o440, b"\x05\x02".to_vec()));
    assert!(!paths(spark_of(&inject(&default, &executor()))).contains(&"/k"));
    let both = "files: [{mountPath: /k, roles: [driver, executor], secret: {name: keytab}}]";
    let both = world.spec(both).catalog();
    assert!(files(&inject(&both, &executor()), &both.secrets(None)).contains_key("/k/etl.keytab"));
}

#[test]
fn a_role_without_files_gets_no_init_container() {
    let catalog = kerberos().spec("files: [{mountPath: /k, secret: {name: keytab}}]").catalog();
    let pod = inject(&catalog, &executor());
    assert_eq!(pod["spec"].get("initContainers"), None);
    assert_eq!(pod["spec"]["volumes"], executor()["spec"]["volumes"]);
}

#[test]
fn sidecars_and_other_init_containers_get_nothing() {
    let catalog = kerberos()
        .spec(
            "{files: [{mountPath: /k, configMap: {name: krb5}}], executorRole: {name: R, value: x},
              common: {template: {spec: {containers: [{name: spark, env: [{name: A, value: b}]}]}}}}",
        )
        .catalog();
    let mut pod = executor();
    let sidecar = json!({ "name": "logs", "image": "logs:1", "args": ["run"] });
    pod["spec"]["containers"].as_array_mut().unwrap().insert(0, sidecar.clone());
    pod["spec"]["initContainers"] = json!([{ "name": "own", "image": "own:1" }]);
    let patched = inject(&catalog, &pod);
    assert_eq!(patched["spec"]["containers"][0], sidecar);
    assert_eq!(patched["spec"]["initContainers"][1], pod["spec"]["initContainers"][0]);
    assert!(paths(spark_of(&patched)).contains(&"/k"));
}

#[test]
fn a_single_file_is_mounted_as_a_file() {
    let catalog = kerberos()
        .spec("files: [{mountPath: /etc/krb5.conf, file: krb5.conf, configMap: {name: krb5}}]")
        .catalog();
    let tree = files(&inject(&catalog, &driver()), &[]);
    assert_eq!(
        tree.into_iter().collect::<Vec<_>>(),
        [("/etc/krb5.conf".to_owned(), (0o444, b"[libdefaults]\n".to_vec()))]
    );
}
