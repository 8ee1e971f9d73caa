//! Tells that one of the two objects may have changed.

use std::time::Duration;

use futures::stream::{BoxStream, SelectAll};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};

use super::objects::Names;
use crate::cluster::WATCH_SECONDS;

/// Changes come in groups; and looking costs two requests.
const GATHER: Duration = Duration::from_millis(100);

/// The watches of both objects; of metadata alone, so that no key stays in their memory.
pub(super) struct Wake(SelectAll<BoxStream<'static, ()>>);

impl Wake {
    pub(super) fn new(client: &Client, names: &Names) -> Self {
        let secrets: Api<PartialObjectMeta<Secret>> = Api::namespaced(client.clone(), &names.namespace);
        let configurations: Api<PartialObjectMeta<MutatingWebhookConfiguration>> = Api::all(client.clone());
        Self(futures::stream::select_all([
            changes(secrets, &names.secret).boxed(),
            changes(configurations, &names.configuration).boxed(),
        ]))
    }

    /// Waits for a change and those right after it, at most this long.
    pub(super) async fn wait(&mut self, most: Duration) {
        // A watch never ends; without one there is the clock.
        if tokio::time::timeout(most, self.0.next()).await.is_ok_and(|change| change.is_some()) {
            let end = tokio::time::Instant::now() + GATHER;
            while let Ok(Some(())) = tokio::time::timeout_at(end, self.0.next()).await {}
        }
    }
}

fn changes<K>(api: Api<K>, name: &str) -> impl Stream<Item = ()> + Send + use<K>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}")).timeout(WATCH_SECONDS);
    // The looks tell of an API server that does not answer.
    watcher(api, config).default_backoff().filter_map(async |event| event.is_ok().then_some(()))
}
