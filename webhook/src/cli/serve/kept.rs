//! Tasks that a defect does not end for good: whoever serves pods goes on with what is known, and what keeps that up to
//! date begins again.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;

/// How long until a task that a defect has ended begins again: what it died of may still be there.
const AGAIN: Duration = Duration::from_secs(30);

/// Keeps a task at work: one that dies of a defect is counted and begins again.
pub(super) async fn keep<F>(task: &'static str, failures: Counter, work: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while tokio::spawn(work()).await.is_err_and(|error| error.is_panic()) {
        failures.inc();
        tracing::error!(
            task,
            "a task died of a defect of spark-injector; what is known stays, and it begins again"
        );
        sleep(AGAIN).await;
    }
}

/// Looks at something every so often, for ever, on a thread that may block. What it looks with outlives a defect.
pub(super) async fn keep_looking<T: Send + 'static>(
    task: &'static str,
    failures: Counter,
    (with, every): (T, Duration),
    look: impl Fn(&mut T) + Send + Sync + 'static,
) {
    let shared = Arc::new((Mutex::new(with), look));
    let work = || {
        let shared = Arc::clone(&shared);
        async move {
            loop {
                sleep(every).await;
                let shared = Arc::clone(&shared);
                let looked = spawn_blocking(move || {
                    let (with, look) = &*shared;
                    look(&mut with.lock().unwrap_or_else(PoisonError::into_inner));
                });
                match looked.await.map_err(JoinError::try_into_panic) {
                    Ok(()) => {}
                    // A defect there is one of this task.
                    Err(Ok(cause)) => resume_unwind(cause),
                    Err(Err(_)) => return,
                }
            }
        }
    };
    keep(task, failures, work).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_dies_begins_again() {
        let (begun, failures, start) = (Arc::new(AtomicU32::new(0)), Counter::default(), Instant::now());
        let work = || {
            let before = begun.fetch_add(1, Ordering::Relaxed);
            async move { assert!(before > 1, "a defect") }
        };
        keep("test", failures.clone(), work).await;
        assert_eq!((begun.load(Ordering::Relaxed), failures.get()), (3, 2));
        assert!(start.elapsed() >= AGAIN * 2, "it was not tried without a pause");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_dies_is_repeated_with_what_it_had() {
        let (sender, mut looks) = tokio::sync::mpsc::unbounded_channel();
        let look = move |times: &mut u32| {
            *times += 1;
            sender.send(*times).unwrap();
            assert!(*times > 2, "a defect");
        };
        let failures = Counter::default();
        let every = Duration::from_secs(1);
        let start = Instant::now();
        let task = tokio::spawn(keep_looking("test", failures.clone(), (0, every), look));
        for expected in 1..5 {
            assert_eq!(looks.recv().await, Some(expected));
        }
        assert_eq!(failures.get(), 2);
        assert!(start.elapsed() >= AGAIN * 2);
        task.abort();
    }
}
