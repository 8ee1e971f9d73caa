//! The cluster as a source: watches that heal themselves, an input that is kept instead of being read again, and one
//! task that compiles what changed.
//!
//! ```text
//! watches ──Change──▶ State ──names of sources──▶ contents (GET) ──▶ State ──Snapshot──▶ compile ──▶ LiveCatalog
//! ```
//!
//! SparkProfiles are watched whole; of Namespaces, ConfigMaps and Secrets only the metadata. Content is read when a
//! profile names its object and the object's version is a new one: what nobody names never comes into memory, and a
//! list that has to be repeated costs names, not contents. Pods are not watched, and Secrets of teams neither.
//!
//! While the API server is away everything that is known stays in use.

mod contents;
mod profiles;
mod state;
#[cfg(test)]
mod tests;
mod watches;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::debug_span;

pub use profiles::{Observed, ObservedProfiles};

use super::digest::Fingerprint;
use super::directory::Directory;
use super::files_root;
use super::live::LiveCatalog;
use super::reload::Reload;
use crate::catalog::{Catalog, ObjectData, Problem, Settings};
use crate::status::{self, Verdicts};
use state::State;
use watches::Change;

/// One `kubectl apply` of many objects is one compile: this long nothing must have come.
const QUIET: Duration = Duration::from_millis(50);

/// A cluster that never rests is followed all the same.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// Sources that are read at the same time.
const READERS: usize = 16;

/// At the start a source that cannot be read is waited for: without an older plan its profile would refuse pods.
const FIRST_PATIENCE: Duration = Duration::from_secs(30);

/// Changes that may wait for the task; a watch that is faster waits, too.
const WAITING_CHANGES: usize = 1024;

/// Keeps a catalog up to date with a cluster.
pub struct ClusterSource {
    client: Client,
    settings: Arc<Settings>,
    directory: Directory,
    poll: Duration,
    catalog: LiveCatalog,
    observed: watch::Sender<ObservedProfiles>,
    verdicts: watch::Sender<Arc<Verdicts>>,
    /// Mistakes in the inputs of the catalog in use.
    problems: Vec<Problem>,
    /// Sources that cannot be read, and why: said once for each cause.
    unreadable: BTreeMap<String, String>,
}

/// What became of a change of the inputs.
#[derive(Debug)]
pub enum Event {
    /// Another catalog is in use.
    Reloaded(Reload),
    /// A defect of the compiler: the old catalog stays until the next change.
    Failed,
}

impl ClusterSource {
    /// A source that has not asked anything yet. Directories that profiles name are below `files_root`, and looked at
    /// every `poll`.
    pub fn new(client: Client, settings: Settings, files_root: Option<PathBuf>, poll: Duration) -> Self {
        let default_namespace = settings.namespace.clone();
        Self {
            client,
            settings: Arc::new(settings),
            directory: Directory { from: Vec::new(), files_root, default_namespace },
            poll,
            catalog: LiveCatalog::default(),
            observed: watch::Sender::default(),
            verdicts: watch::Sender::default(),
            problems: Vec::new(),
            unreadable: BTreeMap::new(),
        }
    }

    /// The client that it asks with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The injector's own namespace.
    pub fn own_namespace(&self) -> &str {
        &self.settings.namespace
    }

    /// The catalog, as it is swapped; not synced until every watch has told everything once.
    pub fn catalog(&self) -> LiveCatalog {
        self.catalog.clone()
    }

    /// The profiles as the API server has them, with their status.
    pub fn observed(&self) -> watch::Receiver<ObservedProfiles> {
        self.observed.subscribe()
    }

    /// What the catalog in use says of each profile.
    pub fn verdicts(&self) -> watch::Receiver<Arc<Verdicts>> {
        self.verdicts.subscribe()
    }

