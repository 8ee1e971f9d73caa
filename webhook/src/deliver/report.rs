//! What the delivery says of a profile: in its status, by server-side apply under a field manager of its own, and as
//! Events where something changed. The status is what the catalog switches on.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter as Author};
use serde_json::{Value, json};

use super::FIELD_MANAGER;
use super::answer::Failure;
use crate::api::{FailedNamespace, GROUP_VERSION, KIND, SparkProfileStatus, SupersededRevision};

/// How many failing namespaces are named, and in a sentence.
pub(super) const NAMED: usize = 10;
const NAMED_IN_A_SENTENCE: usize = 3;
/// The schema takes 256; who keeps more revisions than this looks at the ledger.
const MOST_SUPERSEDED: usize = 100;
const CONDITION: &str = "Delivered";

/// What is known of the delivery of one profile.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Summary {
    /// The revision that is to be delivered, if there is one.
    pub(super) revision: Option<String>,
    /// Whether something is known of every namespace.
    pub(super) is_complete: bool,
    pub(super) namespaces: usize,
    pub(super) delivered: usize,
    pub(super) failed: usize,
    /// The first of those that failed.
    pub(super) failures: Vec<(String, Failure)>,
    /// The newest of what nothing refers to any more.
    pub(super) superseded: Vec<(String, Timestamp)>,
}

/// Writes statuses and Events; cheap to clone.
#[derive(Clone)]
pub(super) struct Reporter {
    client: Client,
    recorder: Recorder,
}

impl Reporter {
    pub(super) fn new(client: Client) -> Self {
        let author = Author { controller: "spark-injector".to_owned(), instance: None };
        Self { recorder: Recorder::new(client.clone(), author), client }
    }

    /// Brings the status of a profile up to date. A profile that is gone needs none.
    pub(super) async fn report(&self, profile: &str, summary: &Summary) -> Result<(), kube::Error> {
        let path = format!("/apis/{GROUP_VERSION}/sparkprofiles/{profile}");
        let Some(object) = self.read(&path).await? else { return Ok(()) };
        let before: SparkProfileStatus =
            serde_json::from_value(object.get("status").cloned().unwrap_or_default()).unwrap_or_default();
        if !summary.is_complete && summary.revision.is_some() && before.delivered_revision == summary.revision
        {
            // A new leader looks whether all is still there: until it knows, the old words stay.
            return Ok(());
        }
        let after = summary.status(&before, Timestamp::now());
        if after == ours(&before) {
            return Ok(());
        }
        let body = json!({
            "apiVersion": GROUP_VERSION, "kind": KIND, "status": after,
            // Another one of this name is not told what became of this one.
            "metadata": { "name": profile, "uid": object.pointer("/metadata/uid") },
        });
        let apply = http::Request::patch(format!("{path}/status?fieldManager={FIELD_MANAGER}&force=true"))
            .header(http::header::CONTENT_TYPE, "application/apply-patch+yaml")
            .body(body.to_string().into_bytes())
            .map_err(kube::Error::HttpError)?;
        self.client.request_text(apply).await?;
        self.tell(&object, &before, &after, summary).await;
        Ok(())
    }

