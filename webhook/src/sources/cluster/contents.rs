//! Reads the content of one ConfigMap or Secret. Not by the kube client's own parser, which would write an answer that
//! it does not understand into the log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use http::Request;
use kube::Client;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::state::SourceKey;
use crate::catalog::{ObjectData, ObjectKey};
use crate::cluster;
use crate::sources::objects::Collector;
use crate::sources::references::SourceKind;

/// A healthy API server needs milliseconds.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Everybody waits this long for a source that is new, so that its profile is not compiled without it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sources that are read at the same time.
const READERS: usize = 16;

/// What was read of a source; nothing, where there is none.
pub(super) type Read = (SourceKey, Result<Option<Content>, String>);

/// The sources that are being read.
pub(super) struct Reads {
    /// And since when.
    under_way: BTreeMap<SourceKey, Instant>,
    answers: FuturesUnordered<BoxFuture<'static, Read>>,
    readers: Arc<Semaphore>,
}

impl Default for Reads {
    fn default() -> Self {
        let readers = Arc::new(Semaphore::new(READERS));
        Self { under_way: BTreeMap::new(), answers: FuturesUnordered::new(), readers }
    }
}

impl Reads {
    /// Begins to read a source, unless it is being read.
    pub(super) fn begin(&mut self, client: &Client, source: SourceKey) {
        if self.under_way.contains_key(&source) {
            return;
        }
        self.under_way.insert(source.clone(), Instant::now());
        let (client, readers) = (client.clone(), Arc::clone(&self.readers));
        self.answers.push(Box::pin(async move {
            // It is never closed.
            let _turn = readers.acquire().await;
            let content = read(&client, source.0, &source.1).await;
            (source, content)
        }));
    }

    /// How long to wait for what has just begun, of these sources.
    pub(super) fn worth_waiting(&self, of: impl Fn(&SourceKey) -> bool) -> Option<Instant> {
        let begun = self.under_way.iter().filter(|(source, _)| of(source));
        begun.map(|(_, begun)| *begun + PATIENCE).filter(|end| *end > Instant::now()).max()
    }

    /// The next answer; nothing where nobody is asked.
    pub(super) async fn next(&mut self) -> Option<Read> {
        let read = self.answers.next().await?;
        self.under_way.remove(&read.0);
        Some(read)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }
}

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
async fn read(client: &Client, kind: SourceKind, key: &ObjectKey) -> Result<Option<Content>, String> {
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
    Ok(Content { version: version.to_owned(), data: Arc::unwrap_or_clone(data?) })
}
