//! What the API server makes of each kind of answer: the rules that this webhook's own answers are built on. A webhook
//! that answers whatever it is told stands in for ours, which gives no bad answer on request.

use std::time::{Duration, Instant};

use acceptance::client::{Api, Namespace, Reply};
use acceptance::cluster::Cluster;
use acceptance::process::wait_until;
use acceptance::recorder::{RawAnswer, Recorder};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::world::driver;

/// What happens to the pod under `failurePolicy: Ignore`, and then under `Fail`.
#[derive(Clone, Copy)]
enum Then {
    /// Nobody was asked, as it were: created as it is, or refused with 500 and the name of the webhook.
    CallFailed,
    /// The policy does not matter: this status, with this in its message.
    Always(u16, &'static str),
    /// Created, and this is in it.
    Created(&'static str),
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

fn status(status: u16, content_type: &str, body: &str) -> RawAnswer {
    RawAnswer { status, headers: vec![("content-type", content_type.to_owned())], body: body.to_owned() }
}

fn altered(review: &Value, change: impl Fn(&mut Value)) -> RawAnswer {
    let mut body: Value =
        serde_json::from_str(&RawAnswer::reviewed(review, &json!({"allowed": true})).body).expect("JSON");
    change(&mut body);
    RawAnswer::json(&body)
}

const CASES: &[Case] = &[
    Case { name: "4xx", answer: |_| status(400, "text/plain", "what a review"), then: Then::CallFailed },
    Case {
        name: "5xx without Retry-After",
        answer: |_| status(500, "text/plain", "no"),
        then: Then::CallFailed,
    },
    Case { name: "not JSON", answer: |_| status(200, "application/json", "}"), then: Then::CallFailed },
    Case {
        name: "cut off",
        answer: |_| status(200, "application/json", "{\"kind\":"),
        then: Then::CallFailed,
    },
    Case { name: "other media type", answer: |_| status(200, "text/html", "<p>"), then: Then::CallFailed },
    Case {
        name: "no response",
        answer: |review| altered(review, |body| body["response"] = Value::Null),
        then: Then::CallFailed,
    },
    Case {
        name: "wrong uid",
        answer: |review| altered(review, |body| body["response"]["uid"] = "other".into()),
        then: Then::CallFailed,
    },
    Case {
        name: "no uid",
        answer: |review| altered(review, |body| body["response"]["uid"] = Value::Null),
        then: Then::CallFailed,
    },
    Case {
        name: "other version",
        answer: |review| altered(review, |body| body["apiVersion"] = "admission.k8s.io/v1beta1".into()),
        then: Then::CallFailed,
    },
    Case {
        name: "other kind",
        answer: |review| altered(review, |body| body["kind"] = "Review".into()),
        then: Then::CallFailed,
    },
    Case {
        name: "patch without type",
        answer: |review| RawAnswer::reviewed(review, &json!({"allowed": true, "patch": BASE64.encode("[]")})),
        then: Then::CallFailed,
    },
    Case {
        name: "type without patch",
        answer: |review| RawAnswer::reviewed(review, &json!({"allowed": true, "patchType": "JSONPatch"})),
        then: Then::CallFailed,
    },
    Case {
        name: "other patch type",
        answer: |review| patched(review, "MergePatch", "{}"),
        then: Then::CallFailed,
    },
    Case {
        name: "patch that is none",
        answer: |review| patched(review, "JSONPatch", "{"),
        then: Then::CallFailed,
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
        then: Then::Created("\"containers\""),
    },
    Case {
        name: "empty patch",
        answer: |review| patched(review, "JSONPatch", "[]"),
        then: Then::Created("\"containers\""),
    },
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
        then: Then::Created("\"containers\""),
    },
    Case {
        name: "an annotation for the audit log with a bad key",
        answer: |review| {
            RawAnswer::reviewed(review, &json!({"allowed": true, "auditAnnotations": {"a b/": "c"}}))
        },
        then: Then::Created("\"containers\""),
    },
    Case {
        name: "a body of 4 MiB",
        answer: |review| altered(review, |body| body["padding"] = "x".repeat(4 << 20).into()),
        then: Then::Created("\"containers\""),
    },
];

/// A recorder for two namespaces, one with each failure policy; the pod's name says how to answer.
fn registered<R>(
    name: &str,
    answer: fn(&str, &Value) -> RawAnswer,
    test: impl FnOnce(&Api, &Recorder) -> R,
) -> R {
    let api = Cluster::shared().admin();
    let recorder = Recorder::start_raw(move |review| {
        answer(review["request"]["name"].as_str().unwrap_or_default(), review)
    });
    let registrations = ["Ignore", "Fail"].map(|policy| {
        let (scope, namespace) = (format!("{name}-{}", policy.to_lowercase()), namespace(name, policy));
        api.create_namespace(&Namespace::new(&namespace).opted_in().label("acceptance/answers", &scope));
        let registration = recorder.registration(&scope).failure_policy(policy).timeout(3);
        let registered = registration.only("acceptance/answers", &scope).register(api);
        let called = wait_until(Duration::from_secs(10), || {
            api.dry_run(&driver(&namespace, "first"));
            recorder.reviews().iter().any(|review| review["request"]["namespace"] == *namespace).then_some(())
        });
        assert!(called.is_some(), "{namespace} does not reach the webhook");
        registered
    });
    let result = test(api, &recorder);
    drop(registrations);
    result
}

fn namespace(name: &str, policy: &str) -> String {
    format!("{name}-{}", policy.to_lowercase())
}

fn fine(review: &Value) -> RawAnswer {
    RawAnswer::reviewed(review, &json!({"allowed": true}))
}

fn case(name: &str, review: &Value) -> RawAnswer {
    let index: Option<usize> = name.strip_prefix("case-").and_then(|index| index.parse().ok());
    index.and_then(|index| CASES.get(index)).map_or_else(|| fine(review), |case| (case.answer)(review))
}

#[test]
fn every_answer_has_the_consequence_that_we_rely_on() {
    registered("answers", case, |api, recorder| {
        for (index, case) in CASES.iter().enumerate() {
            for policy in ["Ignore", "Fail"] {
                recorder.clear();
                let reply = api.dry_run(&driver(&namespace("answers", policy), &format!("case-{index}")));
                let what = format!("{} under {policy}", case.name);
                match (case.then, policy) {
                    (Then::CallFailed, "Ignore") => assert_eq!(reply.status, 201, "{what}: {}", reply.text),
                    (Then::CallFailed, _) => {
                        let begin =
                            "Internal error occurred: failed calling webhook \"pods.spark-injector.io\"";
                        assert_eq!(reply.status, 500, "{what}: {}", reply.text);
                        assert!(reply.message().starts_with(begin), "{what}: {}", reply.message());
                    }
                    (Then::Always(status, text), _) => {
                        assert_eq!(reply.status, status, "{what}: {}", reply.text);
                        assert!(reply.message().contains(text), "{what}: {}", reply.message());
                    }
                    (Then::Created(text), _) => {
                        assert_eq!(reply.status, 201, "{what}: {}", reply.text);
                        assert!(
                            reply.text.contains(text) && !reply.text.contains("nope"),
                            "{what}: {}",
                            reply.text
                        );
                    }
                }
                assert_eq!(recorder.reviews().len(), 1, "{what} is asked again");
            }
        }
    });
}

/// Fails so many times, by the pod's name, before it allows.
fn busy(name: &str, review: &Value) -> RawAnswer {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let Some(code) = name.strip_prefix("busy-").and_then(|code| code.parse().ok()) else {
        return fine(review);
    };
    if ASKED.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
        return fine(review);
    }
    let mut answer = status(code, "text/plain", "busy\n");
    answer.headers.push(("retry-after", "1".to_owned()));
    answer.headers.push(("connection", "close".to_owned()));
    answer
}

/// What a replica says that drains, starts or is overloaded: the API server asks again, and may reach another one.
#[test]
fn retry_after_is_followed_and_the_pod_is_none_the_worse() {
    registered("busy", busy, |api, recorder| {
        for code in [503, 429, 500] {
            recorder.clear();
            let begin = Instant::now();
            let reply = api.dry_run(&driver(&namespace("busy", "Fail"), &format!("busy-{code}")));
            assert_eq!(reply.status, 201, "{code}: {}", reply.text);
            assert_eq!(recorder.reviews().len(), 2, "{code}");
            assert!(begin.elapsed() >= Duration::from_secs(1), "{code} was asked again at once");
        }
    });
}

fn talkative(name: &str, review: &Value) -> RawAnswer {
    let warnings: Vec<String> = match name {
        "few" => vec!["one".to_owned(), "one".to_owned(), "two".to_owned()],
        "long" => (0..5).map(|index| format!("{index}{}", "x".repeat(1000))).collect(),
        _ => Vec::new(),
    };
    RawAnswer::reviewed(review, &json!({"allowed": true, "warnings": warnings}))
}

#[test]
fn warnings_reach_the_user_once_and_within_a_budget() {
    registered("warnings", talkative, |api, _| {
        let ask = |name: &str| -> Reply { api.dry_run(&driver(&namespace("warnings", "Fail"), name)) };
        assert_eq!(ask("few").warnings, ["one", "two"]);
        let lengths: Vec<usize> = ask("long").warnings.iter().map(|text| text.chars().count()).collect();
        assert_eq!(lengths.len(), 5);
        assert!(lengths.iter().all(|length| *length <= 256), "{lengths:?}");
    });
}
