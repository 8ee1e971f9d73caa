//! What is installed: the definition of SparkProfile, the webhook configuration, its authorities, its Service. Pure:
//! each function judges objects as the API server gave them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize as _;
use serde_json::Value;
use spark_injector_certs::{Issuer, read_bundle};

use super::finding::Finding;
use crate::api::names::{INJECT_LABEL, ISOLATE_LABEL};
use crate::api::{self, names};
use crate::catalog::matches_labels;

/// One entry of the webhook configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The path by which it is told from others.
    path: &'static str,
    /// The label by which namespaces ask for it.
    pub(super) label: &'static str,
    /// Its name in the manifests.
    name: &'static str,
}

pub(super) const ENTRIES: [Entry; 2] = [
    Entry { path: "/mutate", label: INJECT_LABEL, name: "pods.spark-injector.io" },
    Entry { path: "/isolate", label: ISOLATE_LABEL, name: "isolation.spark-injector.io" },
];

const APPLY: &str = "apply the manifests of this version";

/// Neither definition nor configuration: what to do first.
pub(super) fn nothing(configuration: &str) -> Finding {
    Finding::failed(
        "installation",
        "",
        format!(
            "spark-injector is not installed in this cluster: there is neither the definition of SparkProfile nor the MutatingWebhookConfiguration {configuration}"
        ),
        "kubectl apply -k manifests/guarded, wait for its Deployment, and ask again; if it should be there, see --context",
    )
}

/// Whether the definition is in effect and knows every field that this version knows.
pub(super) fn definition(found: &Value) -> Finding {
    const CHECK: &str = "definition";
    let conditions = list(found, "/status/conditions");
    let established = conditions
        .iter()
        .any(|condition| text(condition, "type") == "Established" && text(condition, "status") == "True");
    if !established {
        return Finding::failed(
            CHECK,
            "",
            "the API server has not accepted it",
            "look at its conditions: kubectl describe crd sparkprofiles.spark-injector.io",
        );
    }
    let version = |definition: &Value| {
        let versions = list(definition, "/spec/versions");
        versions.iter().find(|version| text(version, "name") == names::VERSION).cloned()
    };
    let Some(served) = version(found).filter(|version| version.get("served") == Some(&Value::Bool(true)))
    else {
        return Finding::failed(CHECK, "", format!("it does not serve version {}", names::VERSION), APPLY);
    };
    let ours = serde_json::to_value(api::crd::definition()).ok().and_then(|ours| version(&ours));
    let schema = |version: &Value| version.pointer("/schema/openAPIV3Schema").cloned().unwrap_or_default();
    let mut missing = Vec::new();
    missing_fields(&schema(&ours.unwrap_or_default()), &schema(&served), "", &mut missing);
    match missing.split_first() {
        None => Finding::passed(CHECK, "", format!("{} with every field of this version", names::VERSION)),
        Some((first, more)) => {
            let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
            Finding::failed(
                CHECK,
                "",
                format!("it does not know the field {first}{more}: the API server drops it without a word"),
                "apply the definition of this version: spark-injector crd | kubectl apply -f -",
            )
        }
    }
}

fn missing_fields(ours: &Value, found: &Value, path: &str, missing: &mut Vec<String>) {
    for (name, schema) in ours.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match found.get("properties").and_then(|properties| properties.get(name)) {
            Some(found) => missing_fields(schema, found, &path, missing),
            None => missing.push(path),
        }
    }
    for part in ["items", "additionalProperties"] {
        if let (Some(ours), Some(found)) = (ours.get(part), found.get(part)) {
            missing_fields(ours, found, path, missing);
        }
    }
}

/// A namespace that wants something from an entry.
pub(super) type Labels<'l> = BTreeMap<&'l str, &'l BTreeMap<String, String>>;

