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
            ("volumes", _) => {
                for (at, volume) in elements(value, &at) {
                    if fields(volume).filter(|(key, _)| *key != "name").count() > 1 {
                        report.at(at, "has two sources; write one: configMap, secret, hostPath, emptyDir, …");
                    }
                }
            }
            ("dnsPolicy", Some(policy)) if !DNS_POLICIES.contains(&policy) => {
                report.at(at, format!("{policy:?} is not a policy; allowed: {}", DNS_POLICIES.join(", ")));
            }
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

fn host_aliases(value: &Value, path: &str, report: &mut Report) {
    for (at, alias) in elements(value, path) {
        let ip = alias.get("ip").and_then(Value::as_str).unwrap_or_default();
        if !ip.is_empty() && ip.parse::<IpAddr>().is_err() {
            report.at(join(&at, "ip"), format!("{ip:?} is not an IP address"));
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
    }
}
