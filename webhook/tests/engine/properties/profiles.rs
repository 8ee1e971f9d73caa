//! Profiles with every field that there is, in any mixture that compiles.

use serde_json::{Value, json};

use super::choices::Choices;
use crate::support::{World, world};

/// A world whose profile `team-a` serves `team-a`; it compiles.
pub(super) fn any_world(choices: &mut Choices) -> World {
    let mut spec = json!({});
    for layer in ["common", "driver", "executor"] {
        if choices.one_in(2) {
            spec[layer] = json!({ "template": template(choices) });
        }
    }
    spec["variants"] =
        json!({ "p1": { "template": template(choices), "executor": { "template": template(choices) } } });
    spec["files"] = Value::Array(files(choices));
    spec["localDirs"] = Value::Array(choices.some(&[
        json!({ "hostPath": { "path": "/nvme0" } }),
        json!({ "emptyDir": { "sizeLimit": "1024Mi" } }),
        json!({ "mountPath": "/scratch", "hostPath": { "path": "/nvme1", "type": "Directory" } }),
    ]));
    spec["enforce"] = Value::Array(choices.some(&[
        json!("affinity"),
        json!("env"),
        json!("labels"),
        json!("lifecycle"),
        json!("resources"),
        json!("securityContext"),
        json!("hostNetwork"),
        json!("schedulerName"),
        json!("volumeMounts"),
        json!("dnsPolicy"),
        json!("annotations"),
    ]));
    if choices.one_in(2) {
        spec["executorRole"] = json!({ "name": "R", "value": "true" });
    }
    choices.maybe(&mut spec, "delivery", &[json!("Env"), json!("Secret"), json!("Auto")]);
    choices.maybe(
        &mut spec,
        "nodeSelector",
        &[json!({ "default": { "pool": "a" } }), json!({ "default": { "weird.example/d": "" } })],
    );
    choices.maybe(&mut spec, "pullSecret", &[json!({ "secret": { "name": "registry" } })]);
    choices.maybe(&mut spec, "mode", &[json!("Enforce")]);
    let world = if choices.one_in(3) { world().annotated("pool=a,zone=z") } else { world() };
    world
        .config_map("krb5", &[("krb5.conf", "[libdefaults] grün\n".as_bytes()), ("0.conf", b"")])
        .secret("keytab", &[("etl.keytab", b"\x05\x02\0\xff")])
        .secret("registry", &[(".dockerconfigjson", b"{}")])
        .directory("hadoop", &[("core-site.xml", b"<c/>"), ("d/e.xml", b"<e/>")])
        .settings(|settings| {
            settings.client_authentication = true;
            settings.default_priority_class = Some("standard".to_owned());
        })
        .spec_value(spec)
}

fn files(choices: &mut Choices) -> Vec<Value> {
    choices.some(&[
        json!({ "mountPath": "/res", "configMap": { "name": "krb5" } }),
        json!({ "mountPath": "/res/config", "inline": { "application.properties": "a=$(b)\n" } }),
        json!({ "mountPath": "/res/config/deeper/one.txt", "file": "one.txt", "inline": { "one.txt": "1" } }),
        json!({ "mountPath": "/etc/krb5.conf", "file": "krb5.conf", "configMap": { "name": "krb5" } }),
        json!({ "mountPath": "/keytab", "secret": { "name": "keytab" } }),
        json!({ "mountPath": "/res/keytab", "roles": ["executor"], "mode": "0400", "secret": { "name": "keytab" } }),
        json!({ "mountPath": "/opt/hadoop", "roles": ["driver"], "directory": { "path": "hadoop" } }),
        json!({ "mountPath": "/shared/inside", "inline": { "x": "1" } }),
    ])
}

