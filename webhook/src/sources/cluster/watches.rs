//! One watch for each kind: lists, then follows, and goes on after every failure. What it saw goes to the one task that
//! keeps the inputs.
//!
//! Lists are consistent and come in pages. Streaming lists would be cheaper for the API server, but this client asks for
//! them at resource version 0, which may be the past: an object that exists could be missing for a moment, and its pods
//! would be refused.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::directories::Found;
use super::profiles::Profile;
use crate::api::SparkProfile;
use crate::api::names::NODE_SELECTOR_ANNOTATION;
use crate::catalog::NamespaceInput;
use crate::cluster::{self, WATCH_SECONDS};
use crate::sources::references::SourceKind;

/// Profiles can be large, up to 1 MiB each.
const PROFILES_PER_PAGE: u32 = 50;

/// Metadata alone is small.
const OBJECTS_PER_PAGE: u32 = 500;

const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Short: while the API server is away nobody learns of new namespaces, and a handful of requests does it no harm.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A watch that fails says so sooner, whatever is wrong: the client waits for no answer as long as this.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(3 * WATCH_SECONDS as u64);

/// What a watch saw, by name.
#[derive(Debug)]
pub(super) enum Seen<V> {
    /// Everything there is: what is not in it is gone.
    All(BTreeMap<String, V>),
    /// One is new or different.
    One(String, V),
    /// One is gone.
    Gone(String),
}

/// What changed, and where.
#[derive(Debug)]
pub(super) enum Change {
    /// Nobody knows: a watch failed once more.
    Unwatched,
    Profiles(Seen<Box<Profile>>),
    Namespaces(Seen<NamespaceInput>),
    /// Kind, namespace, and the versions of its objects. Their content is read when a profile names them.
    Objects(SourceKind, String, Seen<String>),
    /// What directories on our own disk hold.
    Directories(Seen<Found>),
}

/// Starts every watch; they end when nobody receives any more.
pub(super) fn start(client: &Client, namespaces: &[String], changes: &mpsc::Sender<Change>) {
    let config = |page| watcher::Config::default().timeout(WATCH_SECONDS).page_size(page);

    let api = Api::all_with(client.clone(), &ApiResource::erase::<SparkProfile>(&()));
    let follow = Follow { what: Watched::Profiles, changes: changes.clone() };
    let events = watcher::watcher::<DynamicObject>(api, config(PROFILES_PER_PAGE));
    tokio::spawn(follow.run(events, |object| Box::new(Profile::from(object)), Change::Profiles));

    let follow = Follow { what: Watched::Namespaces, changes: changes.clone() };
    let events =
        watcher::watcher(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), config(OBJECTS_PER_PAGE));
    tokio::spawn(follow.run(events, namespace, Change::Namespaces));

    for namespace in namespaces {
        for kind in SourceKind::ALL {
            let follow = Follow { what: Watched::Objects(kind, namespace.clone()), changes: changes.clone() };
            let place = namespace.clone();
            let wrap = move |seen| Change::Objects(kind, place.clone(), seen);
            let client = client.clone();
            match kind {
                SourceKind::ConfigMap => {
                    let api = Api::<PartialObjectMeta<ConfigMap>>::namespaced(client, namespace);
                    let events = watcher::watcher(api, config(OBJECTS_PER_PAGE));
                    tokio::spawn(follow.run(events, version::<ConfigMap>, wrap));
                }
                SourceKind::Secret => {
                    let api = Api::<PartialObjectMeta<Secret>>::namespaced(client, namespace);
                    let events = watcher::watcher(api, config(OBJECTS_PER_PAGE));
                    tokio::spawn(follow.run(events, version::<Secret>, wrap));
                }
            }
        }
    }
}

/// What matters of a namespace: any label may be in a selector, of the annotations there is one.
fn namespace(object: PartialObjectMeta<Namespace>) -> NamespaceInput {
    let annotations = object.metadata.annotations.unwrap_or_default();
    NamespaceInput {
        origin: String::new(),
        labels: object.metadata.labels.unwrap_or_default(),
        annotations: annotations.into_iter().filter(|(key, _)| key == NODE_SELECTOR_ANNOTATION).collect(),
    }
}

fn version<K>(object: PartialObjectMeta<K>) -> String {
    object.metadata.resource_version.unwrap_or_default()
}

/// One watch.
struct Follow {
    what: Watched,
    changes: mpsc::Sender<Change>,
}

