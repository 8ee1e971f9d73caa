//! What a stored pod has that Spark alone did not put there, read from the two pods, field by field.

use serde_json::Value;

use acceptance::kubelet::{INIT_CONTAINER, VOLUME, container};
use acceptance::registration::STATUS_ANNOTATION;

use super::bundle::Bundle;

/// One difference.
#[derive(Debug)]
pub(super) struct Addition {
    /// `+` for something new, `~` for something else in its place.
    pub(super) sign: char,
    /// What it is, in Kubernetes words.
    pub(super) what: &'static str,
    /// Its value, for people.
    pub(super) value: String,
    /// As `explain` names the field.
    pub(super) field: String,
    /// For a list without names: the value by which `explain` tells it.
    pub(super) told_by: Option<Value>,
}

/// The container that Spark runs in.
pub(super) fn spark_container(role: &str) -> String {
    format!("spark-kubernetes-{role}")
}

/// Everything that `stored` has more than `alone`; both are pods of this role that the same command line made.
pub(super) fn between(alone: &Value, stored: &Value, role: &str, bundle: &Bundle) -> Vec<Addition> {
    let pair = Pair { alone, stored, role: spark_container(role) };
    let mut found = Vec::new();
    pair.scheduling(&mut found);
    pair.network(&mut found);
    pair.environment(&mut found);
    pair.volumes(&mut found);
    pair.mounts(&mut found, |path| bundle.entry(path, role).map(|entry| entry.source));
    for (index, added) in items(&stored["spec"]["initContainers"]).enumerate() {
        if named(&alone["spec"]["initContainers"], &added["name"]).is_none() {
            let first = if index == 0 { ", runs first" } else { "" };
            let value = format!("{}{first}", text(&added["name"]));
            found.push(added_as("init container", value, &text(&added["name"])));
        }
    }
    let status = &stored["metadata"]["annotations"][STATUS_ANNOTATION];
    if !status.is_null() {
        found.push(added_as("annotation", STATUS_ANNOTATION.to_owned(), STATUS_ANNOTATION));
    }
    found
}

/// What is not as Spark made it, apart from what [`between`] lists: nothing, that is.
pub(super) fn altered(alone: &Value, stored: &Value, role: &str) -> Vec<String> {
    let name = spark_container(role);
    let (before, after) = (container(alone, &name), container(stored, &name));
    let mut altered = Vec::new();
    for field in ["name", "image", "command", "ports", "resources"] {
        if before[field] != after[field] {
            altered.push(format!("{name}: {field}"));
        }
    }
    // The rest of a driver's arguments names its properties file and is the same too; an executor has no other.
    if before["args"] != after["args"] {
        altered.push(format!("{name}: args"));
    }
    for variable in items(&before["env"]) {
        let Some(now) = named(&after["env"], &variable["name"]) else {
            altered.push(format!("{name}: env {}", text(&variable["name"])));
            continue;
        };
        // Values hold identifiers of the run; where they come from must be the same.
        if now["valueFrom"] != variable["valueFrom"] {
            altered.push(format!("{name}: env {}", text(&variable["name"])));
        }
    }
    for key in alone["metadata"]["labels"].as_object().into_iter().flat_map(serde_json::Map::keys) {
        if stored["metadata"]["labels"][key].is_null() {
            altered.push(format!("label {key}"));
        }
    }
    for list in ["volumes", "containers", "tolerations"] {
        let (before, after) = (items(&alone["spec"][list]), items(&stored["spec"][list]));
        if before.clone().count() > after.count() {
            altered.push(format!("{list}: {}", before.count()));
        }
    }
    for field in ["restartPolicy", "serviceAccountName", "terminationGracePeriodSeconds", "securityContext"] {
        if alone["spec"][field] != stored["spec"][field] {
            altered.push(field.to_owned());
        }
    }
    altered
}

struct Pair<'a> {
    alone: &'a Value,
    stored: &'a Value,
    role: String,
}

