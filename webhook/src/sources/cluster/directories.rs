//! The directories on our own disk that profiles name. There is no watch that could be trusted: kubelet and git-sync swap
//! symlinks above the files. So each is looked at again and again, and by itself: a file system that hangs holds up
//! nobody but the profiles that name it, and one thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};
use tracing::debug_span;

use super::watches::{Change, Seen};
use crate::catalog::ObjectData;
use crate::sources::digest::Fingerprint;
use crate::sources::directory::Directory;
use crate::sources::files_root;

/// What a directory holds, or why that is not known.
pub(super) type Found = Result<Arc<ObjectData>, String>;

/// A healthy file system needs milliseconds.
const LATE: Duration = Duration::from_secs(10);

/// Follows the directories that are named.
pub(super) struct Directories {
    directory: Directory,
    every: Duration,
    changes: mpsc::Sender<Change>,
    named: watch::Sender<BTreeSet<String>>,
    /// Also one that nobody names any more, as long as a look at it is under way.
    followed: BTreeMap<String, JoinHandle<()>>,
}

impl Directories {
    /// Looks at every directory `every` so often, and tells `changes` what it finds.
    pub(super) fn new(directory: Directory, every: Duration, changes: mpsc::Sender<Change>) -> Self {
        Self { directory, every, changes, named: watch::Sender::default(), followed: BTreeMap::new() }
    }

    /// Follows these directories and no others. Something is told of each new one within `patience`.
    pub(super) fn follow(&mut self, named: &BTreeSet<String>, patience: Duration) {
        self.named.send_replace(named.clone());
        self.followed.retain(|_, follower| !follower.is_finished());
        for path in named {
            self.followed.entry(path.clone()).or_insert_with_key(|path| {
                let follower = Follower {
                    directory: self.directory.clone(),
                    path: path.clone(),
                    named: self.named.subscribe(),
                    changes: self.changes.clone(),
                };
                tokio::spawn(follower.run(self.every, patience))
            });
        }
    }
}

/// Looks at one directory.
struct Follower {
    directory: Directory,
    path: String,
    named: watch::Receiver<BTreeSet<String>>,
    changes: mpsc::Sender<Change>,
}

impl Follower {
    async fn run(self, every: Duration, mut patience: Duration) {
        let mut seen = None;
        while self.named.borrow().contains(&self.path) {
            let (directory, path) = (self.directory.clone(), self.path.clone());
            let began = Timestamp::now();
            let mut looking = spawn_blocking(move || look(&directory, &path, seen));
            let answer = timeout(patience, &mut looking).await;
            let is_late = answer.is_err();
            let looked = if let Ok(looked) = answer {
                looked
            } else if self.tell(Err(self.hangs(began))).await {
                // Nothing can end it, and another look beside it would only hang as well.
                looking.await
            } else {
                return;
            };
            patience = LATE;
            let (fingerprint, found) =
                looked.map_or_else(|_| (None, Some(Err(self.defect()))), |(seen, found)| (Some(seen), found));
            // What was told last is that it hangs: what it holds has to be read again, though it may be unchanged.
            seen = fingerprint.filter(|_| found.is_some() || !is_late);
            if let Some(found) = found
                && !self.tell(found).await
            {
                return;
            }
            sleep(every).await;
        }
        drop(self.changes.send(Change::Directories(Seen::Gone(self.path))).await);
    }

    /// Whether anybody still listens.
    async fn tell(&self, found: Found) -> bool {
        self.changes.send(Change::Directories(Seen::One(self.path.clone(), found))).await.is_ok()
    }

    fn hangs(&self, since: Timestamp) -> String {
        let since = since.strftime("%Y-%m-%dT%H:%M:%SZ");
        format!(
            "directory `{}` has not answered since {since}: its file system hangs; see what is mounted below --files-root",
            self.path
        )
    }

    fn defect(&self) -> String {
        format!("directory `{}` cannot be read: a defect of spark-injector", self.path)
    }
}

/// Reads a directory, if that may find something new.
fn look(directory: &Directory, path: &str, seen: Option<Fingerprint>) -> (Fingerprint, Option<Found>) {
    let now = directory.fingerprint(&[path.to_owned()]);
    if seen == Some(now) && now.is_settled() {
        return (now, None);
    }
    let read = || files_root::read_directory(directory.files_root.as_deref(), path).map(Arc::new);
    (now, Some(debug_span!("read_directory").in_scope(read)))
}