/// Judges one entry: whether it is there, and calls for what it has to, as it has to. `wanting` are the namespaces with
/// its label.
pub(super) fn entry<'c>(
    entry: Entry,
    configuration: &'c Value,
    wanting: &Labels<'_>,
) -> (Finding, Option<&'c Value>) {
    const CHECK: &str = "configuration";
    let calls = |hook: &&Value| {
        let at = |pointer: &str| hook.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        at("/clientConfig/service/path") == entry.path || at("/clientConfig/url").ends_with(entry.path)
    };
    let Some(hook) = list(configuration, "/webhooks").iter().find(calls) else {
        let detail = format!("no entry calls {}", entry.path);
        if wanting.is_empty() {
            return (
                Finding::skipped(CHECK, entry.name, format!("{detail}, and no namespace asks for it")),
                None,
            );
        }
        return (Finding::failed(CHECK, entry.name, detail, APPLY), None);
    };
    let name = hook.get("name").and_then(Value::as_str).unwrap_or(entry.name);
    let mut wrong = deviations(hook);
    wrong.extend(wrong_namespaces(entry, hook, wanting));
    let finding = if wrong.is_empty() {
        let seconds = hook.get("timeoutSeconds").and_then(Value::as_u64).unwrap_or_default();
        Finding::passed(
            CHECK,
            name,
            format!("failurePolicy Fail, {seconds} s, for every namespace that asks"),
        )
    } else {
        Finding::failed(CHECK, name, wrong.join("; "), APPLY)
    };
    (finding, Some(hook))
}

/// spark-submit gives up after ten seconds, and others do after the API server's whole limit.
const LONGEST: u64 = 9;

fn deviations(hook: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let creates_pods = |rule: &Value| {
        let has = |field: &str, value: &str| {
            list(rule, &format!("/{field}")).iter().any(|found| found == value || found == "*")
        };
        has("operations", "CREATE")
            && has("apiGroups", "")
            && has("apiVersions", "v1")
            && (has("resources", "pods") || has("resources", "*/*"))
            && text(rule, "scope") != "Cluster"
    };
    if !list(hook, "/rules").iter().any(creates_pods) {
        wrong.push("no rule for the creation of pods".to_owned());
    }
    for (field, expected, why) in [
        ("failurePolicy", "Fail", "pods start half-configured while the injector is away"),
        ("matchPolicy", "Equivalent", "a request by another version of the API passes by"),
        ("reinvocationPolicy", "IfNeeded", "what other webhooks change afterwards stays"),
        ("sideEffects", "None", "every dry run is refused"),
    ] {
        let found = hook.get(field).and_then(Value::as_str).unwrap_or("unset");
        // To a server without any, the two are the same.
        let found = if found == "NoneOnDryRun" { "None" } else { found };
        if found != expected {
            wrong.push(format!("{field} is {found}, not {expected}: {why}"));
        }
    }
    let seconds = hook.get("timeoutSeconds").and_then(Value::as_u64).unwrap_or_default();
    if seconds > LONGEST {
        wrong.push(format!("timeoutSeconds is {seconds}: spark-submit gives up after 10, set 5"));
    }
    if !list(hook, "/admissionReviewVersions").iter().any(|version| version == "v1") {
        wrong.push("admissionReviewVersions lacks v1".to_owned());
    }
    let selector = hook.get("objectSelector").and_then(Value::as_object);
    if selector.is_some_and(|selector| !selector.is_empty()) {
        wrong.push("objectSelector lets pods choose by a label whether they are seen".to_owned());
    }
    wrong
}

fn wrong_namespaces(entry: Entry, hook: &Value, wanting: &Labels<'_>) -> Vec<String> {
    let selector = hook.get("namespaceSelector").cloned().unwrap_or_default();
    let Ok(selector) = Option::<LabelSelector>::deserialize(selector) else {
        return vec!["namespaceSelector cannot be read".to_owned()];
    };
    let selector = selector.unwrap_or_default();
    let mut wrong = Vec::new();
    let mut left_out = wanting.iter().filter(|(_, labels)| !matches_labels(&selector, labels));
    if let Some((name, _)) = left_out.next() {
        let more = left_out.count();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        wrong.push(format!(
            "namespaceSelector leaves out {name}{more}, with the label {}: enabled",
            entry.label
        ));
    }
    let control_plane = BTreeMap::from([
        ("kubernetes.io/metadata.name".to_owned(), "kube-system".to_owned()),
        (entry.label.to_owned(), "enabled".to_owned()),
    ]);
    if matches_labels(&selector, &control_plane) {
        wrong.push(
            "namespaceSelector does not exclude kube-system: one label there could lock the cluster up"
                .to_owned(),
        );
    }
    wrong
}

