//! Answers that no webhook should give, each once.

use acceptance::cluster::Cluster;
use acceptance::recorder::RawAnswer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::{POLICIES, assert_call_failed, fine, namespace, recorder, status};
use crate::world::driver;

/// What happens to the pod under `failurePolicy: Ignore`, and then under `Fail`.
#[derive(Clone, Copy)]
enum Then {
    /// Nobody was asked, as it were: created as it is, or refused with 500, the name of the webhook, and this.
    CallFailed(&'static str),
    /// The policy does not matter: this status, with this in its message.
    Always(u16, &'static str),
    /// Created as it is.
    Created,
}

struct Case {
    name: &'static str,
    answer: fn(&Value) -> RawAnswer,
    then: Then,
}

fn patched(review: &Value, patch_type: &str, patch: &str) -> RawAnswer {
    let response = json!({"allowed": true, "patchType": patch_type, "patch": BASE64.encode(patch)});
    RawAnswer::reviewed(review, &response)
}

fn altered(review: &Value, change: impl Fn(&mut Value)) -> RawAnswer {
    let mut body: Value =
        serde_json::from_str(&RawAnswer::reviewed(review, &json!({"allowed": true})).body).expect("JSON");
    change(&mut body);
    RawAnswer::json(&body)
}

/// A patch that applies.
const LABEL: &str = r#"[{"op": "add", "path": "/metadata/labels/nope", "value": "a"}]"#;

const CASES: &[Case] = &[
    Case {
        name: "4xx",
        answer: |_| status(400, "text/plain", "what a review"),
        then: Then::CallFailed("the server rejected our request"),
    },
    Case {
        name: "5xx without Retry-After",
        answer: |_| status(500, "text/plain", "no"),
        then: Then::CallFailed("an error on the server (\"no\")"),
    },
    Case {
        name: "not JSON",
        answer: |_| status(200, "application/json", "}"),
        then: Then::CallFailed("failed to call webhook: "),
    },
    Case {
        name: "cut off",
        answer: |_| status(200, "application/json", "{\"kind\":"),
        then: Then::CallFailed("unexpected end of JSON input"),
    },
    Case {
        name: "a review under another media type",
        answer: |review| RawAnswer { headers: vec![("content-type", "text/html".into())], ..fine(review) },
        then: Then::Created,
    },
    Case {
        name: "a page",
        answer: |_| status(200, "text/html", "<p>"),
        then: Then::CallFailed("couldn't get version/kind"),
    },
    Case {
        name: "no response",
        answer: |review| altered(review, |body| body["response"] = Value::Null),
        then: Then::CallFailed("webhook response was absent"),
    },
    Case {
        name: "wrong uid",
        answer: |review| altered(review, |body| body["response"]["uid"] = "other".into()),
        then: Then::CallFailed("expected response.uid"),
    },
    Case {
        name: "no uid",
        answer: |review| altered(review, |body| body["response"]["uid"] = Value::Null),
        then: Then::CallFailed("expected response.uid"),
    },
    Case {
        name: "other version",
        answer: |review| altered(review, |body| body["apiVersion"] = "admission.k8s.io/v1beta1".into()),
        then: Then::CallFailed("unknown conversion"),
    },
    Case {
        name: "other kind",
        answer: |review| altered(review, |body| body["kind"] = "Review".into()),
        then: Then::CallFailed("no kind \"Review\" is registered"),
    },
    Case {
        name: "patch without type",
        answer: |review| RawAnswer::reviewed(review, &json!({"allowed": true, "patch": BASE64.encode("[]")})),
        then: Then::CallFailed("response.patch but not response.patchType"),
    },
    Case {
        name: "type without patch",
        answer: |review| RawAnswer::reviewed(review, &json!({"allowed": true, "patchType": "JSONPatch"})),
        then: Then::CallFailed("response.patchType but not response.patch"),
    },
    Case {
        name: "other patch type",
        answer: |review| patched(review, "MergePatch", LABEL),
        then: Then::CallFailed("unsupported patch type"),
    },
    Case {
        name: "patch type without a letter",
        answer: |review| patched(review, "", LABEL),
        then: Then::CallFailed("invalid response.patchType"),
    },
    Case {
        name: "patch that is none",
        answer: |review| patched(review, "JSONPatch", "{"),
        then: Then::CallFailed("undecodable patch"),
    },
    Case {
        name: "patch that does not apply",
        answer: |review| {
            patched(review, "JSONPatch", r#"[{"op": "replace", "path": "/spec/nope/x", "value": 1}]"#)
        },
        then: Then::Always(500, "missing path"),
    },
    Case {
        name: "patch whose test fails",
        answer: |review| {
            patched(review, "JSONPatch", r#"[{"op": "test", "path": "/metadata/name", "value": "other"}]"#)
        },
        then: Then::Always(500, "test failed"),
    },
    Case {
        name: "patch to a wrong type",
        answer: |review| {
            patched(review, "JSONPatch", r#"[{"op": "add", "path": "/spec/nodeSelector", "value": "a"}]"#)
        },
        then: Then::Always(500, "cannot unmarshal string"),
    },
    Case {
        name: "patch to an invalid pod",
        answer: |review| {
            patched(
                review,
                "JSONPatch",
                r#"[{"op": "add", "path": "/spec/nodeSelector", "value": {"a b": "c"}}]"#,
            )
        },
        then: Then::Always(422, "spec.nodeSelector"),
    },
    Case {
        name: "patch with an unknown field",
        answer: |review| patched(review, "JSONPatch", r#"[{"op": "add", "path": "/spec/nope", "value": 1}]"#),
        then: Then::Created,
    },
    Case { name: "empty patch", answer: |review| patched(review, "JSONPatch", "[]"), then: Then::Created },
    Case {
        name: "refused without a word",
        answer: |review| RawAnswer::reviewed(review, &json!({"allowed": false})),
        then: Then::Always(400, "denied the request without explanation"),
    },
    Case {
        name: "refused with a low code",
        answer: |review| {
            let status = json!({"code": 200, "status": "Success", "message": "a reason"});
            RawAnswer::reviewed(review, &json!({"allowed": false, "status": status}))
        },
        then: Then::Always(400, "\" denied the request: a reason"),
    },
    Case {
        name: "refused with a code",
        answer: |review| {
            let patch = BASE64.encode(r#"[{"op": "replace", "path": "/spec/nope/x", "value": 1}]"#);
            RawAnswer::reviewed(
                review,
                &json!({"allowed": false, "patchType": "JSONPatch", "patch": patch,
                                                "status": {"code": 422, "message": "a reason"}}),
            )
        },
        then: Then::Always(422, "\" denied the request: a reason"),
    },
    Case {
        name: "allowed with a status",
        answer: |review| RawAnswer::reviewed(review, &json!({"allowed": true, "status": {"code": 403}})),
        then: Then::Created,
    },
    Case {
        name: "an annotation for the audit log with a bad key",
        answer: |review| {
            RawAnswer::reviewed(review, &json!({"allowed": true, "auditAnnotations": {"a b/": "c"}}))
        },
        then: Then::Created,
    },
    Case {
        name: "a body of 4 MiB",
        answer: |review| altered(review, |body| body["padding"] = "x".repeat(4 << 20).into()),
        then: Then::Created,
    },
];

fn case(name: &str, review: &Value) -> RawAnswer {
    let index: Option<usize> = name.strip_prefix("case-").and_then(|index| index.parse().ok());
    index.and_then(|index| CASES.get(index)).map_or_else(|| fine(review), |case| (case.answer)(review))
}

#[test]
fn every_answer_has_the_consequence_that_we_rely_on() {
    let api = Cluster::shared().admin();
    let (recorder, _registered) = recorder(api, "answers", case);
    for (index, case) in CASES.iter().enumerate() {
        for policy in POLICIES {
            recorder.clear();
            let reply = api.dry_run(&driver(&namespace("answers", policy), &format!("case-{index}")));
            let what = format!("{} under {policy}", case.name);
            match case.then {
                Then::CallFailed(says) => {
                    let told = assert_call_failed(policy, &reply, &what);
                    assert!(policy == "Ignore" || told.contains(says), "{what}: {told}");
                }
                Then::Always(status, text) => {
                    assert_eq!(reply.status, status, "{what}: {}", reply.text);
                    assert!(reply.message().contains(text), "{what}: {}", reply.message());
                }
                Then::Created => {
                    assert_eq!(reply.status, 201, "{what}: {}", reply.text);
                    let whole = reply.text.contains("\"containers\"") && !reply.text.contains("nope");
                    assert!(whole, "{what}: {}", reply.text);
                }
            }
            assert_eq!(recorder.reviews().len(), 1, "{what} is asked again");
        }
    }
}
