//! One way to admit a pod: the bytes of a review in, the bytes of the answer out, and `judge` beside it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use spark_injector::admit::{self, Answer, Outcome, Verdict};
use spark_injector::catalog::Catalog;

use super::TEAM;

/// What the API server makes of an answer.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) answer: Answer,
    pub(crate) allowed: bool,
    pub(crate) code: u64,
    pub(crate) message: String,
    pub(crate) warnings: Vec<String>,
    /// Null where there is none.
    pub(crate) patch: Value,
    /// The pod after the patch.
    pub(crate) pod: Value,
}

/// The body of a call for the creation of a pod.
pub(crate) fn body(namespace: &str, pod: &Value) -> Vec<u8> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "7ce42c82-1807-4e8c-b5bf-992dc9e9c616",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "namespace": namespace, "operation": "CREATE", "object": pod,
        },
    });
    review.to_string().into_bytes()
}

/// The `response` of an answer, after the checks that hold for every answer.
pub(crate) fn response(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body.to_vec()));
    let review: Value = serde_json::from_slice(&answer.body.to_vec()).unwrap();
    assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(review["kind"], "AdmissionReview");
    let response = review["response"].clone();
    assert_eq!(response["uid"], answer.record.uid);
    assert_eq!(response.get("patch").is_some(), response.get("patchType").is_some(), "both or neither");
    if response["allowed"] == false {
        assert!(response.get("patch").is_none(), "a denial has no patch");
        assert!(response["status"]["message"].as_str().unwrap().len() <= 1024);
    }
    let warnings = response["warnings"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert!(warnings.len() <= 5, "{warnings:?}");
    for warning in warnings {
        assert!(warning.as_str().unwrap().chars().count() <= 120, "{warning}");
    }
    check_audit(answer, &response["auditAnnotations"]);
    response
}

/// Keys that the API server keeps, and of the answer nothing but words of ours.
fn check_audit(answer: &Answer, annotations: &Value) {
    let Answer { record, .. } = answer;
    let decision = format!("{}: {}", record.outcome.as_str(), record.reason);
    let expected = [("decision", &decision), ("profile", &record.profile), ("revision", &record.revision)];
    let expected = expected.into_iter().filter(|(_, value)| !value.is_empty());
    let expected: serde_json::Map<_, _> =
        expected.map(|(key, value)| (key.to_owned(), Value::from(value.as_str()))).collect();
    assert_eq!(annotations.as_object(), Some(&expected));
}

/// Admits a pod, applies the patch with another engine, and compares with `judge`.
pub(crate) fn admit(catalog: &Catalog, namespace: &str, pod: &Value) -> Admitted {
    let answer = admit::review(catalog, &body(namespace, pod));
    admitted(answer, &admit::judge(catalog, namespace, pod), pod)
}

/// As [`admit`], by the entry for isolated namespaces.
pub(crate) fn isolate(catalog: &Catalog, namespace: &str, pod: &Value) -> Admitted {
    let answer = admit::isolate(catalog, &body(namespace, pod));
    admitted(answer, &admit::judge_isolation(catalog, namespace, pod), pod)
}

fn admitted(answer: Answer, verdict: &Verdict, pod: &Value) -> Admitted {
    let response = response(&answer);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let patch = response.get("patch").map_or(Value::Null, |patch| {
        assert_eq!(response["patchType"], "JSONPatch");
        let json = STANDARD.decode(patch.as_str().unwrap()).unwrap();
        serde_json::from_slice(&json).unwrap()
    });
    let mut patched = pod.clone();
    if !patch.is_null() {
        let operations: json_patch::Patch = serde_json::from_value(patch.clone()).unwrap();
        json_patch::patch(&mut patched, &operations)
            .unwrap_or_else(|error| panic!("{error}\n{patch:#}\n{pod:#}"));
    }
    assert_eq!(verdict.record.outcome, answer.record.outcome);
    assert_eq!(verdict.record.message, answer.record.message);
    let operations = verdict.patch.as_array().unwrap();
    assert_eq!(*operations, patch.as_array().cloned().unwrap_or_default(), "judge and review agree");
    Admitted {
        allowed: response["allowed"] == true,
        code: response["status"]["code"].as_u64().unwrap_or_default(),
        message: text(&response["status"]["message"]),
        warnings: response["warnings"].as_array().into_iter().flatten().map(text).collect(),
        patch,
        pod: patched,
        answer,
    }
}

/// The pod as it is injected in `team-a`, without a warning.
pub(crate) fn inject(catalog: &Catalog, pod: &Value) -> Value {
    let (pod, warnings) = inject_with_warnings(catalog, pod);
    assert!(warnings.is_empty(), "{warnings:?}");
    pod
}

/// The pod as it is injected in `team-a`, and what its user is told.
pub(crate) fn inject_with_warnings(catalog: &Catalog, pod: &Value) -> (Value, Vec<String>) {
    let first = admit(catalog, TEAM, pod);
    assert!(first.allowed, "{}", first.message);
    assert_eq!(first.answer.record.outcome, Outcome::Injected, "{}", first.answer.record.message);
    let second = admit(catalog, TEAM, &first.pod);
    assert!(second.allowed, "the second call: {}", second.message);
    assert!(second.patch.is_null(), "the second call: {:#}", second.patch);
    (first.pod, first.warnings)
}

/// The code and message of the refusal of a pod in `team-a`.
pub(crate) fn denied(catalog: &Catalog, pod: &Value) -> (u64, String) {
    let admitted = admit(catalog, TEAM, pod);
    assert!(!admitted.allowed, "{:#}", admitted.patch);
    assert_eq!(admitted.answer.record.outcome, Outcome::Denied);
    (admitted.code, admitted.message)
}

/// Admits a pod that is left alone, and gives the reason.
pub(crate) fn untouched(catalog: &Catalog, namespace: &str, pod: &Value) -> &'static str {
    let admitted = admit(catalog, namespace, pod);
    assert!(admitted.allowed, "{}", admitted.message);
    assert!(admitted.patch.is_null(), "{:#}", admitted.patch);
    admitted.answer.record.reason
}
