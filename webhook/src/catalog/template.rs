//! From a `template` to an overlay: which fields are supported, and what may stand in them.

mod containers;
mod values;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Map, Value};

use super::decode::{decode, join};
use super::report::Report;
use super::syntax;
use crate::admit::clean_path;
use crate::admit::plan::{Item, Keyed, Origin, Overlay, SPREAD_KEY, unique_key};
use crate::api::names::{GROUP, LOCAL_DIR_PREFIX, OBJECT_PREFIX};
use crate::api::template::Template;

pub(super) use values::quantities;

/// Fields of a pod spec that a template may set, in the order of the documentation.
const SPEC_FIELDS: [&str; 19] = [
    "affinity",
    "containers",
    "dnsConfig",
    "dnsPolicy",
    "hostAliases",
    "hostNetwork",
    "imagePullSecrets",
    "initContainers",
    "nodeSelector",
    "priorityClassName",
    "runtimeClassName",
    "schedulerName",
    "securityContext",
    "serviceAccountName",
    "shareProcessNamespace",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
    "volumes",
];

/// Turns a template into an overlay; mistakes go to the report.
pub(super) fn overlay(template: &Template, path: &str, profile: &str, report: &mut Report) -> Overlay {
    let mut value = Value::Object(template.0.clone());
    tidy(&mut value);
    // Types, and unknown fields at any depth: the API server would drop them without a word.
    let _: Option<PodTemplateSpec> = decode(&value, path, report, |_| String::new());
    let mut reader = Reader { profile, report, overlay: Overlay::default() };
    reader.template(&value, path);
    reader.overlay
}

/// Drops nulls, which mean absent, and writes quantities as the text that the pod API wants.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            for (key, value) in map.iter_mut() {
                match (key.as_str(), value) {
                    ("limits" | "requests", Value::Object(amounts)) => {
                        amounts.values_mut().for_each(quantity);
                    }
                    ("sizeLimit", amount) => quantity(amount),
                    (_, value) => tidy(value),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn quantity(value: &mut Value) {
    if value.is_number() {
        *value = Value::String(value.to_string());
    }
}

struct Reader<'r> {
    profile: &'r str,
    report: &'r mut Report,
    overlay: Overlay,
}

