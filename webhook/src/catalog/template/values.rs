//! Values that the type of a field allows and the API server refuses: in a template, one of them would make it refuse
//! every pod of a team.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Toleration;
use serde::Deserialize as _;
use serde_json::Value;

use super::{elements, fields};
use crate::admit::quantity::billionths;
use crate::catalog::decode::join;
use crate::catalog::report::Report;
use crate::catalog::{isolation, syntax};

/// Fields of a pod spec that name another object. (A scheduler is none, and called what it likes.)
const REFERENCES: [&str; 3] = ["priorityClassName", "runtimeClassName", "serviceAccountName"];

/// Of a toleration; the last two compare numbers, behind a feature gate of the API server.
const OPERATORS: [&str; 4] = ["Equal", "Exists", "Gt", "Lt"];

const DNS_POLICIES: [&str; 4] = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];

/// Checks the spec of a template.
pub(super) fn check(spec: &Value, path: &str, report: &mut Report) {
    quantities(spec, path, report);
    for (field, value) in fields(spec) {
        let at = join(path, field);
        match (field.as_str(), value.as_str()) {
            ("hostAliases", _) => host_aliases(value, &at, report),
            ("tolerations", _) => tolerations(value, &at, report),
            ("containers" | "initContainers", _) => {
                elements(value, &at).for_each(|(at, container)| self::container(container, &at, report));
            }
            ("dnsConfig", _) => nameservers(value, &at, report),
            ("topologySpreadConstraints", _) => spread(value, &at, report),
            ("securityContext", _) => security(value, &at, report),
            ("terminationGracePeriodSeconds", _) => not_negative(value, &at, report),
            ("volumes", _) => elements(value, &at).for_each(|(at, found)| volume(found, &at, report)),
            ("dnsPolicy", _) => one_of(Some(value), &DNS_POLICIES, &at, report),
            (field, Some(name)) if REFERENCES.contains(&field) && !syntax::is_subdomain(name) => {
                report.at(at, format!("{name:?} cannot be a name: {}", syntax::SUBDOMAIN));
            }
            _ => {}
        }
    }
}

/// Checks the amounts of resources and the sizes of volumes, at any depth.
pub(in crate::catalog) fn quantities(value: &Value, path: &str, report: &mut Report) {
    for (field, value) in fields(value) {
        let at = join(path, field);
        match field.as_str() {
            "limits" | "requests" => {
                for (resource, amount) in fields(value) {
                    quantity(amount, &join(&at, resource), report);
                }
            }
            "emptyDir" => {
                value.get("sizeLimit").into_iter().for_each(|size| {
                    quantity(size, &join(&at, "sizeLimit"), report);
                });
            }
            _ => quantities(value, &at, report),
        }
    }
    for (at, element) in elements(value, path) {
        quantities(element, &at, report);
    }
}

/// Of another type than a string it has been reported.
fn quantity(value: &Value, at: &str, report: &mut Report) {
    if let Value::String(text) = value
        && billionths(text).is_none_or(|amount| amount < 0)
    {
        report.at(at, format!("{text:?} is not a quantity; write one such as 500m, 2 or 4Gi"));
    }
}

/// Checks a text that has to be one of a few words.
fn one_of(value: Option<&Value>, words: &[&str], at: &str, report: &mut Report) {
    if let Some(word) = value.and_then(Value::as_str).filter(|word| !word.is_empty() && !words.contains(word))
    {
        report.at(at, format!("{word:?} is not possible; allowed: {}", words.join(", ")));
    }
}

fn not_negative(value: &Value, at: &str, report: &mut Report) {
    if value.as_i64().is_some_and(|number| number < 0) {
        report.at(at, "cannot be below 0");
    }
}

fn volume(volume: &Value, at: &str, report: &mut Report) {
    if fields(volume).filter(|(key, _)| *key != "name").count() > 1 {
        report.at(at, "has two sources; write one: configMap, secret, hostPath, emptyDir, …");
    }
    one_of(volume.pointer("/hostPath/type"), &HOST_PATHS, &join(at, "hostPath.type"), report);
}

/// The security context of a pod or of a container.
fn security(context: &Value, at: &str, report: &mut Report) {
    for id in ["fsGroup", "runAsGroup", "runAsUser"] {
        not_negative(context.get(id).unwrap_or(&Value::Null), &join(at, id), report);
    }
    for profile in ["appArmorProfile", "seccompProfile"] {
        let kind = context.get(profile).and_then(|profile| profile.get("type"));
        one_of(kind, &CONFINEMENTS, &join(at, &format!("{profile}.type")), report);
    }
    one_of(context.get("fsGroupChangePolicy"), &GROUP_CHANGES, &join(at, "fsGroupChangePolicy"), report);
}

/// What a probe or a hook does: exactly one thing.
fn handler(value: &Value, handlers: &[&str], at: &str, report: &mut Report) {
    if fields(value).filter(|(field, _)| handlers.contains(&field.as_str())).count() != 1 {
        report.at(at, format!("write exactly one of {}", handlers.join(", ")));
    }
}

const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
const CONFINEMENTS: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
const GROUP_CHANGES: [&str; 2] = ["Always", "OnRootMismatch"];
const HOST_PATHS: [&str; 7] =
    ["BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const PROPAGATIONS: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];
const MESSAGE_POLICIES: [&str; 2] = ["FallbackToLogsOnError", "File"];
const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];
const PROBE_HANDLERS: [&str; 4] = ["exec", "grpc", "httpGet", "tcpSocket"];
const HOOK_HANDLERS: [&str; 4] = ["exec", "httpGet", "sleep", "tcpSocket"];

