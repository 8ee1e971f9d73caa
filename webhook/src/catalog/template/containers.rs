//! The containers of a template: the one that stands for the Spark container, sidecars, and init containers.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Reader, check_mount_path, elements, fields, name_of};
use crate::admit::clean_path;
use crate::admit::plan::{Item, Keyed, PORT_KEY, SparkOverlay};
use crate::api::names::{INIT_CONTAINER, LOCAL_DIRS_VARIABLE, SPARK_CONTAINER};
use crate::catalog::decode::join;
use crate::catalog::syntax;

/// Fields of the container that stands for the Spark container.
const SPARK_FIELDS: [&str; 8] =
    ["env", "envFrom", "lifecycle", "name", "ports", "resources", "securityContext", "volumeMounts"];

impl Reader<'_> {
    pub(super) fn containers(&mut self, value: &Value, path: &str) {
        for (at, name, container) in self.distinct(value, path) {
            if name == SPARK_CONTAINER {
                self.spark(container, &at);
            } else if self.check_container(container, &at) && self.check_sidecar(container, &at) {
                let origin = self.origin(&at);
                self.overlay.sidecars.put(Item::new(name, container.clone(), &origin));
            }
        }
    }

    pub(super) fn init_containers(&mut self, value: &Value, path: &str) {
        for (at, name, container) in self.distinct(value, path) {
            if name == SPARK_CONTAINER {
                self.report.at(
                    join(&at, "name"),
                    "spark stands for the Spark container, which is no init container",
                );
            } else if self.check_container(container, &at) {
                let origin = self.origin(&at);
                self.overlay.init_containers.put(Item::new(name, container.clone(), &origin));
            }
        }
    }

    /// Containers with their paths and names; of a name that stands there twice, the first.
    fn distinct<'v>(&mut self, value: &'v Value, path: &str) -> Vec<(String, &'v str, &'v Value)> {
        let mut seen = BTreeSet::new();
        let named = elements(value, path).map(|(at, container)| (at, name_of(container), container));
        let (first, again): (Vec<_>, Vec<_>) = named.partition(|(_, name, _)| seen.insert(*name));
        for (at, name, _) in again {
            self.report.at(join(&at, "name"), format!("{name:?} stands here twice"));
        }
        first
    }

    fn check_container(&mut self, container: &Value, at: &str) -> bool {
        let name = name_of(container);
        if container.get("image").and_then(Value::as_str).is_none_or(str::is_empty) {
            self.report.at(join(at, "image"), "missing; spark alone has the image of the job");
        }
        if !syntax::is_label_name(name) {
            self.report.at(join(at, "name"), format!("{name:?} is not valid: {}", syntax::LABEL_NAME));
            return false;
        }
        if name == INIT_CONTAINER {
            self.report.at(join(at, "name"), format!("{name:?} is the injector's own, choose another name"));
            return false;
        }
        true
    }

    /// A sidecar must not pass for the Spark container at the next look.
    fn check_sidecar(&mut self, container: &Value, at: &str) -> bool {
        let name = name_of(container);
        if matches!(name, "spark-kubernetes-driver" | "spark-kubernetes-executor" | "executor") {
            self.report.at(
                join(at, "name"),
                format!("{name:?} is Spark's own; write spark for the Spark container"),
            );
            return false;
        }
        let first = container.pointer("/args/0").and_then(Value::as_str);
        if let Some(argument @ ("driver" | "driver-py" | "driver-r" | "executor")) = first {
            self.report.at(
                join(at, "args[0]"),
                format!("{argument:?} is how the Spark container is told from others; a sidecar cannot start with it"),
            );
            return false;
        }
        true
    }

    fn spark(&mut self, container: &Value, path: &str) {
        let mut spark = SparkOverlay::default();
        for (field, value) in fields(container) {
            let at = join(path, field);
            match field.as_str() {
                "name" => {}
                "env" => spark.env = self.env(value, &at),
                "envFrom" => spark.env_from = self.unkeyed(value, &at),
                "lifecycle" => spark.lifecycle = self.by_key(value, &at),
                "ports" => spark.ports = self.unique(value, &at, PORT_KEY),
                "resources" => {
                    for (section, amounts) in fields(value) {
                        let at = join(&at, section);
                        match section.as_str() {
                            "requests" => spark.requests = self.by_key(amounts, &at),
                            "limits" => spark.limits = self.by_key(amounts, &at),
                            _ => self.unsupported(&at, &["limits", "requests"]),
                        }
                    }
                }
                "securityContext" => spark.security = self.by_key(value, &at),
                "volumeMounts" => spark.mounts = self.mounts(value, &at),
                _ => self.unsupported(&at, &SPARK_FIELDS),
            }
        }
        self.overlay.spark = spark;
    }

    fn env(&mut self, value: &Value, path: &str) -> Keyed {
        let env = self.list(value, path, "name");
        if env.get(LOCAL_DIRS_VARIABLE).is_some() {
            self.report.at(path, format!("{LOCAL_DIRS_VARIABLE} belongs to Spark; use spec.localDirs"));
        }
        env
    }

    fn mounts(&mut self, value: &Value, path: &str) -> Keyed {
        let mut mounts = Keyed::default();
        for (at, mount) in elements(value, path) {
            let mount_path = mount.get("mountPath").and_then(Value::as_str).unwrap_or_default();
            let at_path = join(&at, "mountPath");
            if name_of(mount).is_empty() {
                self.report.at(join(&at, "name"), "missing; name the volume");
            }
            if let Err(message) = check_mount_path(mount_path) {
                self.report.at(at_path, message);
                continue;
            }
            let key = clean_path(mount_path).into_owned();
            if mounts.get(&key).is_some() {
                self.report.at(at_path, format!("{mount_path:?} is mounted twice"));
                continue;
            }
            let origin = self.origin(&at);
            mounts.put(Item::new(key, mount.clone(), &origin));
        }
        mounts
    }
}