/// Whoever renews certificates has done so long before.
const SOON: Duration = Duration::from_secs(24 * 3600);

/// The authorities by which the API server believes the injector.
pub(super) fn bundle(hook: &Value, now: SystemTime) -> (Finding, Vec<Issuer>) {
    const CHECK: &str = "ca_bundle";
    const REMEDY: &str = "with --tls self the injector writes it: look into its log; otherwise put the authority that signed its certificate into clientConfig.caBundle";
    let name = text(hook, "name");
    let encoded = hook.pointer("/clientConfig/caBundle").and_then(Value::as_str).unwrap_or_default();
    if encoded.is_empty() {
        return (
            Finding::failed(CHECK, name, "empty: the API server trusts its own system's authorities", REMEDY),
            Vec::new(),
        );
    }
    let issuers =
        STANDARD.decode(encoded).map_err(|_| "not base64".to_owned()).and_then(|pem| read_bundle(&pem));
    let issuers = match issuers {
        Ok(issuers) => issuers,
        Err(why) => return (Finding::failed(CHECK, name, why, REMEDY), Vec::new()),
    };
    let (valid, invalid): (Vec<Issuer>, Vec<Issuer>) =
        issuers.into_iter().partition(|issuer| issuer.not_before <= now && now < issuer.not_after);
    let last = valid.iter().max_by_key(|issuer| issuer.not_after);
    let finding = match (last, invalid.first()) {
        (None, Some(issuer)) => Finding::failed(
            CHECK,
            name,
            format!("{} is not valid now: until {}", issuer.subject, issuer.until),
            REMEDY,
        ),
        (Some(issuer), _) if issuer.not_after < now + SOON => Finding::failed(
            CHECK,
            name,
            format!("{} ends within a day: {}", issuer.subject, issuer.until),
            REMEDY,
        ),
        (Some(issuer), _) => {
            Finding::passed(CHECK, name, format!("{} until {}", issuer.subject, issuer.until))
        }
        (None, None) => Finding::failed(CHECK, name, "no certificate in it", REMEDY),
    };
    (finding, valid)
}

/// Whether somebody is there who answers.
pub(super) fn endpoints(service: &str, slices: &[Value]) -> Finding {
    const CHECK: &str = "service";
    let ready =
        |endpoint: &&Value| endpoint.pointer("/conditions/ready").and_then(Value::as_bool) != Some(false);
    let endpoints: Vec<&Value> = slices.iter().flat_map(|slice| list(slice, "/endpoints")).collect();
    let count = endpoints.iter().filter(|endpoint| ready(endpoint)).count();
    match count {
        0 => Finding::failed(
            CHECK,
            service,
            format!("no ready replica; {} not ready", endpoints.len()),
            "look at the pods of the injector: kubectl describe pods, and their logs",
        ),
        1 => Finding::passed(
            CHECK,
            service,
            "one ready replica; with two, pods are created while one is replaced",
        ),
        more => Finding::passed(CHECK, service, format!("{more} ready replicas")),
    }
}

