//! What the API server makes of each kind of answer, and of none: the rules that this webhook's own answers are built
//! on, asked of the API server itself under both failure policies.
//!
//! | module | asks |
//! | --- | --- |
//! | [`table`] | about answers that ours never gives: a webhook that answers whatever it is told stands in |
//! | [`again`] | which answers are asked for again, how often, and where the API server is led elsewhere |
//! | [`malformed`] | what ours says to a review that arrives broken |
//! | [`silence`] | what happens while ours is away, hangs, dies, or is not whom the API server expects |
//! | [`told`] | what reaches the user and the audit log |

mod again;
mod malformed;
mod silence;
mod table;
mod told;

use std::time::Duration;

use acceptance::client::{Api, Namespace, Reply};
use acceptance::process::wait_until;
use acceptance::recorder::{RawAnswer, Recorder};
use acceptance::registration::{Registered, Registration, STATUS_ANNOTATION};
use serde_json::{Value, json};

use crate::world::driver;

const LABEL: &str = "acceptance/answers";
const POLICIES: [&str; 2] = ["Ignore", "Fail"];

/// The namespace in which a test's webhook has this failure policy.
fn namespace(test: &str, policy: &str) -> String {
    format!("{test}-{}", policy.to_lowercase())
}

/// Registers a webhook for two namespaces of this test, one with each failure policy.
fn under_both(api: &Api, test: &str, registration: impl Fn(&str) -> Registration) -> [Registered; 2] {
    POLICIES.map(|policy| {
        let name = namespace(test, policy);
        api.create_namespace(&Namespace::new(&name).opted_in().label(LABEL, &name));
        registration(&name).failure_policy(policy).only(LABEL, &name).register(api)
    })
}

/// A webhook that answers as the pod's name says, in effect in both namespaces of the test.
fn recorder(
    api: &Api,
    test: &str,
    answer: impl Fn(&str, &Value) -> RawAnswer + Send + Sync + 'static,
) -> (Recorder, [Registered; 2]) {
    let recorder = Recorder::start_raw(move |review| {
        answer(review["request"]["name"].as_str().unwrap_or_default(), review)
    });
    let registered = under_both(api, test, |name| recorder.registration(name).timeout(3));
    for policy in POLICIES {
        let name = namespace(test, policy);
        let called = wait_until(Duration::from_secs(10), || {
            api.dry_run(&driver(&name, "first"));
            recorder.reviews().iter().any(|review| review["request"]["namespace"] == *name).then_some(())
        });
        assert!(called.is_some(), "{name} does not reach the webhook");
    }
    (recorder, registered)
}

/// Allowed as it is.
fn fine(review: &Value) -> RawAnswer {
    RawAnswer::reviewed(review, &json!({"allowed": true}))
}

/// An answer in HTTP's own words.
fn status(status: u16, content_type: &str, body: &str) -> RawAnswer {
    RawAnswer { status, headers: vec![("content-type", content_type.to_owned())], body: body.to_owned() }
}

/// Asserts that nobody was asked, as it were: under `Ignore` the pod is created as it is, under `Fail` it is refused in
/// the webhook's name. Returns what the refused user reads.
#[track_caller]
fn assert_call_failed(policy: &str, reply: &Reply, what: &str) -> String {
    if policy == "Ignore" {
        assert_eq!(reply.status, 201, "{what}: {}", reply.text);
        assert!(reply.body["metadata"]["annotations"][STATUS_ANNOTATION].is_null(), "{what}: {}", reply.text);
        return String::new();
    }
    let begin = "Internal error occurred: failed calling webhook \"pods.spark-injector.io\": ";
    assert_eq!(reply.status, 500, "{what}: {}", reply.text);
    let rest = reply.message().strip_prefix(begin);
    rest.unwrap_or_else(|| panic!("{what}: {}", reply.message())).to_owned()
}
