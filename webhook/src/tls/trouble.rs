//! Where people learn that certificates need them: log, metrics, and an Event on the webhook configuration.

use std::sync::Arc;
use std::time::SystemTime;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use super::FIELD_MANAGER;
use super::objects::Names;
use crate::server::metrics::Metrics;

/// Tells each trouble once.
pub(super) struct Report {
    recorder: Recorder,
    about: ObjectReference,
    metrics: Arc<Metrics>,
    told: Option<String>,
}

impl Report {
    pub(super) fn new(client: Client, names: &Names, metrics: Arc<Metrics>) -> Self {
        let about = ObjectReference {
            api_version: Some("admissionregistration.k8s.io/v1".to_owned()),
            kind: Some("MutatingWebhookConfiguration".to_owned()),
            name: Some(names.configuration.clone()),
            ..ObjectReference::default()
        };
        let recorder = Recorder::new(client, Reporter::from(FIELD_MANAGER));
        Self { recorder, about, metrics, told: None }
    }

    /// Everything is as it should be.
    pub(super) fn well(&mut self) {
        if self.told.take().is_some() {
            tracing::info!("certificates are in order again");
        }
    }

    /// Something is not; `reason` is for machines.
    pub(super) async fn trouble(&mut self, reason: &str, text: &str) {
        self.metrics.certificate_trouble(SystemTime::now());
        if self.told.as_deref() == Some(text) {
            return;
        }
        tracing::warn!(reason, trouble = text, "certificates need attention");
        self.told = Some(text.to_owned());
        let event = Event {
            type_: EventType::Warning,
            reason: reason.to_owned(),
            note: Some(text.chars().take(1000).collect()),
            action: "KeepCertificates".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &self.about).await {
            tracing::debug!(error = crate::cluster::describe(&error), "no event");
        }
    }
}
