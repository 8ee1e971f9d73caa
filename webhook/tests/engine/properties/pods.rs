//! Pods of every shape in which one may arrive, those that share names with what profiles add among them.

use serde_json::{Value, json};

use super::choices::Choices;

/// Whether the Spark container can be told from any other that somebody adds.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Told {
    /// By its first argument or its name.
    Clearly,
    /// Perhaps only because there is no other.
    Anyhow,
}

pub(super) fn pod(choices: &mut Choices, told: Told) -> Value {
    let role = choices.pick(&["driver", "executor"]);
    let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {} });
    choices.future(&mut pod);
    metadata(choices, &mut pod["metadata"], role);
    let spec = &mut pod["spec"];
    spec["containers"] = containers(choices, role, told);
    choices.future(spec);
    let init = choices.mixture(&[
        json!({ "name": "own-init", "image": "own:1", "futureField": [1] }),
        json!({ "name": "prepare", "image": "prepare:1" }),
        json!({ "name": "other-init", "image": "own:1", "restartPolicy": "Always" }),
    ]);
    let init = unique(init);
    choices.put(spec, "initContainers", Value::Array(init));
    let volumes = volumes(choices);
    choices.put(spec, "volumes", volumes);
    scheduling(choices, spec);
    network(choices, spec);
    scalars(choices, spec);
    pod
}

fn metadata(choices: &mut Choices, metadata: &mut Value, role: &str) {
    choices.maybe(metadata, "name", &[json!("etl-exec-1"), json!("")]);
    choices.maybe(metadata, "generateName", &[json!("spark-d-")]);
    choices.future(metadata);
    let mut labels = json!({ "spark-role": role, "spark-app-selector": "spark-42" });
    choices.maybe(&mut labels, "team", &[json!("a"), json!("other")]);
    choices.maybe(&mut labels, "weird.example/~key~1", &[json!("x")]);
    if choices.one_in(3) {
        labels["spark-injector.io/variant"] = json!("p1");
    }
    metadata["labels"] = labels;
    let mut annotations = json!({});
    choices.maybe(&mut annotations, "note", &[json!("mine"), json!("theirs")]);
    choices.maybe(&mut annotations, "a~b.example/c", &[json!("日本 \" \\ \u{1}")]);
    choices.maybe(&mut annotations, "", &[json!("odd")]);
    choices.maybe(&mut annotations, "spark-injector.io/status", &[json!("{\"profile\":\"lie\"}")]);
    choices.put(metadata, "annotations", annotations);
}

