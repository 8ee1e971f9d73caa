//! Tells the owners of profiles what became of them: conditions in the status, and Events where they change.
//!
//! ```text
//! compile ──Verdicts──▶ writer ──what differs from the status as last seen──▶ server-side apply on /status ──▶ Event
//! ```
//!
//! Only the leader writes. Nothing is written that is there already, so what we write leads to nothing further; the
//! fields that the delivery of Secrets owns are neither read nor written here.

#[cfg(test)]
mod tests;
mod verdict;
mod write;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::runtime::events::{Recorder, Reporter};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::api::{SparkProfile, SparkProfileStatus, names};
use crate::cluster;
use crate::sources::cluster::{Observed, ObservedProfiles};
pub use verdict::{Finding, Kind, Reason, Verdict, Verdicts, judge};

/// Name under which fields of a status are ours.
const FIELD_MANAGER: &str = "spark-injector-status";

/// Most writes in a second are the inverse of it: a restart after which every message reads differently is no storm.
const BETWEEN_WRITES: Duration = Duration::from_millis(50);

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Writes the status of profiles.
pub struct StatusWriter {
    api: Api<DynamicObject>,
    recorder: Recorder,
    observed: watch::Receiver<ObservedProfiles>,
    verdicts: watch::Receiver<Arc<Verdicts>>,
    /// What we wrote, until the watch has told of it.
    written: HashMap<String, Written>,
}

/// A status as an answer to our write has it.
struct Written {
    version: u64,
    status: SparkProfileStatus,
}

impl StatusWriter {
    /// A writer of these verdicts.
    pub fn new(
        client: &Client,
        observed: watch::Receiver<ObservedProfiles>,
        verdicts: watch::Receiver<Arc<Verdicts>>,
    ) -> Self {
        Self {
            api: Api::all_with(client.clone(), &ApiResource::erase::<SparkProfile>(&())),
            recorder: Recorder::new(client.clone(), Reporter::from(names::DEFAULT_NAMESPACE)),
            observed,
            verdicts,
            written: HashMap::new(),
        }
    }

    /// Writes while `leads` is true; ends when one of the senders is gone.
    pub async fn run(mut self, mut leads: watch::Receiver<bool>) {
        let mut pause = FIRST_PAUSE;
        while leads.wait_for(|leads| *leads).await.is_ok() {
            let verdicts = Arc::clone(&self.verdicts.borrow_and_update());
            let observed = Arc::clone(&self.observed.borrow_and_update());
            let failed = self.write_all(&verdicts, &observed, &leads).await;
            let again = async {
                match failed {
                    Ok(()) => std::future::pending().await,
                    Err(()) => sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await,
                }
            };
            let alive = tokio::select! {
                () = again => true,
                changed = self.verdicts.changed() => changed.is_ok(),
                changed = self.observed.changed() => changed.is_ok(),
                changed = leads.changed() => changed.is_ok(),
            };
            if !alive {
                return;
            }
            pause = if failed.is_err() { (pause * 2).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
        }
    }

    async fn write_all(
        &mut self,
        verdicts: &Verdicts,
        observed: &ObservedProfiles,
        leads: &watch::Receiver<bool>,
    ) -> Result<(), ()> {
        self.written.retain(|name, _| observed.contains_key(name));
        let mut result = Ok(());
        for (name, verdict) in verdicts {
            // A profile that is gone, or another one of its name: the next verdict is about it.
            let Some(seen) = observed.get(name).filter(|seen| seen.uid == verdict.uid) else { continue };
            if !*leads.borrow() {
                return Ok(());
            }
            let before = self.newest(name, seen).clone();
            if write::is_told(verdict, &before) {
                continue;
            }
            let status = write::status(verdict, &before, Timestamp::now());
            match self.write(name, verdict, &status).await {
                Ok(()) => self.tell(name, verdict, &before).await,
                Err(why) => {
                    tracing::warn!(profile = name, why, "cannot write the status; it is tried again");
                    result = Err(());
                }
            }
            sleep(BETWEEN_WRITES).await;
        }
        result
    }

    /// The status as it was last seen, or as we wrote it since.
    fn newest<'s>(&'s self, name: &str, seen: &'s Observed) -> &'s SparkProfileStatus {
        let version = seen.resource_version.parse().unwrap_or(0);
        let written = self.written.get(name).filter(|written| written.version > version);
        written.map_or(&seen.status, |written| &written.status)
    }

    async fn write(
        &mut self,
        name: &str,
        verdict: &Verdict,
        status: &SparkProfileStatus,
    ) -> Result<(), String> {
        let object = write::object(name, &verdict.uid, status);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        match self.api.patch_status(name, &params, &Patch::Apply(&object)).await {
            Ok(answer) => {
                let version = answer.metadata.resource_version.and_then(|version| version.parse().ok());
                let status = answer.data.get("status").cloned().unwrap_or_default();
                let status = serde_json::from_value(status).unwrap_or_default();
                self.written.insert(name.to_owned(), Written { version: version.unwrap_or(0), status });
                Ok(())
            }
            // It was deleted meanwhile, or is another one by now.
            Err(kube::Error::Api(answer)) if answer.is_not_found() || answer.is_conflict() => Ok(()),
            // Files may be written into it.
            Err(error) => Err(cluster::refusal::without_object(&error)),
        }
    }

    async fn tell(&self, name: &str, verdict: &Verdict, before: &SparkProfileStatus) {
        for event in write::events(verdict, before) {
            let reference = write::reference(name, &verdict.uid);
            if let Err(error) = self.recorder.publish(&event, &reference).await {
                // The status says the same, and stays.
                tracing::warn!(profile = name, why = cluster::describe(&error), "cannot write an Event");
            }
        }
    }
}
