//! The command line of a submission, as Spark itself wrote it down for the driver.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use acceptance::client::Api;

/// Spark's properties, in the driver's `ConfigMap`.
pub(super) fn of(driver: &Value, api: &Api) -> BTreeMap<String, String> {
    let volumes = driver["spec"]["volumes"].as_array().expect("volumes");
    let name = volumes.iter().find_map(|volume| {
        (volume["name"] == "spark-conf-volume-driver").then(|| volume["configMap"]["name"].clone())
    });
    let metadata = json!({"name": name, "namespace": driver["metadata"]["namespace"]});
    let object =
        api.read(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).expect(200);
    let text = object["data"]["spark.properties"].as_str().expect("Spark's properties");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.replace("\\:", ":").replace("\\=", "="))).collect()
}

/// The settings in which two submissions differ, apart from what Spark or the harness makes up for each run: names,
/// identifiers, times, temporary paths.
pub(super) fn differences(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Vec<String> {
    let of_the_run = |key: &str| {
        let made_up = [
            "spark.app.id",
            "spark.app.name",
            "spark.app.submitTime",
            "spark.driver.host",
            "spark.kubernetes.driver.pod.name",
            "spark.kubernetes.executor.podNamePrefix",
            "spark.kubernetes.authenticate.submission.oauthTokenFile",
            "spark.sql.warehouse.dir",
        ];
        made_up.contains(&key)
    };
    let mut keys: Vec<&String> = one.keys().chain(other.keys()).collect();
    keys.sort();
    keys.dedup();
    let differs = |key: &&&String| one.get(**key) != other.get(**key) && !of_the_run(key);
    keys.iter().filter(differs).map(|key| (*key).clone()).collect()
}
