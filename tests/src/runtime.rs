//! The one runtime behind the blocking interface. Tests stay plain functions, and a client made in one test works
//! in every other: a connection is tied to the runtime that made it, and a runtime per test would end with it.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

/// The runtime, started at the first use.
pub(crate) fn handle() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a tokio runtime")
    })
}

/// Runs a future to its end. Not to be called from inside asynchronous code.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    handle().block_on(future)
}
