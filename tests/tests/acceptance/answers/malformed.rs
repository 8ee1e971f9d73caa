//! Reviews that arrive broken. The API server sends none, so somebody on the way breaks those that it sends, gives them
//! to the real webhook, and the API server that webhook's answer.

use std::sync::{Arc, Mutex};

use acceptance::client::{Credential, Namespace};
use acceptance::cluster::Cluster;
use acceptance::recorder::RawAnswer;
use acceptance::registration::STATUS_ANNOTATION;
use acceptance::webhook::Webhook;
use serde_json::{Value, json};

use super::{POLICIES, assert_call_failed, namespace, recorder};
use crate::world::{driver, one_file, profile};

/// Stands in each review: nothing that anybody is told may quote it.
const CANARY: &str = "canary-of-a-review";

/// What arrives instead of a review.
struct Arrives {
    method: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
}

struct Case {
    name: &'static str,
    breaks: fn(&Value) -> Arrives,
    status: u16,
    /// A part of the sentence.
    says: &'static str,
}

fn json_of(body: &Value) -> Arrives {
    bytes(body.to_string().into_bytes())
}

fn bytes(body: Vec<u8>) -> Arrives {
    Arrives { method: "POST", content_type: "application/json", body }
}

fn with(review: &Value, key: &str, value: Value) -> Arrives {
    let mut review = review.clone();
    review[key] = value;
    json_of(&review)
}

const CASES: [Case; 9] = [
    Case {
        name: "no request",
        breaks: |review| with(review, "request", Value::Null),
        status: 400,
        says: "no request",
    },
    Case {
        name: "a response instead of a request",
        breaks: |review| {
            let response = json!({"uid": review["request"]["uid"], "allowed": true, "warnings": [CANARY]});
            json_of(
                &json!({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}),
            )
        },
        status: 400,
        says: "no request",
    },
    Case {
        name: "v1beta1",
        breaks: |review| with(review, "apiVersion", "admission.k8s.io/v1beta1".into()),
        status: 400,
        says: "admission.k8s.io/v1",
    },
    Case {
        name: "another kind",
        breaks: |review| with(review, "kind", "Review".into()),
        status: 400,
        says: "AdmissionReview",
    },
    Case {
        name: "an array",
        breaks: |review| json_of(&json!([review])),
        status: 400,
        says: "is not an AdmissionReview",
    },
    Case { name: "nothing", breaks: |_| bytes(Vec::new()), status: 400, says: "empty" },
    Case {
        name: "not JSON",
        breaks: |_| bytes(format!("kind: {CANARY}").into_bytes()),
        status: 400,
        says: "not JSON",
    },
    Case {
        name: "another content type",
        breaks: |review| Arrives { content_type: "application/yaml", ..json_of(review) },
        status: 415,
        says: "content type",
    },
    Case {
        name: "GET",
        breaks: |review| Arrives { method: "GET", ..json_of(review) },
        status: 405,
        says: "posted",
    },
];

#[test]
fn a_review_that_arrives_broken_is_refused_once_and_never_quoted() {
    let api = Cluster::shared().admin();
    let folder = tempfile::tempdir().expect("a folder");
    let mut documents = Vec::new();
    for policy in POLICIES {
        let name = namespace("malformed", policy);
        documents.push(profile(&name, &json!({"files": one_file()})));
        documents.push(Namespace::new(&name).opted_in().object());
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": documents});
    std::fs::write(folder.path().join("all.json"), list.to_string()).expect("a file");
    let webhook = Webhook::start(folder.path(), &[]);
    let direct = webhook.direct(Credential::None);

    let answers = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&answers);
    let (recorder, _registered) = recorder(api, "malformed", move |name, review| {
        let case = name.strip_prefix("case-").and_then(|index| CASES.get(index.parse::<usize>().ok()?));
        let whole = |review: &Value| json_of(review);
        let Arrives { method, content_type, body } = case.map_or(whole as _, |case| case.breaks)(review);
        let reply =
            tokio::task::block_in_place(|| direct.send(method, "/mutate?timeout=3s", content_type, body));
        let reply = reply.expect("an answer, whatever arrives");
        let header = |name| Some((name, reply.headers.get(name)?.to_str().ok()?.to_owned()));
        let headers = ["content-type", "retry-after", "allow"].into_iter().filter_map(header).collect();
        let answer = RawAnswer { status: reply.status, headers, body: reply.text };
        kept.lock().expect("no panic in here").push(answer.clone());
        answer
    });

    for policy in POLICIES {
        for (index, case) in CASES.iter().enumerate() {
            let mut pod = driver(&namespace("malformed", policy), &format!("case-{index}"));
            pod["metadata"]["annotations"] = json!({"canary": CANARY});
            recorder.clear();
            answers.lock().expect("the answers").clear();
            let what = format!("{} under {policy}", case.name);
            let reply = api.dry_run(&pod);
            let told = assert_call_failed(policy, &reply, &what);
            assert!(!told.contains(CANARY), "{what}: {told}");
            assert_eq!(recorder.reviews().len(), 1, "{what} is asked again");
            let given = answers.lock().expect("the answers");
            let [answer] = given.as_slice() else { panic!("{what}: {given:?}") };
            assert_eq!(answer.status, case.status, "{what}: {answer:?}");
            assert!(answer.body.contains(case.says) && !answer.body.contains(CANARY), "{what}: {answer:?}");
            assert!(answer.headers.iter().all(|(name, _)| *name != "retry-after"), "{what}: {answer:?}");
        }
        // Whoever was broken before, the next one is served.
        let whole = api.dry_run(&driver(&namespace("malformed", policy), "whole")).expect(201);
        assert!(whole["metadata"]["annotations"][STATUS_ANNOTATION].is_string(), "{whole}");
    }
    let log = webhook.log().join("\n");
    assert!(!log.contains(CANARY), "{log}");
}