/// A field that holds text, empty where there is none.
pub(super) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A list, empty where there is none.
pub(super) fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::check::finding::Verdict;

    fn hook() -> Value {
        json!({
            "name": "pods.spark-injector.io",
            "clientConfig": {"service": {"name": "s", "namespace": "n", "path": "/mutate"}},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
            "namespaceSelector": {
                "matchLabels": {"spark-injector.io/inject": "enabled"},
                "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]}],
            },
            "objectSelector": {}, "failurePolicy": "Fail", "matchPolicy": "Equivalent", "reinvocationPolicy": "IfNeeded",
            "sideEffects": "None", "timeoutSeconds": 5, "admissionReviewVersions": ["v1"],
        })
    }

    fn judged(change: impl FnOnce(&mut Value)) -> Finding {
        let mut hook = hook();
        change(&mut hook);
        let labels = BTreeMap::from([(INJECT_LABEL.to_owned(), "enabled".to_owned())]);
        let wanting = BTreeMap::from([("team-a", &labels)]);
        entry(ENTRIES[0], &json!({"webhooks": [hook]}), &wanting).0
    }

    #[test]
    fn an_entry_as_it_is_shipped_passes() {
        assert_eq!(judged(|_| ()).verdict, Verdict::Passed);
        let nobody = entry(ENTRIES[1], &json!({"webhooks": [hook()]}), &BTreeMap::new()).0;
        assert_eq!(nobody.verdict, Verdict::Skipped);
    }

    #[test]
    fn other_words_for_the_same_pass() {
        type Change = fn(&mut Value);
        let cases: [Change; 4] = [
            |hook| hook["rules"][0]["resources"] = json!(["*/*"]),
            |hook| hook["rules"][0]["resources"] = json!(["*"]),
            |hook| hook["rules"][0]["scope"] = "*".into(),
            |hook| hook["sideEffects"] = "NoneOnDryRun".into(),
        ];
        for change in cases {
            let finding = judged(change);
            assert_eq!(finding.verdict, Verdict::Passed, "{finding:?}");
        }
    }

    #[test]
    fn every_deviation_is_named() {
        type Change = fn(&mut Value);
        let cases: [(Change, &str); 10] = [
            (|hook| hook["clientConfig"]["service"]["path"] = "/x".into(), "no entry calls /mutate"),
            (|hook| hook["rules"][0]["operations"] = json!(["UPDATE"]), "no rule for the creation of pods"),
            (|hook| hook["rules"][0]["scope"] = "Cluster".into(), "no rule for the creation of pods"),
            (|hook| hook["failurePolicy"] = "Ignore".into(), "failurePolicy is Ignore"),
            (|hook| hook["reinvocationPolicy"] = "Never".into(), "reinvocationPolicy is Never"),
            (|hook| hook["timeoutSeconds"] = 10.into(), "timeoutSeconds is 10"),
            (|hook| hook["admissionReviewVersions"] = json!(["v1beta1"]), "lacks v1"),
            (|hook| hook["objectSelector"] = json!({"matchLabels": {"a": "b"}}), "objectSelector"),
            (|hook| hook["namespaceSelector"]["matchLabels"] = json!({"x": "y"}), "leaves out team-a"),
            (|hook| hook["namespaceSelector"]["matchExpressions"] = json!([]), "kube-system"),
        ];
        for (change, said) in cases {
            let finding = judged(change);
            assert_eq!(finding.verdict, Verdict::Failed, "{said}");
            assert!(
                finding.detail.contains(said) && !finding.remedy.is_empty(),
                "{said} in {}",
                finding.detail
            );
        }
    }

    #[test]
    fn a_definition_of_an_older_version_is_found_out() {
        let mut found = serde_json::to_value(api::crd::definition()).unwrap();
        assert_eq!(definition(&found).verdict, Verdict::Failed, "not established");
        found["status"] = json!({"conditions": [{"type": "Established", "status": "True"}]});
        assert_eq!(definition(&found).verdict, Verdict::Passed);
        let pointer = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
        found.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove("enforce");
        assert!(definition(&found).detail.contains("does not know the field spec.enforce"));
        found["spec"]["versions"][0]["served"] = false.into();
        assert!(definition(&found).detail.contains("v1alpha1"));
    }

    #[test]
    fn a_bundle_has_to_be_there_and_to_be_one() {
        let of = |bundle: &str| bundle_finding(bundle).detail;
        assert!(of("").starts_with("empty"));
        assert_eq!(of("%"), "not base64");
        assert_eq!(of(&STANDARD.encode("hello")), "no certificate in it");
    }

    fn bundle_finding(text: &str) -> Finding {
        bundle(&json!({"name": "h", "clientConfig": {"caBundle": text}}), SystemTime::now()).0
    }

    #[test]
    fn endpoints_have_to_be_ready() {
        let slice = |ready: [bool; 2]| {
            vec![json!({"endpoints": ready.map(|ready| json!({"conditions": {"ready": ready}}))})]
        };
        assert_eq!(endpoints("s", &slice([true, true])).detail, "2 ready replicas");
        assert_eq!(endpoints("s", &slice([true, false])).verdict, Verdict::Passed);
        assert_eq!(endpoints("s", &slice([false, false])).verdict, Verdict::Failed);
        assert_eq!(endpoints("s", &[]).verdict, Verdict::Failed);
    }
}
