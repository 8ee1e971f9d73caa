//! The catalog in use: whoever makes it stores it here, everybody else reads it here or waits for the next one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use crate::catalog::Catalog;

/// A handle to the catalog in use; every clone sees the same one.
#[derive(Clone, Debug, Default)]
pub struct LiveCatalog {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    catalog: ArcSwap<Catalog>,
    /// Catalogs of before that a request may still be reading.
    retired: Mutex<Vec<Arc<Catalog>>>,
    /// Whether one was stored; asked by every request, so not by the lock of `stored`.
    synced: AtomicBool,
    /// How many catalogs were stored; none means that nothing is known yet.
    stored: watch::Sender<u64>,
}

impl LiveCatalog {
    /// A holder that already has its first catalog.
    pub fn of(catalog: Catalog) -> Self {
        let live = Self::default();
        live.store(catalog);
        live
    }

    /// The catalog in use: empty until the first one is stored. Takes no lock; keep it for one request, not longer.
    pub fn load(&self) -> Guard<Arc<Catalog>> {
        self.inner.catalog.load()
    }

    /// The same, to be kept.
    pub fn load_full(&self) -> Arc<Catalog> {
        self.inner.catalog.load_full()
    }

    /// Puts another catalog into use and wakes everybody who waits for one.
    pub fn store(&self, catalog: Catalog) {
        // In this order: whoever is woken finds it. The swap counts every request that reads the old one, and none can
        // begin to afterwards.
        let old = self.inner.catalog.swap(Arc::new(catalog));
        self.inner.synced.store(true, Ordering::Release);
        self.inner.stored.send_modify(|stored| *stored += 1);
        self.retire(Some(old));
    }

    /// Drops what is not needed any more: revisions that are not recent, and catalogs of before that no request reads.
    /// At every look at the inputs, on a thread that may take its time: a request that is the last to let go of a catalog
    /// would free it before it answers.
    pub fn tidy(&self) {
        let current = self.load_full();
        let forgetful = current.forget(SystemTime::now()).map(Arc::new);
        // A newer one that came meanwhile stays: compiling forgets as well.
        let swapped = forgetful
            .is_some_and(|next| Arc::ptr_eq(&self.inner.catalog.compare_and_swap(&current, next), &current));
        self.retire(swapped.then_some(current));
    }

    /// Keeps a catalog of before as long as somebody else does.
    fn retire(&self, old: Option<Arc<Catalog>>) {
        self.retired(|retired| {
            retired.extend(old);
            retired.retain(|old| Arc::strong_count(old) > 1);
        });
    }

    /// Locks what requests never touch.
    fn retired<T>(&self, change: impl FnOnce(&mut Vec<Arc<Catalog>>) -> T) -> T {
        change(&mut self.inner.retired.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a first catalog is in use. Until then nobody can say what a pod should get.
    pub fn is_synced(&self) -> bool {
        self.inner.synced.load(Ordering::Acquire)
    }

    /// Tells of every catalog that is stored from now on; the value is how many there were.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.stored.subscribe()
    }

    /// Waits until a first catalog is in use.
    pub async fn synced(&self) {
        // The sender lives as long as `self`: waiting cannot fail.
        drop(self.changes().wait_for(|stored| *stored > 0).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Settings, Snapshot};

    fn catalog(namespace: &str) -> Catalog {
        let settings = Settings { namespace: namespace.to_owned(), ..Settings::default() };
        Catalog::compile(&Snapshot::default(), &settings, None)
    }

    #[test]
    fn an_old_catalog_stays_until_nobody_reads_it() {
        let live = LiveCatalog::default();
        let reader = live.load();
        live.store(catalog("first"));
        live.store(catalog("second"));
        assert_eq!(live.retired(|retired| retired.len()), 1);
        drop(reader);
        live.tidy();
        assert_eq!(live.retired(|retired| retired.len()), 0);
    }

    #[tokio::test]
    async fn whoever_waits_finds_the_catalog_that_woke_him() {
        let live = LiveCatalog::default();
        assert!(!live.is_synced());
        let (other, mut changes) = (live.clone(), live.changes());
        let waiting = tokio::spawn(async move {
            other.synced().await;
            other.load().own_namespace().to_owned()
        });
        live.store(catalog("first"));
        assert_eq!(waiting.await.unwrap(), "first");
        assert!(live.is_synced() && changes.has_changed().unwrap());
        changes.mark_unchanged();
        live.store(catalog("second"));
        changes.changed().await.unwrap();
        assert_eq!((live.load_full().own_namespace(), *changes.borrow()), ("second", 2));
    }
}