impl Follow {
    async fn run<K: Resource, V>(
        self,
        events: impl Stream<Item = watcher::Result<Event<K>>>,
        read: impl Fn(K) -> V,
        wrap: impl Fn(Seen<V>) -> Change,
    ) {
        let mut events = pin!(events);
        let mut trouble = Trouble::new(self.what);
        let mut listed = BTreeMap::new();
        while let Some(event) = events.next().await {
            let seen = match event {
                // A list that is broken off changes nothing: the next one starts anew.
                Ok(Event::Init) => {
                    listed.clear();
                    continue;
                }
                Ok(Event::InitApply(object)) => {
                    listed.insert(object.name_any(), read(object));
                    continue;
                }
                Ok(Event::InitDone) => Seen::All(std::mem::take(&mut listed)),
                Ok(Event::Apply(object)) => Seen::One(object.name_any(), read(object)),
                Ok(Event::Delete(object)) => Seen::Gone(object.name_any()),
                Err(error) => {
                    let pause = trouble.met(&error);
                    if self.changes.send(Change::Unwatched).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(pause).await;
                    continue;
                }
            };
            trouble.is_over();
            if self.changes.send(wrap(seen)).await.is_err() {
                return;
            }
        }
    }
}

/// What is watched, for messages.
#[derive(Clone, Debug)]
enum Watched {
    Profiles,
    Namespaces,
    Objects(SourceKind, String),
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profiles => f.write_str("sparkprofiles.spark-injector.io"),
            Self::Namespaces => f.write_str("namespaces"),
            Self::Objects(kind, namespace) => write!(f, "{} in namespace {namespace}", kind.plural()),
        }
    }
}

/// Says what is wrong with a watch, once for each cause, and how long to wait before the next attempt.
struct Trouble {
    what: Watched,
    said: Option<String>,
    attempts: u32,
    last: Option<Instant>,
}

/// How long to wait after so many failures before this one. Replicas that lost the same API server do not come back to it
/// in step.
pub(super) fn pause_after(failures: u32) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}

impl Trouble {
    fn new(what: Watched) -> Self {
        Self { what, said: None, attempts: 0, last: None }
    }

    fn met(&mut self, error: &watcher::Error) -> Duration {
        let now = Instant::now();
        if self.last.replace(now).is_some_and(|last| now - last > LONGEST_ATTEMPT) {
            // It went well meanwhile, though nothing changed that it could have told.
            (self.said, self.attempts) = (None, 0);
        }
        let why = self.explain(error);
        if self.said.as_ref() != Some(&why) {
            let what = self.what.to_string();
            tracing::warn!(what, why, "cannot watch; what is known stays, and the next attempt follows");
            self.said = Some(why);
        }
        let pause = pause_after(self.attempts);
        self.attempts += 1;
        pause
    }

    fn is_over(&mut self) {
        self.attempts = 0;
        if self.said.take().is_some() {
            let what = self.what.to_string();
            tracing::info!(what, "watching again");
        }
    }

    fn explain(&self, error: &watcher::Error) -> String {
        let (watcher::Error::InitialListFailed(source)
        | watcher::Error::WatchStartFailed(source)
        | watcher::Error::WatchFailed(source)) = error
        else {
            return error.to_string();
        };
        match source {
            kube::Error::Api(status) if status.code == 403 => {
                let elsewhere = match self.what {
                    Watched::Objects(..) => {
                        "; a namespace of --source-namespace needs a Role and a RoleBinding of its own, as in rbac.yaml"
                    }
                    Watched::Namespaces | Watched::Profiles => "",
                };
                format!("{}; the roles in manifests/base allow it{elsewhere}", cluster::answered(status))
            }
            // Of a group that it never heard of it says so in plain text.
            kube::Error::Api(status) if status.code == 404 && matches!(self.what, Watched::Profiles) => {
                "the API server does not know SparkProfiles; apply the definition: spark-injector crd | kubectl apply -f -".to_owned()
            }
            source => cluster::describe(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_went_well_for_a_while_begins_its_troubles_anew() {
        let mut trouble = Trouble::new(Watched::Profiles);
        let error = watcher::Error::NoResourceVersion;
        for _ in 0..20 {
            let pause = trouble.met(&error);
            tokio::time::sleep(pause).await;
        }
        assert!(trouble.met(&error) > FIRST_PAUSE, "it fails again and again");
        tokio::time::sleep(LONGEST_ATTEMPT * 2).await;
        assert!(trouble.met(&error) <= FIRST_PAUSE);
        assert_eq!(trouble.attempts, 1);
    }
}
