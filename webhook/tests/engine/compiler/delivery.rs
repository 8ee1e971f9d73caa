//! How files travel: in the pod, or in a Secret that the pod refers to; and the Secrets that are rendered.

use serde_json::{Value, json};
use spark_injector::catalog::Catalog;

use super::says;
use crate::support::{TEAM, World, driver, executor, inject, named, world};

const FILES: &str = "files: [{mountPath: /x, configMap: {name: c}}]";

fn delivered(pod: &Value) -> &'static str {
    let env = named(pod, "/spec/initContainers", "spark-injector-init")["env"].as_array().unwrap();
    let payload: Vec<&Value> =
        env.iter().filter(|variable| variable["name"] != "INIT_SYNC_MANIFEST").collect();
    if payload.iter().all(|variable| variable.pointer("/valueFrom/secretKeyRef").is_some()) {
        "Secret"
    } else {
        "Env"
    }
}

fn small() -> World {
    world().config_map("c", &[("a", b"1")]).secret("s", &[("k", b"2")])
}

#[test]
fn auto_puts_little_into_the_pod_and_the_rest_into_a_secret() {
    let sized = |bytes: usize| world().config_map("c", &[("a", &vec![b'x'; bytes])]).spec(FILES).catalog();
    assert_eq!(delivered(&inject(&sized(16 * 1024), &driver())), "Env");
    assert_eq!(delivered(&inject(&sized(16 * 1024 + 1), &driver())), "Secret");
    let secret = small().spec("files: [{mountPath: /x, secret: {name: s}}]").catalog();
    assert_eq!(delivered(&inject(&secret, &driver())), "Secret");
}

#[test]
fn a_written_delivery_is_obeyed() {
    for delivery in ["Env", "Secret"] {
        let catalog = small().spec(&format!("{{delivery: {delivery}, {FILES}}}")).catalog();
        assert_eq!(delivered(&inject(&catalog, &executor())), delivery);
        assert_eq!(catalog.secrets(None).len(), usize::from(delivery == "Secret"));
    }
}

#[test]
fn files_of_a_secret_stand_in_a_pod_only_for_an_api_server_that_proves_itself() {
    let world = small().spec("{delivery: Env, files: [{mountPath: /x, secret: {name: s}}]}");
    says(&world.problem(), &["SparkProfile team-a: spec.delivery", "ClientAuthRequired", "write Secret"]);
    let catalog = world.settings(|settings| settings.client_authentication = true).catalog();
    assert_eq!(delivered(&inject(&catalog, &driver())), "Env");
}

#[test]
fn one_immutable_secret_per_revision_and_namespace_is_rendered() {
    let on = [("spark-injector.io/inject", "enabled")];
    let catalog = small()
        .namespace("team-b", &on, &[])
        .namespace("plain", &[], &[])
        .spec(
            "{namespaces: {selector: {}}, delivery: Secret, files: [{mountPath: /x, configMap: {name: c}}]}",
        )
        .catalog();
    let secrets = catalog.secrets(None);
    let places: Vec<&str> =
        secrets.iter().map(|secret| secret["metadata"]["namespace"].as_str().unwrap()).collect();
    assert_eq!(places, ["team-a", "team-b"]);
    assert_eq!(catalog.secrets(Some("team-b")).len(), 1);
    let name = format!("spark-injector-team-a-{}", catalog.profiles()[0].revision);
    assert_eq!(secrets[0]["metadata"]["name"], name);
    assert_eq!(secrets[0]["immutable"], true);
    assert_eq!(
        secrets[0]["data"],
        json!({ "a": "TVE9PQ==" }),
        "the key is the variable, its value the variable's"
    );
    let pod = inject(&catalog, &driver());
    let variable = named(named(&pod, "/spec/initContainers", "spark-injector-init"), "/env", "a");
    assert_eq!(variable["valueFrom"]["secretKeyRef"], json!({ "name": name, "key": "a" }));
    let verdict = spark_injector::admit::judge(&catalog, "team-a", &driver());
    assert_eq!(verdict.secrets, [name]);
}

#[test]
fn no_payload_stands_in_a_pod_whose_files_travel_in_a_secret() {
    let catalog = small().spec("files: [{mountPath: /x, secret: {name: s}}]").catalog();
    assert!(!inject(&catalog, &driver()).to_string().contains("Mg=="));
}

