//! The second call: after the API server's defaults, its plugins and another webhook, there is nothing to do.

use serde_json::json;

use super::{common, reinvoked, spark_field};
use crate::support::{World, catalog, denied, driver, executor, fixture, inject, with, world};

#[test]
fn files_and_roles_survive_another_webhook() {
    let world = world().secret("k", &[("keytab", b"\0\x01"), ("0.conf", b"x")]);
    for delivery in ["Secret", "Env"] {
        let spec = format!(
            "{{delivery: {delivery}, executorRole: {{name: R, value: 'true'}},
               files: [{{mountPath: /k, roles: [driver, executor], secret: {{name: k}}}}, {{mountPath: /c, inline: {{a: '$(x)', empty: ''}}}}]}}"
        );
        let catalog =
            world.clone().settings(|settings| settings.client_authentication = true).spec(&spec).catalog();
        for pod in [driver(), executor()] {
            reinvoked(&catalog, &pod);
        }
    }
}

#[test]
fn quantities_are_compared_as_amounts() {
    let catalog = catalog(&spark_field(
        "resources: {limits: {cpu: '0.5', memory: 1024Mi}, requests: {cpu: '0.5'}}",
        "resources",
    ));
    reinvoked(&catalog, &with(driver(), "/spec/containers/0/resources", json!({})));
    let sidecar =
        common("containers: [{name: logs, image: l, resources: {limits: {cpu: 1000m, memory: 1024Mi}}}]", "");
    reinvoked(&crate::support::catalog(&sidecar), &driver());
    let volume = common("volumes: [{name: scratch, emptyDir: {sizeLimit: 1024Mi}}]", "");
    reinvoked(&crate::support::catalog(&volume), &driver());
}

#[test]
fn defaults_in_what_we_added_do_not_make_it_somebody_elses() {
    for field in [
        "volumes: [{name: c, configMap: {name: x}}, {name: s, secret: {secretName: yy}}, {name: h, hostPath: {path: /h}},
                   {name: d, downwardAPI: {items: [{path: l, fieldRef: {fieldPath: metadata.labels}}, {path: m, resourceFieldRef: {containerName: a, resource: limits.cpu}}]}}]",
        "containers: [{name: web, image: w, ports: [{containerPort: 80}], readinessProbe: {httpGet: {port: 80}},
                       env: [{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}, {name: E, value: ''}]}]",
        "initContainers: [{name: prepare, image: 'p:1', command: [p]}]",
        "serviceAccountName: spark, schedulerName: yunikorn, priorityClassName: p1, dnsPolicy: Default",
        "tolerations: [{key: a, operator: Exists}], hostNetwork: false",
    ] {
        reinvoked(&catalog(&common(field, "")), &driver());
    }
}

/// The ServiceAccount plugin mounts the token into what was added, wherever that lies.
#[test]
fn a_token_inside_a_mount_of_ours_does_not_make_it_somebody_elses() {
    for path in ["/var/run", "/var/run/secrets", "/"] {
        let mount = format!("volumeMounts: [{{name: run, mountPath: {path}}}]");
        let field = format!(
            "volumes: [{{name: run, emptyDir: {{}}}}], containers: [{{name: proxy, image: 'p:1', {mount}}}],
             initContainers: [{{name: prepare, image: 'p:1', {mount}}}]"
        );
        reinvoked(&catalog(&common(&field, "")), &driver());
    }
}

#[test]
fn defaults_in_the_spark_container_are_not_a_choice_of_the_user() {
    for (field, enforce) in [
        ("lifecycle: {preStop: {httpGet: {port: 4040}}}", "lifecycle"),
        (
            "env: [{name: MEM, valueFrom: {resourceFieldRef: {resource: limits.memory}}}, {name: E, value: ''}]",
            "env",
        ),
        ("ports: [{containerPort: 9999}]", ""),
        ("securityContext: {readOnlyRootFilesystem: false}", "securityContext"),
    ] {
        reinvoked(&catalog(&spark_field(field, enforce)), &driver());
    }
}

#[test]
fn the_hosts_network_gives_every_port_a_host_port() {
    let field = "hostNetwork: true, containers: [{name: spark, ports: [{containerPort: 9999}]}, {name: web, image: 'w:1', ports: [{containerPort: 80}]}]";
    let pod = reinvoked(&catalog(&common(field, "")), &driver());
    let ports = pod["spec"]["containers"][0]["ports"].as_array().unwrap();
    assert_eq!(ports.iter().filter(|port| port["containerPort"] == 9999).count(), 1);
    // Nought is no host port, however it is written.
    let written = field.replace("containerPort: 9999", "containerPort: 9999, hostPort: 0");
    let written = written.replace("containerPort: 80", "containerPort: 80, hostPort: 0");
    let pod = reinvoked(&catalog(&common(&written, "")), &driver());
    let ports = pod["spec"]["containers"][0]["ports"].as_array().unwrap();
    assert_eq!(ports.iter().filter(|port| port["containerPort"] == 9999).count(), 1);
}

#[test]
fn the_token_mount_in_our_init_container_counts_as_equal() {
    let catalog = catalog("files: [{mountPath: /x, inline: {a: b}}]");
    let pod = inject(&catalog, &driver());
    let token = json!({ "name": "kube-api-access-1", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount" });
    let planted = with(pod, "/spec/initContainers/0/volumeMounts/-", token);
    let second = crate::support::admit(&catalog, crate::support::TEAM, &planted);
    assert!(!second.allowed || second.patch.is_null());
}

#[test]
fn a_selector_key_that_another_webhook_took_away_comes_back() {
    let catalog = world().annotated("pool=a").spec("").catalog();
    let mut pod = inject(&catalog, &driver());
    pod["spec"]["nodeSelector"] = json!({});
    assert_eq!(inject(&catalog, &pod)["spec"]["nodeSelector"]["pool"], "a");
}

#[test]
fn the_example_platform_is_stable_for_every_pod_of_spark() {
    let catalog = platform().catalog();
    for (name, pod) in crate::support::pods::fixtures() {
        if pod["spec"]["nodeSelector"].get("pool").is_some_and(|pool| pool != "a") {
            // Made for another namespace: its pool is not this one's.
            assert!(denied(&catalog, &pod).1.starts_with("pod node label selector conflicts"), "{name}");
            continue;
        }
        let pod = reinvoked(&catalog, &pod);
        let again = crate::support::admit(&catalog, "team-a", &pod);
        assert!(again.patch.is_null(), "{name}");
    }
    let keytab = fixture("spark-4.3.0-executor");
    assert!(inject(&catalog, &keytab).to_string().contains("/tmp/krb5_keytab"));
}

/// The bundle of `examples/platform`.
pub(crate) fn platform() -> World {
    let mut world = World::default().annotated("pool=a");
    for file in ["profile-base", "profile-team-a"] {
        let path = format!("{}/../examples/platform/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
        world = world.object(crate::support::yaml(&std::fs::read_to_string(path).unwrap()));
    }
    world
        .config_map("krb5", &[("krb5.conf", b"[libdefaults]\n")])
        .config_map("hadoop", &[("core-site.xml", b"<c/>"), ("hdfs-site.xml", b"<h/>")])
        .config_map("application", &[("application.properties", b"a=b\n"), ("log4j2.properties", b"x")])
        .config_map("scheduler", &[("fairscheduler.xml", b"<f/>")])
        .config_map("ranger", &[("ranger-spark-security.xml", b"<r/>")])
        .secret("etl-keytab", &[("etl.keytab", b"\x05\x02\0\0")])
}
