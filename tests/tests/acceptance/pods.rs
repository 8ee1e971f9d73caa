//! Each recorded pod, created on the API server: the stored pod is the one that `inject` prints.

use std::sync::OnceLock;

use acceptance::client::Namespace;
use acceptance::kubelet::{INIT_CONTAINER, VOLUME, container};
use acceptance::pods::{Fixture, fixture, fixtures};
use acceptance::registration::STATUS_ANNOTATION;
use serde_json::{Value, json};

use crate::contained::differences;
use crate::world::{Plan, World, bundle, items, names, variable};

/// Spark 2.4 adds the user's volume `spark-local-dir-1` a second time: no API server takes such a pod.
pub(crate) const INVALID: [&str; 2] = ["spark-2.4.8-driver-kitchen", "spark-2.4.8-executor-kitchen"];

const ROLE_VARIABLE: &str = "MY_PROJECT_EXECUTOR";

/// Served from the bundle. Never stopped: statics end with the process.
fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let namespaces = ["secret", "shared-keytab", "env"].map(|profile| {
            Namespace::new(&format!("pods-{profile}"))
                .opted_in()
                .label("bundle", profile)
                .node_selector("pool=spark")
        });
        let world = World::start(Plan {
            name: "pods",
            namespaces: namespaces.to_vec(),
            folders: vec![bundle()],
            ..Plan::default()
        });
        world.api.apply_priority_class("batch-high", 1000);
        for namespace in namespaces {
            for account in ["spark", "spark-exec"] {
                world.api.create_service_account(namespace.name(), account);
            }
        }
        world
    })
}

fn valid() -> impl Iterator<Item = Fixture> {
    fixtures().into_iter().filter(|fixture| !INVALID.contains(&fixture.name.as_str()))
}

/// The container that runs Spark: pod templates may have put others before it.
pub(crate) fn spark_container(pod: &Value) -> &Value {
    let runs_spark = |container: &&Value| {
        let first = container["args"][0].as_str().unwrap_or_default();
        container["name"] == "executor" || first.starts_with("driver") || first == "executor"
    };
    items(&pod["spec"]["containers"]).iter().find(runs_spark).expect("a container that runs Spark")
}

fn store_all(namespace: &str) -> Vec<(Fixture, Value)> {
    let world = world();
    let mut wrong = Vec::new();
    let mut stored = Vec::new();
    for fixture in valid() {
        let pod = fixture.pod(namespace);
        let expected = world.inject(namespace, &pod);
        let created = world.api.create(&pod);
        if created.status != 201 {
            wrong.push(format!("{}: {}", fixture.name, created.message()));
            continue;
        }
        // A Deployment's pods are named by the API server.
        let read = world.api.read(&created.body).expect(200);
        let found = differences(&expected, &read);
        wrong.extend(found.into_iter().map(|difference| format!("{}: {difference}", fixture.name)));
        stored.push((fixture, read));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    stored
}

#[test]
fn each_pod_is_stored_as_inject_prints_it_and_has_what_its_role_has() {
    for (fixture, pod) in store_all("pods-secret") {
        let name = &fixture.name;
        let status = pod["metadata"]["annotations"][STATUS_ANNOTATION].as_str().expect("the annotation");
        let status: Value = serde_json::from_str(status).expect("JSON");
        assert_eq!(
            (&status["profile"], &status["role"]),
            (&json!("bundle-secret"), &json!(fixture.role)),
            "{name}"
        );
        assert_eq!(pod["spec"]["nodeSelector"], json!({"pool": "spark"}), "{name}");

        let spark = spark_container(&pod);
        let keytab = items(&spark["volumeMounts"])
            .iter()
            .any(|mount| mount["mountPath"] == "/my_project/resources/kerberos" && mount["name"] == VOLUME);
        let init = container(&pod, INIT_CONTAINER);
        let is_driver = fixture.role == "driver";
        assert_eq!(keytab, is_driver, "{name}");
        assert_eq!(names(&init["env"]).contains(&"etl.keytab"), is_driver, "{name}");
        assert_eq!(variable(spark, ROLE_VARIABLE), (!is_driver).then_some("true"), "{name}");
        assert_eq!(pod["spec"]["initContainers"][0]["name"], INIT_CONTAINER, "{name}");
    }
}

#[test]
fn each_pod_is_stored_as_inject_prints_it_with_files_in_the_environment() {
    for (fixture, pod) in store_all("pods-env") {
        let init = container(&pod, INIT_CONTAINER);
        assert!(!init["env"].to_string().contains("secretKeyRef"), "{}", fixture.name);
        assert_eq!(
            names(&pod["spec"]["initContainers"])[..2],
            [INIT_CONTAINER, "wait-for-kdc"],
            "{}",
            fixture.name
        );
        assert_eq!(names(&pod["spec"]["containers"]).last(), Some(&"metrics"), "{}", fixture.name);
    }
}

#[test]
fn an_executor_gets_the_keytab_where_roles_says_so() {
    let world = world();
    for name in ["spark-4.3.0-driver", "spark-4.3.0-executor", "spark-4.3.0-executor-statefulset"] {
        let pod = world.api.create(&fixture(name).pod("pods-shared-keytab")).expect(201);
        let spark = spark_container(&pod);
        let paths: Vec<&Value> =
            items(&spark["volumeMounts"]).iter().map(|mount| &mount["mountPath"]).collect();
        assert!(paths.contains(&&json!("/tmp/krb5_keytab")), "{name}: {paths:?}");
        assert!(names(&container(&pod, INIT_CONTAINER)["env"]).contains(&"etl.keytab"), "{name}");
        let inherited = paths.contains(&&json!("/my_project/resources/kerberos"));
        assert_eq!(inherited, name.contains("driver"), "{name}: {paths:?}");
    }
}

#[test]
fn sidecars_and_init_containers_of_the_users_own_stay_as_they_were() {
    let world = world();
    let mut seen = 0;
    for fixture in valid().filter(|fixture| fixture.variant == "template") {
        let pod = fixture.pod("pods-env");
        let injected = world.inject("pods-env", &pod);
        let spark = spark_container(&pod)["name"].clone();
        for list in ["containers", "initContainers"] {
            for own in items(&pod["spec"][list]).iter().filter(|own| own["name"] != spark) {
                let name = own["name"].as_str().expect("a name");
                assert_eq!(container(&injected, name), own, "{}", fixture.name);
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 8, "four pods with a sidecar and an init container each");
}

#[test]
fn the_init_container_has_no_token_and_runs_restricted() {
    let world = world();
    let pod = world.api.create(&crate::world::driver("pods-secret", "restricted")).expect(201);
    let init = container(&pod, INIT_CONTAINER);
    let token: Vec<&Value> = items(&init["volumeMounts"])
        .iter()
        .filter(|mount| mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount")
        .collect();
    assert_eq!(token.len(), 1, "{init}");
    assert_eq!(token[0]["name"], "spark-injector-no-token");
    let expected = json!({
        "runAsNonRoot": true, "runAsUser": 185, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    });
    assert_eq!(init["securityContext"], expected);
    assert_eq!(init["resources"]["requests"], init["resources"]["limits"]);
    // The Spark container keeps its own.
    assert!(spark_container(&pod)["volumeMounts"].to_string().contains("kube-api-access-"));
}
