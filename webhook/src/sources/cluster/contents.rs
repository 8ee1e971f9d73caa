//! Reads the content of one ConfigMap or Secret. Not by the kube client's own parser, which would write an answer that
//! it does not understand into the log.

use std::time::Duration;

use http::Request;
use kube::Client;
use serde_json::Value;

use crate::catalog::{ObjectData, ObjectKey};
use crate::cluster;
use crate::sources::objects::Collector;
use crate::sources::references::SourceKind;

/// A healthy API server needs milliseconds.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What an object held at a version.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) version: String,
    pub(super) data: ObjectData,
}

/// Reads an object; nothing, where there is none.
///
/// # Errors
///
/// Why it cannot be read, without its content.
pub(super) async fn read(
    client: &Client,
    kind: SourceKind,
    key: &ObjectKey,
) -> Result<Option<Content>, String> {
    let ObjectKey { namespace, name } = key;
    let path = format!("/api/v1/namespaces/{namespace}/{}/{name}", kind.plural());
    let request = Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
    let answer = tokio::time::timeout(TIMEOUT, client.request_text(request)).await;
    match answer.map_err(|_| "no answer in time".to_owned())? {
        Ok(text) => parse(kind, &text).map(Some),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        Err(error) => Err(cluster::describe(&error)),
    }
}

fn parse(kind: SourceKind, text: &str) -> Result<Content, String> {
    let unusable = || "the API server's answer is not such an object".to_owned();
    let object: Value = serde_json::from_str(text).map_err(|_| unusable())?;
    let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str).ok_or_else(unusable)?;
    let mut collector = Collector::new("");
    collector.take("", &object);
    if let Some(problem) = collector.problems.first() {
        return Err(problem.to_string());
    }
    let found = match kind {
        SourceKind::ConfigMap => collector.snapshot.config_maps.pop_first(),
        SourceKind::Secret => collector.snapshot.secrets.pop_first(),
    };
    let (_, data) = found.ok_or_else(unusable)?;
    Ok(Content { version: version.to_owned(), data: std::sync::Arc::unwrap_or_clone(data) })
}
