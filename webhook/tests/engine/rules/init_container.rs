//! Where init containers go: ours first of all, the profile's own next, the users' order untouched.

use serde_json::{Value, json};

use crate::support::{TEAM, admit, catalog, denied, driver, inject, names, untouched, with, world};

const INIT: &str = "/spec/initContainers";
const SPEC: &str = "{files: [{mountPath: /x, inline: {a: b}}],
    common: {template: {spec: {initContainers: [{name: one, image: 'one:1'}, {name: two, image: 'two:1'}]}}}}";

fn own(name: &str) -> Value {
    json!({ "name": name, "image": "own:1" })
}

#[test]
fn ours_is_first_the_profiles_own_follow_and_the_users_order_stays() {
    let pod = inject(&catalog(SPEC), &with(driver(), INIT, json!([own("b"), own("a")])));
    assert_eq!(names(&pod, INIT), ["spark-injector-init", "one", "two", "b", "a"]);
}

#[test]
fn a_pod_without_init_containers_gets_the_list() {
    for list in [json!(null), json!([])] {
        let pod = inject(&catalog(SPEC), &with(driver(), INIT, list));
        assert_eq!(names(&pod, INIT), ["spark-injector-init", "one", "two"]);
    }
}

#[test]
fn moved_by_another_webhook_it_stays_where_it_is() {
    let catalog = catalog(SPEC);
    let first = inject(&catalog, &with(driver(), INIT, json!([own("b")])));
    let list = first["spec"]["initContainers"].as_array().unwrap();
    for order in [[3, 0, 1, 2], [1, 0, 2, 3], [3, 2, 1, 0], [2, 3, 0, 1]] {
        let moved: Vec<Value> = order.iter().map(|index| list[*index].clone()).collect();
        let second = admit(&catalog, TEAM, &with(first.clone(), INIT, moved));
        assert!(second.allowed && second.patch.is_null(), "{order:?}: {:#}", second.patch);
    }
}

#[test]
fn what_another_webhook_took_away_comes_back_at_its_place() {
    let catalog = catalog(SPEC);
    let first = inject(&catalog, &with(driver(), INIT, json!([own("b")])));
    let list = first["spec"]["initContainers"].as_array().unwrap();
    let expected = ["spark-injector-init", "one", "two", "b"];
    for missing in 0..3 {
        let mut rest = list.clone();
        rest.remove(missing);
        let pod =
            inject(&catalog, &with(with(first.clone(), INIT, rest), "/metadata/annotations", json!({})));
        assert_eq!(names(&pod, INIT), expected);
    }
}

#[test]
fn any_mixture_of_present_and_absent_can_be_inserted() {
    let catalog = catalog(SPEC);
    let whole = inject(&catalog, &with(driver(), INIT, json!([own("b"), own("a")])));
    let list = whole["spec"]["initContainers"].as_array().unwrap().clone();
    // Every subset, in both directions.
    for subset in 0..32_u32 {
        let mut some: Vec<Value> =
            (0..5).filter(|index| subset & (1 << index) != 0).map(|index| list[index].clone()).collect();
        for _ in 0..2 {
            some.reverse();
            let pod = with(with(whole.clone(), INIT, some.clone()), "/metadata/annotations", json!({}));
            let pod = inject(&catalog, &pod);
            let found = names(&pod, INIT);
            for name in ["spark-injector-init", "one", "two"] {
                assert_eq!(found.iter().filter(|known| **known == name).count(), 1, "{found:?}");
            }
        }
    }
}

#[test]
fn the_same_name_with_other_content_is_refused() {
    let catalog = catalog(SPEC);
    let first = inject(&catalog, &driver());
    let (code, message) = denied(&catalog, &with(driver(), INIT, json!([own("two")])));
    assert!(code == 403 && message.contains("two") && message.contains("rename"), "{message}");
    for (field, value) in [
        ("image", json!("evil:1")),
        ("command", json!(["sh"])),
        ("args", json!(["x"])),
        ("restartPolicy", json!("Always")),
        ("workingDir", json!("/tmp")),
    ] {
        let (code, message) = denied(&catalog, &with(first.clone(), &format!("{INIT}/0/{field}"), value));
        assert!(code == 403 && message.contains("spark-injector-init"), "{field}: {message}");
    }
    let planted = json!([{ "name": "spark-injector-init", "image": "evil:1" }]);
    assert_eq!(denied(&catalog, &with(driver(), INIT, planted)).0, 403);
}

#[test]
fn another_webhook_may_add_to_it_what_it_adds_to_every_container() {
    let catalog = catalog(SPEC);
    let first = inject(&catalog, &driver());
    let mut mounts = first["spec"]["initContainers"][0]["volumeMounts"].clone();
    mounts.as_array_mut().unwrap().insert(0, json!({ "name": "ca", "mountPath": "/etc/ssl/certs" }));
    for (field, value) in [
        ("envFrom", json!([{ "configMapRef": { "name": "proxy" } }])),
        ("volumeMounts", mounts),
        ("imagePullPolicy", json!("Always")),
    ] {
        let changed = with(first.clone(), &format!("{INIT}/0/{field}"), value);
        assert_eq!(untouched(&catalog, TEAM, &changed), "complete", "{field}");
    }
}

#[test]
fn it_follows_another_webhook_that_changes_the_user_of_the_pod() {
    let catalog = catalog(SPEC);
    let first = inject(&catalog, &driver());
    let identity = |pod: &Value| {
        let security = &pod["spec"]["initContainers"][0]["securityContext"];
        (security["runAsUser"].clone(), security["runAsGroup"].clone())
    };
    assert_eq!(identity(&first), (json!(185), Value::Null));
    let changed = with(first, "/spec/securityContext", json!({ "runAsUser": 1000, "fsGroup": 1 }));
    let second = inject(&catalog, &changed);
    assert_eq!(identity(&second), (json!(1000), Value::Null));
    assert_eq!(untouched(&catalog, TEAM, &second), "complete");
    // Root is not followed, and nobody makes ours run as root.
    let root = with(second, &format!("{INIT}/0/securityContext/runAsUser"), json!(0));
    assert_eq!(denied(&catalog, &root).0, 403);
}

#[test]
fn a_payload_of_somebody_else_is_refused() {
    let ours = catalog("files: [{mountPath: /x, inline: {a: b}}]");
    let mut first = inject(&catalog("files: [{mountPath: /x, inline: {a: other}}]"), &driver());
    first["metadata"]["annotations"] = inject(&ours, &driver())["metadata"]["annotations"].clone();
    let (code, message) = denied(&ours, &first);
    assert!(code == 403 && message.contains("spark-injector-init"), "{message}");
    assert!(!message.contains("b3RoZXI"), "no payload in a message: {message}");
}

#[test]
fn image_and_amounts_come_from_the_settings() {
    let catalog = world()
        .spec("files: [{mountPath: /x, inline: {a: b}}]")
        .settings(|settings| {
            settings.init_image = "registry.example/init-sync@sha256:00".to_owned();
            settings.init_cpu = "0.1".to_owned();
            settings.init_memory = "64Mi".to_owned();
        })
        .catalog();
    let pod = inject(&catalog, &driver());
    let init = &pod["spec"]["initContainers"][0];
    assert_eq!(init["image"], "registry.example/init-sync@sha256:00");
    assert_eq!(init["resources"]["limits"], json!({ "cpu": "0.1", "memory": "64Mi" }));
    super::reinvoked(&catalog, &driver());
}