fn containers(choices: &mut Choices, role: &str, told: Told) -> Value {
    let mut spark = json!({ "image": "apache/spark:3.5.9" });
    let (name, args) = match (choices.below(if told == Told::Clearly { 4 } else { 5 }), role) {
        (0, "driver") => ("spark-kubernetes-driver", json!(["driver", "--class", "X"])),
        (1, "driver") => ("template-name", json!(["driver-py"])),
        (2, "driver") => ("odd", json!(["driver-r"])),
        (3, "driver") => ("spark-kubernetes-driver", json!(null)),
        (0, _) => ("spark-kubernetes-executor", json!(["executor"])),
        (1, _) => ("template-name", json!(["executor"])),
        (2, _) => ("executor", json!(["executor"])),
        (3, _) => ("executor", json!([])),
        _ => ("odd", json!(["start"])),
    };
    spark["name"] = json!(name);
    spark["args"] = args;
    choices.future(&mut spark);
    let environment = environment(choices);
    choices.put(&mut spark, "env", environment);
    let mounts = choices.mixture(&[
        json!({ "name": "spark-local-dir-1", "mountPath": "/var/data/spark-1", "futureField": 1 }),
        json!({ "name": "spark-local-dir-2", "mountPath": "/var/data/spark-2" }),
        json!({ "name": "shared", "mountPath": "/shared/" }),
        json!({ "name": "spark-conf-volume", "mountPath": "/opt/spark/conf" }),
        json!({ "name": "own", "mountPath": "/res/config", "subPath": "x" }),
        json!({ "name": "own", "mountPath": "/res//deep" }),
        json!({ "name": "own", "mountPath": "/var/data/spark-injector-1" }),
    ]);
    choices.put(&mut spark, "volumeMounts", Value::Array(mounts));
    let from = choices.mixture(&[
        json!({ "configMapRef": { "name": "common" } }),
        json!({ "secretRef": { "name": "own" } }),
    ]);
    choices.put(&mut spark, "envFrom", Value::Array(from));
    let ports = choices.mixture(&[
        json!({ "containerPort": 9999, "protocol": "TCP" }),
        json!({ "containerPort": 4040, "name": "ui" }),
    ]);
    choices.put(&mut spark, "ports", Value::Array(ports));
    let mut resources = json!({});
    choices.maybe(
        &mut resources,
        "limits",
        &[json!({ "memory": "1Gi", "cpu": "4" }), json!(null), json!({})],
    );
    choices.maybe(&mut resources, "requests", &[json!({ "cpu": "500m" }), json!({ "cpu": "1" })]);
    choices.future(&mut resources);
    choices.put(&mut spark, "resources", resources);
    let mut security = json!({});
    choices.maybe(&mut security, "runAsUser", &[json!(0), json!(185), json!(1000)]);
    choices.maybe(&mut security, "allowPrivilegeEscalation", &[json!(false), json!(true)]);
    choices.future(&mut security);
    choices.put(&mut spark, "securityContext", security);
    choices.maybe(
        &mut spark,
        "lifecycle",
        &[json!(null), json!({}), json!({ "preStop": { "sleep": { "seconds": 1 } } })],
    );

    let mut containers = vec![spark];
    if name != "odd" || told == Told::Clearly {
        let sidecar = json!({ "name": "istio", "image": "i:1", "args": ["run"], "env": [{ "name": "R", "value": "untouched" }], "futureField": {} });
        if choices.one_in(3) {
            containers.insert(0, sidecar);
        }
        if choices.one_in(4) {
            containers.push(json!({ "name": "logs", "image": "logs:1" }));
        }
    }
    Value::Array(containers)
}

fn environment(choices: &mut Choices) -> Value {
    let env = choices.mixture(&[
        json!({ "name": "SPARK_USER", "value": "etl", "futureField": null }),
        json!({ "name": "R", "value": "false" }),
        json!({ "name": "R", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }),
        json!({ "name": "SPARK_LOCAL_DIRS", "value": "/var/data/spark-1,/var/data/spark-2" }),
        json!({ "name": "V", "value": "plain" }),
        json!({ "name": "V", "value": "grün $(X) \u{1F980}" }),
        json!({ "name": "IP", "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": "status.podIP" } } }),
        json!({ "name": "E" }),
        json!({ "name": "SPARK_LOCAL_DIRS" }),
    ]);
    Value::Array(env)
}

fn volumes(choices: &mut Choices) -> Value {
    let volumes = choices.mixture(&[
        json!({ "name": "spark-local-dir-1", "emptyDir": {}, "futureField": "kept" }),
        json!({ "name": "spark-local-dir-2", "emptyDir": { "medium": "Memory" } }),
        json!({ "name": "spark-conf-volume", "configMap": { "name": "c", "defaultMode": 420 } }),
        json!({ "name": "shared", "emptyDir": {} }),
        json!({ "name": "own", "persistentVolumeClaim": { "claimName": "c" } }),
    ]);
    Value::Array(unique(volumes))
}

fn unique(list: Vec<Value>) -> Vec<Value> {
    let mut unique: Vec<Value> = Vec::new();
    for element in list {
        if !unique.iter().any(|known| known["name"] == element["name"]) {
            unique.push(element);
        }
    }
    unique
}

