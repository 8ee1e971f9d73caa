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
//! Directories on our own disk are followed beside the watches, each by itself.
//!
//! While the API server is away everything that is known stays in use.

mod contents;
mod directories;
mod profiles;
mod state;
#[cfg(test)]
mod tests;
mod watches;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};
use tracing::debug_span;

pub use profiles::{Observed, ObservedProfiles};

use super::directory::Directory;
use super::live::LiveCatalog;
use super::reload::Reload;
use crate::catalog::{Catalog, Problem, Settings};
use crate::status::{self, Verdicts};
use contents::{Read, Reads};
use directories::Directories;
use state::State;
use watches::Change;

/// One `kubectl apply` of many objects is one compile: this long nothing must have come.
const QUIET: Duration = Duration::from_millis(50);

/// A cluster that never rests is followed all the same.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// At the start a source that cannot be read is waited for: without an older plan its profile would refuse pods.
const FIRST_PATIENCE: Duration = Duration::from_secs(30);

/// How long after a defect of the compiler the next attempt follows.
const AFTER_DEFECT: Duration = Duration::from_secs(30);

/// Changes that may wait for the task; a watch that is faster waits, too.
const WAITING_CHANGES: usize = 1024;

/// Keeps a catalog up to date with a cluster. Clones share the catalog and what is told of it.
#[derive(Clone)]
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
}

/// What became of a change of the inputs.
#[derive(Debug)]
pub enum Event {
    /// Another catalog is in use.
    Reloaded(Reload),
    /// Something cannot be watched or read, told at every attempt: what is known of it stays.
    Unread,
    /// A defect of the compiler: the old catalog stays, and what changed is compiled again after a while.
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
        let mut directories = Directories::new(self.directory.clone(), self.poll, sender.clone());
        let mut reads = Reads::default();
        let mut synced_at = None;
        let mut failed_at: Option<Instant> = None;
        let mut ticks = interval(self.poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                change = receiver.recv() => {
                    // This task holds a sender itself: there is always a next one.
                    let Some(change) = change else { return };
                    if matches!(change, Change::Unwatched) {
                        tell(Event::Unread);
                        continue;
                    }
                    state.apply(change);
                    gather(&mut receiver, &mut state).await;
                    self.observed.send_replace(state.observed());
                }
                // Later than others.
                Some(read) = reads.next() => {
                    if !take(&mut state, read) {
                        tell(Event::Unread);
                    }
                }
                // Sources that could not be read are tried again, and directories are looked at.
                _ = ticks.tick() => {
                    let catalog = self.catalog.clone();
                    tokio::task::spawn_blocking(move || catalog.tidy());
                }
            }
            let patience = if self.catalog.is_synced() { LONGEST_WAIT } else { FIRST_PATIENCE };
            directories.follow(state.named_directories(), patience);
            if !state.is_synced() {
                continue;
            }
            let synced_at = *synced_at.get_or_insert_with(Instant::now);
            if self.read_sources(&mut state, &mut reads).await {
                tell(Event::Unread);
            }
            let all_read = reads.is_empty() && !state.has_unreadable();
            if !all_read && !self.catalog.is_synced() && synced_at.elapsed() < FIRST_PATIENCE {
                continue;
            }
            // Whatever changes is compiled with what the compiler has just died of.
            if failed_at.is_some_and(|failed| failed.elapsed() < AFTER_DEFECT) {
                continue;
            }
            let mut changed = state.take_changes();
            if !self.catalog.is_synced() {
                // At first everything is new: nobody wants to read that.
                changed.clear();
            } else if changed.is_empty() && failed_at.is_none() {
                continue;
            }
            let event = self.compile(&state, changed).await;
            failed_at = matches!(event, Event::Failed).then(Instant::now);
            tell(event);
        }
    }

    /// Reads the sources that are new or different. Says whether an attempt failed; what is not read stays as it was, so
    /// that it holds up nobody else: what takes longer than usual is not waited for here.
    async fn read_sources(&mut self, state: &mut State, reads: &mut Reads) -> bool {
        for source in state.stale(Instant::now()) {
            reads.begin(&self.client, source);
        }
        let mut failed = false;
        // One that could not be read the last time is not waited for again.
        while let Some(end) = reads.worth_waiting(|source| !state.is_unreadable(source))
            && let Ok(Some(read)) = timeout_at(end, reads.next()).await
        {
            failed |= !take(state, read);
        }
        failed
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

/// Takes what was read of a source, or why it was not. Says whether it was.
fn take(state: &mut State, (source, content): Read) -> bool {
    match content {
        Ok(content) => {
            state.fill(source, content);
            true
        }
        Err(why) => {
            if state.fail(&source, &why) {
                let object = state::title(&source);
                tracing::warn!(
                    object,
                    why,
                    "cannot read a source; what is known stays, and the next attempt follows"
                );
            }
            false
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
