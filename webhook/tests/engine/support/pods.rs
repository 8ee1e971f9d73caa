//! Pods: small ones written here, and what real versions of Spark sent.

use serde_json::{Value, json};

/// A driver as Spark 3.5 sends it, with the fields that the rules look at.
pub(crate) fn driver() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "etl-1f2e3d-driver",
            "labels": { "spark-role": "driver", "spark-app-selector": "spark-42", "spark-app-name": "etl" },
        },
        "spec": {
            "containers": [{
                "name": "spark-kubernetes-driver", "image": "apache/spark:3.5.9",
                "args": ["driver", "--class", "org.example.Main", "local:///app.jar"],
                "env": [
                    { "name": "SPARK_USER", "value": "etl" },
                    { "name": "SPARK_DRIVER_BIND_ADDRESS", "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": "status.podIP" } } },
                    { "name": "SPARK_LOCAL_DIRS", "value": "/var/data/spark-1111" },
                ],
                "ports": [{ "containerPort": 4040, "name": "spark-ui", "protocol": "TCP" }],
                "resources": { "limits": { "memory": "1408Mi" }, "requests": { "cpu": "1", "memory": "1408Mi" } },
                "volumeMounts": [
                    { "mountPath": "/var/data/spark-1111", "name": "spark-local-dir-1" },
                    { "mountPath": "/opt/spark/conf", "name": "spark-conf-volume-driver" },
                ],
            }],
            "restartPolicy": "Never",
            "volumes": [
                { "emptyDir": {}, "name": "spark-local-dir-1" },
                { "configMap": { "name": "spark-drv-conf-map" }, "name": "spark-conf-volume-driver" },
            ],
        },
    })
}

/// An executor as Spark 3.5 sends it.
pub(crate) fn executor() -> Value {
    let mut pod = driver();
    pod["metadata"]["name"] = json!("etl-1f2e3d-exec-1");
    pod["metadata"]["labels"]["spark-role"] = json!("executor");
    pod["metadata"]["labels"]["spark-exec-id"] = json!("1");
    let spark = &mut pod["spec"]["containers"][0];
    spark["name"] = json!("spark-kubernetes-executor");
    spark["args"] = json!(["executor"]);
    pod
}

/// The body that a real Spark posted: `spark-3.5.9-driver`.
pub(crate) fn fixture(name: &str) -> Value {
    let path = format!("{}/../tests/pods/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// Every fixture that is a pod, or the pod template of a workload as its controller would create it.
pub(crate) fn fixtures() -> Vec<(String, Value)> {
    let folder = format!("{}/../tests/pods", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
        .collect();
    names.sort();
    let pod = |name: String| {
        let object = fixture(&name);
        let pod = match object.pointer("/spec/template") {
            Some(template) => {
                let mut pod = template.clone();
                pod["apiVersion"] = json!("v1");
                pod["kind"] = json!("Pod");
                pod
            }
            None => object,
        };
        (name, pod)
    };
    names.into_iter().map(pod).collect()
}

/// The container that runs Spark: the one whose first argument says the role.
pub(crate) fn spark_of(pod: &Value) -> &Value {
    let containers = pod["spec"]["containers"].as_array().unwrap();
    let says_role = |container: &&Value| {
        let first = container.pointer("/args/0").and_then(Value::as_str);
        matches!(first, Some("driver" | "driver-py" | "driver-r" | "executor"))
    };
    containers.iter().find(says_role).unwrap_or(&containers[0])
}
