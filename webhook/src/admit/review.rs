//! AdmissionReview on the wire: what a request says, and writing a response.
//!
//! Own small types: the borrowed decode touches only what is needed, and the patch is written as base64, which the
//! types of kube do not do (kube-rs/kube#1781).

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::parts::{self, Parts};
use super::patch::{Patch, write_quoted};
use super::pod::{Pod, Text};

/// The API server's own budget for warnings is 4,096 runes in all; each should fit into 120 characters.
pub(super) const MAX_WARNING_CHARS: usize = 120;
/// More would be cut by the API server.
pub(super) const MAX_WARNINGS: usize = 5;
/// A denial is one sentence that a person reads in a stack trace of Spark.
pub(super) const MAX_MESSAGE_BYTES: usize = 1024;

/// One call of the API server. Every field may be absent: the decoder judges nothing.
#[derive(Debug, Default)]
pub(super) struct Request<'a> {
    /// Identifies the call; the answer repeats it byte for byte.
    pub uid: Option<Text<'a>>,
    /// Kind of the object.
    pub kind: Option<GroupKind<'a>>,
    /// Resource of the request.
    pub resource: Option<GroupResource<'a>>,
    /// `ephemeralcontainers`, `status`, …: never ours.
    pub sub_resource: Option<Text<'a>>,
    /// Name of the object, where it has one.
    pub name: Option<Text<'a>>,
    /// Namespace of the request: the only one that counts.
    pub namespace: Option<Text<'a>>,
    /// CREATE is the only one of interest.
    pub operation: Option<Text<'a>>,
    /// Whether nothing will be stored.
    pub dry_run: Option<bool>,
    /// The object; its spec only where the decision takes it.
    pub object: Option<Pod<'a>>,
}

/// Group and kind of an object.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(super) struct GroupKind<'a> {
    /// Empty for the core group.
    pub group: Option<Text<'a>>,
    /// `Pod`.
    pub kind: Option<Text<'a>>,
}

/// Group and resource of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(super) struct GroupResource<'a> {
    /// Empty for the core group.
    pub group: Option<Text<'a>>,
    /// `pods`.
    pub resource: Option<Text<'a>>,
}

/// The raw object of a body that decodes: for the rare comparison with what stands there already.
pub(super) fn raw_object(body: &[u8]) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Outer<'a> {
        #[serde(borrow)]
        request: Option<Inner<'a>>,
    }
    #[derive(Deserialize)]
    struct Inner<'a> {
        #[serde(borrow)]
        object: Option<&'a RawValue>,
    }
    serde_json::from_slice::<Outer<'_>>(body).ok()?.request?.object
}

/// Who answers what; the rest of the AdmissionReview is always the same.
pub(super) enum Response<'r, 'p> {
    /// Allowed; patched where the patch holds anything.
    Allowed(Option<&'r Patch<'p>>),
    /// Refused with a status code of 403 or 422.
    Denied(u16, &'r str),
}

/// What the API server's audit log says about the call, besides the answer itself.
pub(super) struct Audit<'r> {
    /// The outcome and its reason, words of closed sets.
    pub decision: [&'r str; 2],
    /// Name of the profile.
    pub profile: &'r str,
    /// Revision of the files.
    pub revision: &'r str,
}

/// Everything in an answer but its patch, its texts and their escapes.
const FRAME_BYTES: usize = 512;

/// Writes an AdmissionReview with a response.
pub(super) fn encode(
    uid: &str,
    response: &Response<'_, '_>,
    warnings: &[String],
    audit: &Audit<'_>,
) -> Parts {
    let patch = match response {
        // Both or neither: the API server refuses a patch without its type, and a type without a patch.
        Response::Allowed(patch) => patch.filter(|patch| !patch.is_empty()),
        Response::Denied(..) => None,
    };
    let texts = uid.len() + audit.profile.len() + warnings.iter().map(String::len).sum::<usize>();
    let mut parts = parts::Builder::with_capacity(FRAME_BYTES + texts + patch.map_or(0, Patch::encoded_size));
    let out = parts.open();
    out.extend_from_slice(
        b"{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"response\":{\"uid\":",
    );
    write_quoted(out, uid);
    match response {
        Response::Allowed(_) => out.extend_from_slice(b",\"allowed\":true"),
        Response::Denied(code, message) => {
            let reason = if *code == 403 { "Forbidden" } else { "Invalid" };
            // Writing to a buffer in memory does not fail.
            let _ = write!(
                out,
                ",\"allowed\":false,\"status\":{{\"status\":\"Failure\",\"code\":{code},\"reason\":\"{reason}\",\"message\":"
            );
            write_quoted(out, cut(message, MAX_MESSAGE_BYTES));
            out.extend_from_slice(b"}");
        }
    }
    if let Some(patch) = patch {
        out.extend_from_slice(b",\"patchType\":\"JSONPatch\",\"patch\":\"");
        patch.encode(&mut parts);
        parts.open().extend_from_slice(b"\"");
    }
    let out = parts.open();
    if !warnings.is_empty() {
        let mut before = ",\"warnings\":[";
        for warning in warnings.iter().take(MAX_WARNINGS) {
            out.extend_from_slice(before.as_bytes());
            write_quoted(out, warning);
            before = ",";
        }
        out.extend_from_slice(b"]");
    }
    let [outcome, reason] = audit.decision;
    for text in [",\"auditAnnotations\":{\"decision\":\"", outcome, ": ", reason, "\""] {
        out.extend_from_slice(text.as_bytes());
    }
    for (key, value) in [(",\"profile\":", audit.profile), (",\"revision\":", audit.revision)] {
        if !value.is_empty() {
            out.extend_from_slice(key.as_bytes());
            write_quoted(out, value);
        }
    }
    out.extend_from_slice(b"}}}");
    parts.finish()
}

/// Text of at most so many bytes, cut between two characters.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