    /// Follows the cluster for ever, and tells of every change.
    pub async fn run(mut self, mut tell: impl FnMut(Event)) {
        let mut namespaces = self.settings.source_namespaces.clone();
        namespaces.push(self.settings.namespace.clone());
        namespaces.sort();
        namespaces.dedup();
        let (sender, mut receiver) = mpsc::channel(WAITING_CHANGES);
        watches::start(&self.client, &namespaces, &sender);

        let mut state = State::new(&self.settings.namespace, &namespaces);
        let mut directories = Directories::default();
        let mut synced_at = None;
        let mut ticks = interval(self.poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                change = receiver.recv() => {
                    // This task holds a sender itself: there is always a next one.
                    let Some(change) = change else { return };
                    state.apply(change);
                    gather(&mut receiver, &mut state).await;
                    self.observed.send_replace(state.observed());
                }
                // Sources that could not be read are tried again, and directories are looked at.
                _ = ticks.tick() => {
                    let catalog = self.catalog.clone();
                    tokio::task::spawn_blocking(move || catalog.tidy());
                }
            }
            if !state.is_synced() {
                continue;
            }
            let synced_at = *synced_at.get_or_insert_with(Instant::now);
            let all_read = self.read_sources(&mut state).await;
            if !all_read && !self.catalog.is_synced() && synced_at.elapsed() < FIRST_PATIENCE {
                continue;
            }
            directories = self.look_at_directories(&mut state, directories).await;
            let mut changed = state.take_changes();
            if !self.catalog.is_synced() {
                // At first everything is new: nobody wants to read that.
                changed.clear();
                tell(self.compile(&state, changed).await);
            } else if !changed.is_empty() {
                tell(self.compile(&state, changed).await);
            }
        }
    }

    /// Reads the sources that are new or different. Says whether it could; those that it could not read stay as they
    /// were, so that one of them holds up nobody else.
    async fn read_sources(&mut self, state: &mut State) -> bool {
        let client = &self.client;
        let mut reading = stream::iter(state.stale())
            .map(|(kind, key)| async move {
                let content = contents::read(client, kind, &key).await;
                (kind, key, content)
            })
            .buffer_unordered(READERS);
        let mut unreadable = BTreeMap::new();
        while let Some((kind, key, content)) = reading.next().await {
            match content {
                Ok(content) => state.fill((kind, key), content),
                Err(why) => {
                    let object = format!("{} {}/{}", kind.as_str(), key.namespace, key.name);
                    if self.unreadable.get(&object) != Some(&why) {
                        tracing::warn!(
                            object,
                            why,
                            "cannot read a source; what is known stays, and the next attempt follows"
                        );
                    }
                    unreadable.insert(object, why);
                }
            }
        }
        drop(reading);
        self.unreadable = unreadable;
        if !self.unreadable.is_empty() {
            state.not_filled();
        }
        self.unreadable.is_empty()
    }

    /// Directories have no watch that could be trusted: kubelet and git-sync swap symlinks above them.
    async fn look_at_directories(&self, state: &mut State, mut known: Directories) -> Directories {
        let named: Vec<String> = state.named_directories().iter().cloned().collect();
        if named.is_empty() && known.named.is_empty() {
            return known;
        }
        let directory = self.directory.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let found = known.look(&directory, named);
            (known, found)
        });
        match looked.await {
            Ok((known, found)) => {
                if let Some(found) = found {
                    state.fill_directories(found);
                }
                known
            }
            Err(_) => Directories::default(),
        }
    }

    async fn compile(&mut self, state: &State, changed: Vec<String>) -> Event {
        let (snapshot, settings, live) = (state.snapshot(), Arc::clone(&self.settings), self.catalog.clone());
        let before = std::mem::take(&mut self.problems);
        let observed = state.observed();
        let compiled = tokio::task::spawn_blocking(move || {
            let previous = live.is_synced().then(|| live.load_full());
            let compile = || Catalog::compile(&snapshot, &settings, previous.as_deref());
            let catalog = debug_span!("compile").in_scope(compile);
            let found = catalog.problems().to_vec();
            let previous = previous.as_deref().map(|previous| (previous, before.as_slice()));
            let verdicts = status::judge(&catalog, &observed);
            let reload = Reload { changed, ..Reload::between(previous, (&catalog, &found)) };
            live.store(catalog);
            (found, verdicts, reload)
        });
        match compiled.await {
            Ok((found, verdicts, reload)) => {
                self.problems = found;
                self.verdicts.send_replace(Arc::new(verdicts));
                Event::Reloaded(reload)
            }
            Err(_) => Event::Failed,
        }
    }
}

/// Takes what comes together.
async fn gather(changes: &mut mpsc::Receiver<Change>, state: &mut State) {
    let end = Instant::now() + LONGEST_WAIT;
    loop {
        let patience = QUIET.min(end.saturating_duration_since(Instant::now()));
        match timeout(patience, changes.recv()).await {
            Ok(Some(change)) => state.apply(change),
            Ok(None) | Err(_) => return,
        }
    }
}

/// What is known of the directories on our own disk.
#[derive(Debug, Default)]
struct Directories {
    named: Vec<String>,
    seen: Option<Fingerprint>,
}

impl Directories {
    /// Reads all of them again, if that may find something new.
    fn look(
        &mut self,
        directory: &Directory,
        named: Vec<String>,
    ) -> Option<BTreeMap<String, Result<Arc<ObjectData>, String>>> {
        let found = directory.fingerprint(&named);
        if self.named == named && self.seen == Some(found) && found.is_settled() {
            return None;
        }
        let root = directory.files_root.as_deref();
        let read =
            named.iter().map(|path| (path.clone(), files_root::read_directory(root, path).map(Arc::new)));
        let contents = debug_span!("read_directories").in_scope(|| read.collect());
        *self = Self { named, seen: Some(found) };
        Some(contents)
    }
}
