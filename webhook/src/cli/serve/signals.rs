//! SIGTERM and SIGINT: the first drains, the second ends at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cli::exit::Failure;
use crate::cli::output::internal;
use crate::server::Stop;

/// Listens from now on: call it before anybody is told that we serve.
pub(super) fn listen() -> Result<watch::Receiver<Stop>, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(internal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(internal)?;
    let (asked, stop) = watch::channel(Stop::Serve);
    tokio::spawn(async move {
        for wish in [Stop::Gently, Stop::Now] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!(how = ?wish, "asked to stop");
            asked.send_replace(wish);
        }
        // The sender has to outlive the server: a channel without one means something else.
        std::future::pending::<()>().await;
    });
    Ok(stop)
}
