//! The one place where an admission becomes a log line and a metric.

use std::time::Duration;

use super::metrics::Metrics;
use crate::admit::{Outcome, Record};

/// Logs and counts one request. Never anything of its body: it may hold secrets.
pub(super) fn emit(metrics: &Metrics, record: &Record, took: Duration) {
    metrics.count(record.outcome.as_str(), record.reason, took);
    let denial = if record.outcome == Outcome::Denied { record.message.as_str() } else { "" };
    tracing::info!(
        target: "admission",
        message = denial,
        uid = record.uid,
        namespace = record.namespace,
        name = record.name,
        operation = record.operation,
        dry_run = record.dry_run,
        role = record.role.map(crate::api::Role::as_str),
        profile = record.profile,
        revision = record.revision,
        variant = record.variant,
        outcome = record.outcome.as_str(),
        reason = record.reason,
        duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
    );
}
