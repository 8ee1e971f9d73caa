//! What an answer of the API server to a request about a Secret means. Nothing of its text is passed on but what is
//! known to hold no value: a message may quote the object, and policies of others may write what they like. Pure.

use serde::Deserialize;

use crate::cluster::refusal::{denier, word};

/// The part of a `Status` that is looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    reason: String,
    message: String,
    details: Details,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    kind: String,
    causes: Vec<Cause>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
}

/// What an answer means.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// Done as asked: made, or deleted.
    Done,
    /// A Secret of this name is there already.
    Present,
    /// There is no Secret of this name.
    Absent,
    /// The namespace is not there, or will soon not be.
    Ending,
    /// This namespace does not take it, now and for reasons of its own.
    Refused(Failure),
    /// An error that may pass, and may be this namespace's own.
    Failed(Failure),
    /// The API server has no time, or is not there.
    Away,
}

/// Why a namespace has not what it should have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Failure {
    /// One word for programs.
    pub(super) reason: &'static str,
    /// What it is and what to do.
    pub(super) message: String,
}

impl Failure {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Reads an answer.
pub(super) fn read(code: u16, status: &Status) -> Answer {
    match code {
        200..=299 => Answer::Done,
        409 if status.reason == "AlreadyExists" => Answer::Present,
        // Whoever refuses may give any code: one that sounds of a busy server, or of a Secret that is not there, is a word
        // about this namespace all the same.
        400..=499 | 502..=504 if denier(&status.message).is_some() => denied(status),
        404 if status.details.kind == "namespaces" => Answer::Ending,
        404 if status.details.kind == "secrets" => Answer::Absent,
        // 409: another writer was faster, as at a quota. 401: the token is being renewed, or nobody is served. 404 of
        // something else: not the API server's own words, and what is taken for absent is never removed.
        401 | 404 | 409 | 429 | 502..=504 => Answer::Away,
        403 => forbidden(status),
        413 => Answer::Refused(Failure::new(
            "TooLarge",
            "the API server takes no object of this size; make the files smaller",
        )),
        422 => Answer::Refused(Failure::new(
            "Invalid",
            "the API server takes no such Secret; look at the sources of the profile",
        )),
        500.. => Answer::Failed(Failure::new("ServerError", server_error(code, status))),
        _ => Answer::Refused(Failure::new(
            "Rejected",
            format!("the API server answers {code}{}", word(&status.reason)),
        )),
    }
}

fn forbidden(status: &Status) -> Answer {
    if status.details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating") {
        return Answer::Ending;
    }
    if let Some(quota) = quota(&status.message) {
        return Answer::Refused(Failure::new(
            "QuotaExceeded",
            format!("{quota}; raise the quota, or remove Secrets that nobody needs"),
        ));
    }
    // RBAC speaks of the resource, admission of the object.
    if status.message.contains(" cannot create resource ")
        || status.message.contains(" cannot delete resource ")
    {
        let message =
            "RBAC does not allow spark-injector to create and delete Secrets here; apply its ClusterRole";
        return Answer::Refused(Failure::new("NotPermitted", message));
    }
    denied(status)
}

fn denied(status: &Status) -> Answer {
    let who = denier(&status.message).unwrap_or_else(|| "an admission plugin of the cluster".to_owned());
    let message = format!(
        "{who} refuses the Secret; let it admit Secrets named spark-injector-* that spark-injector makes"
    );
    Answer::Refused(Failure::new("Denied", message))
}

/// The sentence of the quota plugin, if it is exactly that.
fn quota(message: &str) -> Option<&str> {
    let sentence = message.split_once(" is forbidden: ")?.1;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " .,:=/_-".contains(c);
    let is_sentence =
        sentence.starts_with("exceeded quota: ") && sentence.len() <= 300 && sentence.chars().all(is_plain);
    is_sentence.then_some(sentence)
}