impl Reader<'_> {
    fn origin(&self, path: &str) -> Origin {
        format!("{}: {path}", self.profile).into()
    }

    fn template(&mut self, value: &Value, path: &str) {
        for (section, content) in fields(value) {
            let at = join(path, section);
            match section.as_str() {
                "metadata" => self.metadata(content, &at),
                "spec" => {
                    values::check(content, &at, self.report);
                    self.spec(content, &at);
                }
                _ => self.unsupported(&at, &["metadata", "spec"]),
            }
        }
    }

    fn unsupported(&mut self, at: &str, allowed: &[&str]) {
        self.report.at(at, format!("not supported in a template; supported here: {}", allowed.join(", ")));
    }

    fn metadata(&mut self, value: &Value, path: &str) {
        for (field, content) in fields(value) {
            let at = join(path, field);
            match field.as_str() {
                "labels" => self.overlay.labels = self.labels(content, &at),
                "annotations" => {
                    for (key, _) in fields(content) {
                        self.refuse_own_key(&join(&at, key), key);
                        // The API server compares the keys of annotations in lower case.
                        if !syntax::is_label_key(&key.to_lowercase()) {
                            let message =
                                format!("{key:?} is not the key of an annotation: {}", syntax::LABEL_KEY);
                            self.report.at(join(&at, key), message);
                        }
                    }
                    self.overlay.annotations = self.by_key(content, &at);
                }
                _ => self.unsupported(&at, &["annotations", "labels"]),
            }
        }
    }

    fn labels(&mut self, value: &Value, path: &str) -> Keyed {
        for (key, value) in fields(value) {
            let at = join(path, key);
            if key.starts_with("spark-") && !key.contains('/') {
                self.report.at(&at, "labels that start with spark- belong to Spark");
            }
            self.refuse_own_key(&at, key);
            self.check_label(&at, key, value);
        }
        self.by_key(value, path)
    }

    /// Labels and annotations of ours say what users choose and what was done: a profile decides neither.
    fn refuse_own_key(&mut self, at: &str, key: &str) {
        if key.split_once('/').is_some_and(|(prefix, _)| prefix == GROUP) {
            self.report.at(at, format!("keys of {GROUP} belong to the injector"));
        }
    }

    fn check_label(&mut self, at: &str, key: &str, value: &Value) {
        if !syntax::is_label_key(key) {
            self.report.at(at, format!("{key:?} is not a label key: {}", syntax::LABEL_KEY));
        }
        if value.as_str().is_some_and(|value| !syntax::is_label_value(value)) {
            self.report.at(at, format!("{value} is not a label value: {}", syntax::LABEL_VALUE));
        }
    }

    fn spec(&mut self, spec: &Value, path: &str) {
        for (field, value) in fields(spec) {
            let at = join(path, field);
            match field.as_str() {
                "containers" => self.containers(value, &at),
                "dnsConfig" => self.dns_config(value, &at),
                "hostAliases" => self.overlay.host_aliases = self.list(value, &at, "ip"),
                "imagePullSecrets" => self.overlay.pull_secrets = self.unkeyed(value, &at),
                "initContainers" => self.init_containers(value, &at),
                "nodeSelector" => {
                    for (key, value) in fields(value) {
                        self.check_label(&join(&at, key), key, value);
                    }
                    self.overlay.node_selector = self.by_key(value, &at);
                }
                "securityContext" => self.overlay.pod_security = self.by_key(value, &at),
                "tolerations" => self.overlay.tolerations = self.unkeyed(value, &at),
                "topologySpreadConstraints" => {
                    self.overlay.topology_spread = self.unique(value, &at, SPREAD_KEY);
                }
                "volumes" => self.volumes(value, &at),
                // In every pod template of Spark, and always what Spark itself sets.
                "restartPolicy" if value == "Never" => {}
                field if SPEC_FIELDS.contains(&field) => {
                    let origin = self.origin(&at);
                    self.overlay.scalars.put(Item::new(field, value.clone(), &origin));
                }
                _ => self.unsupported(&at, &SPEC_FIELDS),
            }
        }
    }

    fn volumes(&mut self, value: &Value, path: &str) {
        for (at, volume) in elements(value, path) {
            let name = name_of(volume);
            let at_name = join(&at, "name");
            if !syntax::is_label_name(name) {
                self.report.at(at_name, format!("{name:?} is not valid: {}", syntax::LABEL_NAME));
            } else if name.starts_with(OBJECT_PREFIX) {
                self.report.at(at_name, format!("{name:?} is the injector's own, choose another name"));
            } else if name.starts_with(LOCAL_DIR_PREFIX) {
                // Spark evaluated its own volumes before it sent the pod; another one would change nothing.
                self.report.at(at_name, format!("{name:?} belongs to Spark; use spec.localDirs"));
            } else if self.overlay.volumes.get(name).is_some() {
                self.report.at(at_name, format!("{name:?} stands here twice"));
            } else {
                let origin = self.origin(&at);
                self.overlay.volumes.put(Item::new(name, volume.clone(), &origin));
            }
        }
    }

    fn dns_config(&mut self, value: &Value, path: &str) {
        for (field, content) in fields(value) {
            let at = join(path, field);
            match field.as_str() {
                "nameservers" => self.overlay.nameservers = self.unkeyed(content, &at),
                "options" => self.overlay.dns_options = self.list(content, &at, "name"),
                "searches" => self.overlay.searches = self.unkeyed(content, &at),
                _ => self.unsupported(&at, &["nameservers", "options", "searches"]),
            }
        }
    }

    /// Entries of a list under the field by which they are told apart.
    fn list(&mut self, value: &Value, path: &str, key: &str) -> Keyed {
        let mut keyed = Keyed::default();
        for (at, element) in elements(value, path) {
            let name = element.get(key).and_then(Value::as_str).unwrap_or_default();
            if name.is_empty() {
                self.report.at(join(&at, key), "missing");
            } else if keyed.get(name).is_some() {
                self.report.at(join(&at, key), format!("{name:?} stands here twice"));
            } else {
                let origin = self.origin(&at);
                keyed.put(Item::new(name, element.clone(), &origin));
            }
        }
        keyed
    }

    /// Entries of a list that are told apart by all of their content.
    fn unkeyed(&self, value: &Value, path: &str) -> Keyed {
        let mut keyed = Keyed::default();
        for (at, element) in elements(value, path) {
            keyed.put(Item::new(canonical(element), element.clone(), &self.origin(&at)));
        }
        keyed
    }

    /// Entries of a list that are told apart by texts of theirs, if they have them, else by all of their content.
    fn unique(&mut self, value: &Value, path: &str, texts: &[&str]) -> Keyed {
        let mut keyed = Keyed::default();
        for (at, element) in elements(value, path) {
            let unique = unique_key(element, texts);
            if let Some(key) = unique.as_ref().filter(|key| keyed.get(key).is_some()) {
                self.report
                    .at(&at, format!("{key} stands here twice; {} may stand once", texts.join(" with ")));
            }
            let key = unique.unwrap_or_else(|| canonical(element));
            keyed.put(Item::new(key, element.clone(), &self.origin(&at)));
        }
        keyed
    }

    fn by_key(&self, value: &Value, path: &str) -> Keyed {
        let mut keyed = Keyed::default();
        for (key, value) in fields(value) {
            keyed.put(Item::new(key, value.clone(), &self.origin(&join(path, key))));
        }
        keyed
    }
}

/// Checks where something is to be mounted.
///
/// # Errors
///
/// What is wrong with the path, and what is allowed.
pub(super) fn check_mount_path(path: &str) -> Result<(), String> {
    const ALLOWED: &str = "write an absolute path below / and not below /proc, without '..' and ':', of at most 1,024 characters";
    let fine = path.starts_with('/')
        && path.len() <= 1024
        && !path.contains(':')
        && !path.chars().any(char::is_control)
        && !path.split('/').any(|part| part == "..")
        && clean_path(path) != "/"
        // No container starts with a mount there.
        && clean_path(path).split('/').nth(1) != Some("proc");
    if fine { Ok(()) } else { Err(format!("{path:?} cannot be mounted: {ALLOWED}")) }
}

/// JSON text of a value that does not depend on the order of its keys.
fn canonical(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string()
}

fn name_of(value: &Value) -> &str {
    value.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// Fields of a map; of anything else none, its type has been reported.
fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// Elements of a list with their paths; of anything else none, its type has been reported.
fn elements<'v>(value: &'v Value, path: &str) -> impl Iterator<Item = (String, &'v Value)> + use<'v> {
    let path = path.to_owned();
    value
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .map(move |(index, element)| (format!("{path}[{index}]"), element))
}