fn container(container: &Value, path: &str, report: &mut Report) {
    for (field, value) in fields(container) {
        let at = join(path, field);
        match field.as_str() {
            "imagePullPolicy" => one_of(Some(value), &PULL_POLICIES, &at, report),
            "terminationMessagePolicy" => one_of(Some(value), &MESSAGE_POLICIES, &at, report),
            "securityContext" => security(value, &at, report),
            "lifecycle" => {
                for (hook, value) in fields(value).filter(|(hook, _)| *hook != "stopSignal") {
                    handler(value, &HOOK_HANDLERS, &join(&at, hook), report);
                }
            }
            probe if PROBES.contains(&probe) => handler(value, &PROBE_HANDLERS, &at, report),
            _ => {}
        }
    }
    let list = |field: &str| elements(container.get(field).unwrap_or(&Value::Null), &join(path, field));
    for (at, port) in list("ports") {
        one_of(port.get("protocol"), &PROTOCOLS, &join(&at, "protocol"), report);
        // No host port is written as nought, too.
        for (field, least) in [("containerPort", 1), ("hostPort", 0)] {
            let number = port.get(field).and_then(Value::as_i64);
            if let Some(number) = number.filter(|number| !(least..=65_535).contains(number)) {
                report.at(join(&at, field), format!("{number} is not a port; write 1 to 65535"));
            }
        }
        if let Some(name) =
            port.get("name").and_then(Value::as_str).filter(|name| !name.is_empty() && !is_port_name(name))
        {
            let allowed = "at most 15 lower-case letters, digits or single '-' between them, with a letter";
            report.at(join(&at, "name"), format!("{name:?} is not the name of a port: {allowed}"));
        }
    }
    for (at, mount) in list("volumeMounts") {
        one_of(mount.get("mountPropagation"), &PROPAGATIONS, &join(&at, "mountPropagation"), report);
    }
    for (at, variable) in list("env") {
        let name = variable.get("name").and_then(Value::as_str).unwrap_or_default();
        if name.chars().any(|letter| letter == '=' || !matches!(letter, ' '..='~')) {
            let allowed = "printable ASCII characters other than '='";
            report.at(join(&at, "name"), format!("{name:?} is not the name of a variable: {allowed}"));
        }
    }
}

fn is_port_name(name: &str) -> bool {
    name.len() <= 15
        && syntax::is_label_name(name)
        && !name.contains("--")
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
}

fn nameservers(dns: &Value, path: &str, report: &mut Report) {
    let servers = dns.get("nameservers").unwrap_or(&Value::Null);
    for (at, server) in elements(servers, &join(path, "nameservers")) {
        if let Some(server) = server.as_str() {
            address(server, &at, report);
        }
    }
}

fn address(ip: &str, at: &str, report: &mut Report) {
    if ip.parse::<IpAddr>().is_err() {
        report.at(at, format!("{ip:?} is not an IP address"));
    }
}

fn spread(value: &Value, path: &str, report: &mut Report) {
    for (at, constraint) in elements(value, path) {
        let actions = ["DoNotSchedule", "ScheduleAnyway"];
        one_of(constraint.get("whenUnsatisfiable"), &actions, &join(&at, "whenUnsatisfiable"), report);
        for field in ["maxSkew", "topologyKey", "whenUnsatisfiable"] {
            if constraint.get(field).is_none_or(Value::is_null) {
                report.at(join(&at, field), "missing; every constraint has one");
            }
        }
        if constraint.get("maxSkew").and_then(Value::as_i64).is_some_and(|skew| skew < 1) {
            report.at(join(&at, "maxSkew"), "has to be 1 or more");
        }
    }
}

fn host_aliases(value: &Value, path: &str, report: &mut Report) {
    for (at, alias) in elements(value, path) {
        let ip = alias.get("ip").and_then(Value::as_str).unwrap_or_default();
        if !ip.is_empty() {
            address(ip, &join(&at, "ip"), report);
        }
        let names = alias.get("hostnames").unwrap_or(&Value::Null);
        for (at, name) in elements(names, &join(&at, "hostnames")) {
            if let Some(name) = name.as_str().filter(|name| !syntax::is_subdomain(name)) {
                report.at(at, format!("{name:?} is not a host name: {}", syntax::SUBDOMAIN));
            }
        }
    }
}

fn tolerations(value: &Value, path: &str, report: &mut Report) {
    // Of another type they have been reported.
    if let Ok(tolerations) = Vec::<Toleration>::deserialize(value) {
        isolation::check_tolerations(&tolerations, &OPERATORS, path, report);
        for (index, toleration) in tolerations.iter().enumerate() {
            let value = toleration.value.as_deref().unwrap_or_default();
            if !syntax::is_label_value(value) {
                let message = format!("{value:?} is not a label value: {}", syntax::LABEL_VALUE);
                report.at(format!("{path}[{index}].value"), message);
            }
            let ends = toleration.effect.as_deref() == Some("NoExecute");
            if toleration.toleration_seconds.is_some() && !ends {
                let message = "only with effect NoExecute, the only one that ends anything";
                report.at(format!("{path}[{index}].tolerationSeconds"), message);
            }
        }
    }
}