    async fn read(&self, path: &str) -> Result<Option<Value>, kube::Error> {
        let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
        // Not `request`: it would log what it cannot parse, and profiles have files in them.
        match self.client.request_text(request).await {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(kube::Error::SerdeError),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn tell(
        &self,
        object: &Value,
        before: &SparkProfileStatus,
        after: &SparkProfileStatus,
        summary: &Summary,
    ) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let reference = ObjectReference {
            api_version: Some(GROUP_VERSION.to_owned()),
            kind: Some(KIND.to_owned()),
            name: text("/metadata/name"),
            uid: text("/metadata/uid"),
            ..ObjectReference::default()
        };
        let mut events = Vec::new();
        if let Some(revision) = after
            .delivered_revision
            .as_ref()
            .filter(|_| after.delivered_revision != before.delivered_revision)
        {
            let note = format!(
                "pods are given revision {revision} from now on; {} namespaces have it",
                summary.delivered
            );
            events.push((EventType::Normal, "Delivered", note));
        }
        let is_known = |name: &str| before.failed_namespaces.iter().any(|failed| failed.name == name);
        if after.failed_namespaces.iter().any(|failed| !is_known(&failed.name)) {
            events.push((EventType::Warning, "DeliveryFailed", summary.failures()));
        }
        for (type_, reason, note) in events {
            let event = Event {
                type_,
                reason: reason.to_owned(),
                note: Some(note),
                action: "Deliver".to_owned(),
                secondary: None,
            };
            if let Err(error) = self.recorder.publish(&event, &reference).await {
                tracing::warn!(%error, "an Event was not written");
            }
        }
    }
}

impl Summary {
    /// What the status says then, as far as it is ours.
    fn status(&self, before: &SparkProfileStatus, now: Timestamp) -> SparkProfileStatus {
        let superseded = self.superseded.iter().take(MOST_SUPERSEDED);
        let superseded = superseded.map(|(revision, since)| SupersededRevision {
            revision: revision.clone(),
            since: seconds(*since),
        });
        let mut status =
            SparkProfileStatus { superseded: superseded.collect(), ..SparkProfileStatus::default() };
        let Some(revision) = &self.revision else { return status };
        let (is_delivered, reason, message) = self.condition(revision);
        let word = if is_delivered { "True" } else { "False" };
        let old = before.conditions.iter().find(|condition| condition.type_ == CONDITION);
        status.conditions = vec![Condition {
            type_: CONDITION.to_owned(),
            status: word.to_owned(),
            reason: reason.to_owned(),
            message,
            observed_generation: None,
            last_transition_time: old
                .filter(|condition| condition.status == word)
                .map_or(seconds(now), |condition| condition.last_transition_time.clone()),
        }];
        // One namespace that refuses holds nobody back; where all do, pods are better off with what is there.
        let is_nowhere = self.delivered == 0 && self.failed > 0;
        status.delivered_revision = match &before.delivered_revision {
            Some(old) if !self.is_complete || is_nowhere => Some(old.clone()),
            _ => self.is_complete.then(|| revision.clone()),
        };
        let counts = status.namespaces.get_or_insert_default();
        counts.delivered = i64::try_from(self.delivered).ok();
        counts.failed = i64::try_from(self.failed).ok();
        let failed = self.failures.iter().map(|(name, failure)| FailedNamespace {
            name: name.clone(),
            reason: failure.reason.to_owned(),
            message: Some(failure.message.clone()),
        });
        status.failed_namespaces = failed.collect();
        status
    }

    fn condition(&self, revision: &str) -> (bool, &'static str, String) {
        let Self { namespaces, delivered, failed, .. } = self;
        if !self.is_complete {
            return (
                false,
                "Delivering",
                format!("revision {revision} is in {delivered} of {namespaces} namespaces"),
            );
        }
        if *failed > 0 {
            return (false, "DeliveryFailed", self.failures());
        }
        (true, "Delivered", format!("revision {revision} is in {delivered} namespaces"))
    }

    /// One sentence on where it failed.
    fn failures(&self) -> String {
        let mut text = format!(
            "{} of {} namespaces have not the Secrets of the profile, and pods wait for them there",
            self.failed, self.namespaces
        );
        for (index, (namespace, failure)) in self.failures.iter().take(NAMED_IN_A_SENTENCE).enumerate() {
            let separator = if index == 0 { ": " } else { "; " };
            // Writing into a String cannot fail.
            let _ = write!(text, "{separator}{namespace}: {}: {}", failure.reason, failure.message);
        }
        if self.failed > NAMED_IN_A_SENTENCE {
            text.push_str("; …");
        }
        // An Event takes a kilobyte.
        let end =
            text.char_indices().map(|(at, _)| at).take_while(|at| *at <= 1_000).last().unwrap_or_default();
        if text.len() > 1_000 {
            text.truncate(end);
        }
        text
    }
}

/// The part of a status that the delivery owns.
fn ours(status: &SparkProfileStatus) -> SparkProfileStatus {
    let mut ours = status.clone();
    ours.conditions.retain(|condition| condition.type_ == CONDITION);
    ours.observed_generation = None;
    ours.revision = None;
    if let Some(counts) = &mut ours.namespaces {
        counts.served = None;
    }
    ours.namespaces = ours.namespaces.filter(|counts| counts.delivered.is_some() || counts.failed.is_some());
    ours
}

/// The API server keeps whole seconds.
fn seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}