fn server_error(code: u16, status: &Status) -> String {
    format!(
        "the API server answers {code}{}, perhaps because a webhook for Secrets fails",
        word(&status.reason)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, status: &str) -> Answer {
        read(code, &serde_json::from_str(status).unwrap())
    }

    fn failure(code: u16, status: &str) -> Failure {
        match answer(code, status) {
            Answer::Refused(failure) | Answer::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn answers_have_one_meaning() {
        assert_eq!(answer(201, "{}"), Answer::Done);
        assert_eq!(answer(409, r#"{"reason": "AlreadyExists"}"#), Answer::Present);
        assert_eq!(answer(409, r#"{"reason": "Conflict"}"#), Answer::Away);
        assert_eq!(answer(404, r#"{"details": {"kind": "namespaces"}}"#), Answer::Ending);
        assert_eq!(answer(404, r#"{"details": {"kind": "secrets"}}"#), Answer::Absent);
        assert_eq!(answer(404, "{}"), Answer::Away, "a page of something in between");
        let ending = r#"{"message": "x is forbidden: y", "details": {"causes": [{"reason": "NamespaceTerminating"}]}}"#;
        assert_eq!(answer(403, ending), Answer::Ending);
        assert_eq!(answer(503, "{}"), Answer::Away);
    }

    #[test]
    fn a_quota_is_named_with_its_figures() {
        let quota = failure(
            403,
            r#"{"message": "secrets \"a\" is forbidden: exceeded quota: q, requested: count/secrets=1, used: count/secrets=1, limited: count/secrets=1"}"#,
        );
        assert_eq!(quota.reason, "QuotaExceeded");
        assert!(
            quota.message.starts_with("exceeded quota: q, requested: count/secrets=1, used"),
            "{}",
            quota.message
        );
    }

    #[test]
    fn who_refuses_is_named() {
        for (code, status, name) in [
            (
                422,
                r#"{"message": "secrets \"x\" is forbidden: ValidatingAdmissionPolicy 'some.policy' with binding 'b' denied request: quotes CANARY"}"#,
                "the ValidatingAdmissionPolicy some.policy refuses",
            ),
            (
                403,
                r#"{"message": "admission webhook \"a.example.com\" denied the request: CANARY"}"#,
                "the admission webhook a.example.com refuses",
            ),
            (
                403,
                r#"{"message": "secrets \"x\" is forbidden: CANARY"}"#,
                "an admission plugin of the cluster refuses",
            ),
            // Their own codes, as if it were the API server that has no time.
            (
                429,
                r#"{"message": "admission webhook \"a.example.com\" denied the request: CANARY"}"#,
                "the admission webhook a.example.com refuses",
            ),
            (
                503,
                r#"{"message": "admission webhook \"a.example.com\" denied the request: CANARY"}"#,
                "the admission webhook a.example.com refuses",
            ),
            (
                404,
                r#"{"message": "admission webhook \"a.example.com\" denied the request: not found"}"#,
                "the admission webhook a.example.com refuses",
            ),
            (
                400,
                r#"{"message": "admission webhook \"a.example.com\" denied the request without explanation"}"#,
                "the admission webhook a.example.com refuses",
            ),
        ] {
            let failure = failure(code, status);
            assert_eq!(failure.reason, "Denied");
            assert!(
                failure.message.starts_with(name) && !failure.message.contains("CANARY"),
                "{}",
                failure.message
            );
        }
    }

    #[test]
    fn nothing_that_a_message_may_quote_is_passed_on() {
        for (code, status) in [
            (
                403,
                r#"{"message": "admission webhook \"x\" denied the request: data was CANARY", "reason": "CANARY 1"}"#,
            ),
            (403, r#"{"message": "secrets \"a\" is forbidden: exceeded quota: \"CANARY\""}"#),
            (422, r#"{"message": "Secret is invalid: CANARY", "reason": "Invalid"}"#),
            (500, r#"{"message": "CANARY", "reason": "CANARY+/="}"#),
            (400, r#"{"message": "CANARY", "reason": "BadRequest"}"#),
        ] {
            let failure = failure(code, status);
            assert!(!failure.message.contains("CANARY"), "{failure:?}");
        }
    }
}