fn scheduling(choices: &mut Choices, spec: &mut Value) {
    let mut selector = json!({});
    choices.maybe(&mut selector, "pool", &[json!("a"), json!("a"), json!("a"), json!("b")]);
    choices.maybe(&mut selector, "weird.example/k~", &[json!("v")]);
    choices.put(spec, "nodeSelector", selector);
    let tolerations = choices.mixture(&[
        json!({ "key": "dedicated", "operator": "Exists" }),
        json!({ "key": "own", "operator": "Exists" }),
    ]);
    choices.put(spec, "tolerations", Value::Array(tolerations));
    let term = |key: &str| json!({ "matchExpressions": [{ "key": key, "operator": "Exists" }] });
    let required = |terms: Value| json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } });
    choices.maybe(
        spec,
        "affinity",
        &[
            json!(null),
            json!({}),
            json!({ "podAffinity": {}, "futureField": 1 }),
            json!({ "nodeAffinity": null }),
            required(json!([term("own")])),
            required(json!([term("own"), term("disk")])),
            required(json!([{}])),
        ],
    );
    choices.maybe(spec, "priorityClassName", &[json!(""), json!("p1"), json!("p9"), json!("standard")]);
    choices.maybe(spec, "priority", &[json!(0), json!(null), json!(1000)]);
    choices.maybe(spec, "preemptionPolicy", &[json!("PreemptLowerPriority"), json!(null)]);
}

fn network(choices: &mut Choices, spec: &mut Value) {
    let aliases = choices.mixture(&[
        json!({ "ip": "10.0.0.1", "hostnames": ["a", "own"], "futureField": 0 }),
        json!({ "ip": "10.0.0.9" }),
        json!({ "ip": "10.0.0.2", "hostnames": null }),
    ]);
    choices.put(spec, "hostAliases", Value::Array(aliases));
    let mut dns = json!({});
    choices.maybe(
        &mut dns,
        "nameservers",
        &[json!(["1.1.1.1"]), json!(["1.1.1.1", "1.1.1.2", "1.1.1.3"]), json!(null)],
    );
    choices.maybe(&mut dns, "searches", &[json!(["corp.example"]), json!([])]);
    choices.maybe(
        &mut dns,
        "options",
        &[json!([{ "name": "ndots", "value": "5" }]), json!([{ "name": "rotate" }]), json!(null)],
    );
    choices.future(&mut dns);
    choices.put(spec, "dnsConfig", dns);
    choices.maybe(spec, "dnsPolicy", &[json!("ClusterFirst"), json!("Default"), json!(null)]);
    choices.maybe(spec, "hostNetwork", &[json!(false), json!(true), json!(null)]);
}

fn scalars(choices: &mut Choices, spec: &mut Value) {
    choices.maybe(spec, "schedulerName", &[json!("default-scheduler"), json!("own"), json!("")]);
    choices.maybe(spec, "serviceAccountName", &[json!("default"), json!("own"), json!("")]);
    if spec.get("serviceAccountName").is_some() && choices.one_in(2) {
        spec["serviceAccount"] = spec["serviceAccountName"].clone();
    }
    choices.maybe(spec, "terminationGracePeriodSeconds", &[json!(30), json!(5), json!(60)]);
    choices.maybe(spec, "shareProcessNamespace", &[json!(false), json!(true)]);
    choices.maybe(spec, "runtimeClassName", &[json!("gvisor"), json!("own")]);
    let pull = choices.mixture(&[json!({ "name": "registry" }), json!({ "name": "own" })]);
    choices.put(spec, "imagePullSecrets", Value::Array(pull));
    let mut security = json!({});
    choices.maybe(&mut security, "runAsUser", &[json!(0), json!(1000)]);
    choices.maybe(&mut security, "fsGroup", &[json!(1), json!(2000)]);
    choices.future(&mut security);
    choices.put(spec, "securityContext", security);
    choices.maybe(spec, "restartPolicy", &[json!("Never")]);
}