impl Pair<'_> {
    fn scheduling(&self, found: &mut Vec<Addition>) {
        let (before, after) = (&self.alone["spec"], &self.stored["spec"]);
        for (key, value) in after["nodeSelector"].as_object().into_iter().flatten() {
            if before["nodeSelector"][key].is_null() {
                found.push(added_as("nodeSelector", format!("{key}={}", text(value)), key));
            }
        }
        for toleration in items(&after["tolerations"]) {
            if !items(&before["tolerations"]).any(|its| its == toleration) {
                let [key, value, effect] = ["key", "value", "effect"].map(|field| text(&toleration[field]));
                let told_by = Some(toleration.clone());
                let shown = format!("{key}={value}:{effect}");
                let field = "toleration".to_owned();
                found.push(Addition { sign: '+', what: "toleration", value: shown, field, told_by });
            }
        }
        let class = &after["priorityClassName"];
        if before["priorityClassName"] != *class {
            let value = format!("{}, which the API server made {}", text(class), after["priority"]);
            let field = "priorityClassName".to_owned();
            found.push(Addition { sign: '+', what: "priorityClassName", value, field, told_by: None });
        }
    }

    fn network(&self, found: &mut Vec<Addition>) {
        let (before, after) = (&self.alone["spec"], &self.stored["spec"]);
        for alias in items(&after["hostAliases"]) {
            if !items(&before["hostAliases"]).any(|its| its == alias) {
                let names: Vec<String> = items(&alias["hostnames"]).map(text).collect();
                let ip = text(&alias["ip"]);
                found.push(added_as("hostAlias", format!("{ip} {}", names.join(" ")), &ip));
            }
        }
        for option in items(&after["dnsConfig"]["options"]) {
            let name = text(&option["name"]);
            if named(&before["dnsConfig"]["options"], &option["name"]).is_none() {
                let value = option["value"].as_str().map(|value| format!(":{value}")).unwrap_or_default();
                found.push(added_as("DNS option", format!("{name}{value}"), &name));
            }
        }
    }

    fn environment(&self, found: &mut Vec<Addition>) {
        let (before, after) = self.containers("env");
        for variable in items(after) {
            let name = text(&variable["name"]);
            let value = text(&variable["value"]);
            match named(before, &variable["name"]) {
                None => found.push(added_as("env", format!("{name}={value}"), &name)),
                // Spark makes a directory with a random name, so only the number of directories says something.
                Some(its) if name == "SPARK_LOCAL_DIRS" => {
                    let [from, to] =
                        [&its["value"], &variable["value"]].map(|it| text(it).split(',').count());
                    if from != to {
                        let value = format!("{name}, {to} paths instead of {from}");
                        found.push(Addition { sign: '~', ..added_as("env", value, &name) });
                    }
                }
                Some(_) => {}
            }
        }
    }

    fn volumes(&self, found: &mut Vec<Addition>) {
        for volume in items(&self.stored["spec"]["volumes"]) {
            let name = text(&volume["name"]);
            let host_path = text(&volume["hostPath"]["path"]);
            match named(&self.alone["spec"]["volumes"], &volume["name"]) {
                Some(its) if its["hostPath"] != volume["hostPath"] => {
                    let value = format!("{name} is {host_path} of the node, no emptyDir");
                    found.push(Addition { sign: '~', ..added_as("local directory", value, &name) });
                }
                Some(_) => {}
                None if name.starts_with("kube-api-access-") => {}
                None if !host_path.is_empty() => {
                    let mount =
                        items(self.containers("volumeMounts").1).find(|mount| mount["name"] == name.as_str());
                    let path = text(&mount.unwrap_or(&Value::Null)["mountPath"]);
                    found.push(added_as(
                        "local directory",
                        format!("{path} is {host_path} of the node"),
                        &path,
                    ));
                }
                None => {
                    let medium = if volume["emptyDir"]["medium"] == "Memory" { "in memory, " } else { "" };
                    let limit = text(&volume["emptyDir"]["sizeLimit"]);
                    found.push(added_as("volume", format!("{name} ({medium}{limit} at most)"), &name));
                }
            }
        }
    }

    fn mounts(&self, found: &mut Vec<Addition>, source: impl Fn(&str) -> Option<String>) {
        let ours = items(self.containers("volumeMounts").1).filter(|mount| mount["name"] == VOLUME);
        for mount in ours {
            let path = text(&mount["mountPath"]);
            let source = source(&path).unwrap_or_else(|| "nothing in the bundle".to_owned());
            found.push(added_as("mount", format!("{path} <- {source}"), &path));
        }
    }

    fn containers(&self, field: &str) -> (&Value, &Value) {
        (&container(self.alone, &self.role)[field], &container(self.stored, &self.role)[field])
    }
}

/// Whether there is anything of ours in a pod.
pub(super) fn is_untouched(pod: &Value) -> bool {
    let all = pod["spec"].to_string();
    pod["metadata"]["annotations"][STATUS_ANNOTATION].is_null()
        && !all.contains(VOLUME)
        && !all.contains(INIT_CONTAINER)
        && pod["spec"]["nodeSelector"].as_object().is_none_or(|selector| !selector.contains_key("pool"))
}

fn added_as(what: &'static str, value: String, key: &str) -> Addition {
    Addition { sign: '+', what, value, field: format!("{what} {key}"), told_by: None }
}

fn named<'a>(list: &'a Value, name: &Value) -> Option<&'a Value> {
    items(list).find(|item| item["name"] == *name)
}

fn items(list: &Value) -> impl Iterator<Item = &Value> + Clone {
    list.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