fn template(choices: &mut Choices) -> Value {
    let mut metadata = json!({});
    choices.maybe(&mut metadata, "labels", &[json!({ "team": "a", "example.com/cost": "x" })]);
    choices.maybe(&mut metadata, "annotations", &[json!({ "note": "mine", "b.example/c": "~/\"\u{1F980}" })]);
    let mut spec = json!({});
    let mut containers = Vec::new();
    if choices.one_in(2) {
        containers.push(spark(choices));
    }
    containers.extend(choices.some(&[
        json!({ "name": "logs", "image": "logs:1" }),
        json!({ "name": "runs", "image": "runs:1", "volumeMounts": [{ "name": "run", "mountPath": "/var/run" }] }),
        json!({ "name": "web", "image": "web",
        "ports": [{ "containerPort": 80 }], "resources": { "limits": { "cpu": "1000m", "memory": "1024Mi" } },
        "readinessProbe": { "httpGet": { "port": 80 } } }),
    ]));
    spec["containers"] = Value::Array(containers);
    spec["initContainers"] = Value::Array(choices.some(&[
        json!({ "name": "prepare", "image": "prepare:1" }),
        json!({ "name": "second", "image": "s:1" }),
    ]));
    choices.maybe(
        &mut spec,
        "volumes",
        &[
            json!([{ "name": "shared", "emptyDir": {} }]),
            json!([{ "name": "shared", "emptyDir": {} }, { "name": "extra", "hostPath": { "path": "/h" } }]),
        ],
    );
    choices.maybe(
        &mut spec,
        "hostAliases",
        &[json!([{ "ip": "10.0.0.1", "hostnames": ["a", "b"] }, { "ip": "10.0.0.2", "hostnames": ["c"] }])],
    );
    choices.maybe(
        &mut spec,
        "dnsConfig",
        &[
            json!({ "nameservers": ["10.9.9.9"], "searches": ["corp.example", "x.example"] }),
            json!({ "options": [{ "name": "ndots", "value": "2" }, { "name": "rotate" }] }),
        ],
    );
    spec["tolerations"] = Value::Array(choices.some(&[
        json!({ "key": "dedicated", "operator": "Exists" }),
        json!({ "operator": "Exists", "effect": "NoSchedule" }),
    ]));
    choices.maybe(
        &mut spec,
        "topologySpreadConstraints",
        &[json!([{ "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway" }])],
    );
    choices.maybe(&mut spec, "affinity", &[json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
        { "matchExpressions": [{ "key": "disk", "operator": "Exists" }] }, { "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["n"] }] }] } } })]);
    choices.maybe(&mut spec, "priorityClassName", &[json!("p1")]);
    choices.maybe(&mut spec, "hostNetwork", &[json!(true), json!(false)]);
    choices.maybe(&mut spec, "dnsPolicy", &[json!("Default"), json!("ClusterFirst")]);
    choices.maybe(&mut spec, "schedulerName", &[json!("yunikorn")]);
    choices.maybe(&mut spec, "serviceAccountName", &[json!("spark")]);
    choices.maybe(&mut spec, "terminationGracePeriodSeconds", &[json!(60), json!(30)]);
    choices.maybe(&mut spec, "shareProcessNamespace", &[json!(true)]);
    choices.maybe(&mut spec, "runtimeClassName", &[json!("gvisor")]);
    choices.maybe(&mut spec, "imagePullSecrets", &[json!([{ "name": "registry" }])]);
    choices.maybe(
        &mut spec,
        "securityContext",
        &[
            json!({ "fsGroup": 2000 }),
            json!({ "runAsUser": 1001, "seccompProfile": { "type": "RuntimeDefault" } }),
        ],
    );
    choices.maybe(&mut spec, "nodeSelector", &[json!({ "weird.example/t": "1" })]);
    json!({ "metadata": metadata, "spec": spec })
}

fn spark(choices: &mut Choices) -> Value {
    let mut spark = json!({ "name": "spark" });
    spark["env"] = Value::Array(choices.some(&[
        json!({ "name": "V", "value": "plain" }),
        json!({ "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } }),
        json!({ "name": "E", "value": "" }),
        json!({ "name": "MEM", "valueFrom": { "resourceFieldRef": { "resource": "limits.memory" } } }),
    ]));
    choices.maybe(&mut spark, "envFrom", &[json!([{ "configMapRef": { "name": "common" } }])]);
    choices.maybe(
        &mut spark,
        "ports",
        &[json!([{ "containerPort": 9999 }, { "containerPort": 9998, "protocol": "UDP" }])],
    );
    choices.maybe(
        &mut spark,
        "resources",
        &[
            json!({ "limits": { "cpu": 4, "memory": "2048Mi" } }),
            json!({ "requests": { "cpu": "0.5" } }),
            json!({ "requests": { "cpu": "0.5" }, "limits": { "example.com/gpu": 1 } }),
        ],
    );
    choices.maybe(
        &mut spark,
        "securityContext",
        &[
            json!({ "runAsUser": 1000, "allowPrivilegeEscalation": false }),
            json!({ "runAsNonRoot": true, "readOnlyRootFilesystem": false }),
        ],
    );
    choices.maybe(
        &mut spark,
        "lifecycle",
        &[
            json!({ "preStop": { "httpGet": { "port": 4040 } } }),
            json!({ "preStop": { "sleep": { "seconds": 1 } } }),
        ],
    );
    choices.maybe(
        &mut spark,
        "volumeMounts",
        &[
            json!([{ "name": "shared", "mountPath": "/shared" }]),
            json!([{ "name": "shared", "mountPath": "/other", "readOnly": true }]),
        ],
    );
    spark
}