#[test]
fn in_a_cluster_a_revision_serves_once_its_secrets_are_delivered() {
    let spec = "{delivery: Secret, files: [{mountPath: /x, configMap: {name: c}}]}";
    let mut world = small().spec(spec).settings(|settings| settings.switch_after_delivery = true);
    let first = world.catalog();
    let old = first.profiles()[0].revision.clone();
    assert_eq!(first.deliveries()[0].revision, old, "without an older plan nothing can be waited for");

    let mut world_with = |content: &[u8], delivered: Option<&str>, previous: &Catalog| {
        world = world.clone().config_map("c", &[("a", content)]);
        world.snapshot.profiles[0].delivered = delivered.map(ToOwned::to_owned);
        world.compile(Some(previous))
    };
    let second = world_with(b"2", Some(&old), &first);
    let delivery = &second.deliveries()[0];
    let new = delivery.revision.clone();
    assert_ne!(new, old);
    let names: Vec<&str> = delivery.secrets.iter().map(|secret| secret.name()).collect();
    let both = [&old, &new].map(|revision| format!("spark-injector-team-a-{revision}"));
    assert_eq!(names, both, "a new namespace needs the old one as well until then");
    assert_eq!((delivery.profile.as_str(), &*delivery.namespaces), ("team-a", &["team-a".to_owned()][..]));
    assert_eq!(second.profiles()[0].revision, old);
    assert_eq!(world_with(b"1", Some(&old), &second).deliveries()[0].revision, old, "taken back");

    let third = world_with(b"2", Some(&new), &second);
    assert_eq!(third.profiles()[0].revision, new);
    assert_eq!(third.deliveries()[0].secrets.len(), 1);
    let restarted = world.compile(None);
    assert_eq!(restarted.profiles()[0].revision, new);
}

#[test]
fn nothing_is_delivered_where_no_pod_is_ever_touched() {
    let on = [("spark-injector.io/inject", "enabled")];
    let spec =
        "{delivery: Secret, namespaces: {selector: {}}, files: [{mountPath: /x, configMap: {name: c}}]}";
    let names = ["kube-system", "kube-public", "kube-node-lease", "spark-injector"];
    let world = names.into_iter().fold(small(), |world, name| world.namespace(name, &on, &[])).spec(spec);
    let catalog = world.catalog();
    assert_eq!(catalog.deliveries()[0].namespaces, [TEAM]);
    assert_eq!(catalog.namespaces(), [TEAM]);
    assert!(catalog.secrets(Some("kube-system")).is_empty());
}

#[test]
fn a_mistake_does_not_keep_what_is_delivered_from_serving() {
    let spec = "{delivery: Secret, files: [{mountPath: /x, configMap: {name: c}}]}";
    let cluster = |spec: &str, content: &[u8], delivered: &str, previous: Option<&Catalog>| {
        let mut world = world().config_map("c", &[("a", content)]).spec(spec);
        world.settings.switch_after_delivery = true;
        world.snapshot.profiles[0].delivered = Some(delivered.to_owned());
        world.compile(previous)
    };
    let first = cluster(spec, b"1", "", None);
    let waiting = cluster(spec, b"2", "", Some(&first));
    let new = waiting.wanted_revision(TEAM).unwrap().to_owned();
    // Another replica heard of the delivery in a moment of its own, before the mistake.
    let other = cluster(spec, b"2", &new, Some(&waiting));
    let broken = cluster("{nonsense: 1}", b"2", &new, Some(&waiting));
    assert_eq!(broken.profiles()[0].revision, new);
    assert_eq!(other.profiles()[0].revision, new);
}

#[test]
fn nothing_waits_for_a_delivery_that_will_not_happen() {
    let spec = |mode: &str, delivery: &str| {
        format!(
            "{{mode: '{mode}', delivery: {delivery}, files: [{{mountPath: /x, configMap: {{name: c}}}}]}}"
        )
    };
    let world = |spec: &str, content: &[u8]| {
        let world = world().config_map("c", &[("a", content)]).spec(spec);
        world.settings(|settings| settings.switch_after_delivery = true)
    };
    let first = world(&spec("Enforce", "Secret"), b"1").catalog();
    for (mode, delivery) in [("Off", "Secret"), ("Enforce", "Env")] {
        let second = world(&spec(mode, delivery), b"2").compile(Some(&first));
        assert_ne!(second.profiles()[0].revision, first.profiles()[0].revision, "{mode} {delivery}");
        assert!(second.deliveries().is_empty(), "{mode} {delivery}");
    }
}

#[test]
fn a_pull_secret_is_delivered_and_referred_to() {
    let spec = "pullSecret: {secret: {name: reg}}";
    let world = world().secret("reg", &[(".dockerconfigjson", b"{\"auths\":{}}")]);
    let catalog = world.spec(spec).catalog();
    let secrets = catalog.secrets(None);
    assert_eq!(secrets[0]["type"], "kubernetes.io/dockerconfigjson");
    let revision = &catalog.profiles()[0].revision;
    assert_eq!(secrets[0]["metadata"]["name"], format!("spark-injector-team-a-pull-{revision}"));
    let other = crate::support::world().secret("reg", &[(".dockerconfigjson", b"{}")]).spec(spec).catalog();
    assert_ne!(&other.profiles()[0].revision, revision, "a revision is everything that has to be delivered");
    assert_eq!(secrets[0]["data"], json!({ ".dockerconfigjson": "eyJhdXRocyI6e319" }));
    let pod = inject(&catalog, &driver());
    assert_eq!(pod["spec"]["imagePullSecrets"], json!([{ "name": secrets[0]["metadata"]["name"] }]));
    says(
        &crate::support::world().spec(spec).problem(),
        &["spec.pullSecret.secret.name", "\"reg\"", "create it"],
    );
    let wrong = crate::support::world().secret("reg", &[("password", b"x")]).spec(spec).problem();
    says(&wrong, &["spec.pullSecret.secret.name", ".dockerconfigjson"]);
    assert!(!wrong.contains("password"), "not even the keys of a Secret need be told: {wrong}");
}
