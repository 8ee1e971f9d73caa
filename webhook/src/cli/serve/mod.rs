//! `serve`: starts the server, keeps profiles and certificate up to date, and tells it when to end.

mod clients;
mod credentials;
mod inputs;
mod kept;
mod logging;
mod signals;
mod writers;

use std::sync::Arc;

use super::exit::Failure;
use super::output::{Printed, internal};
use crate::admit;
use crate::args::{DrainArgs, Inputs, ServeArgs, TlsSource};
use crate::cluster::{Access, connect, own_namespace};
use crate::server::metrics::Metrics;
use crate::server::{Addresses, Bound, DrainTimes, Limits, Serving, Stop};
use clients::ClientFiles;
use credentials::Credentials;
use inputs::Source;

pub(super) fn run(args: ServeArgs) -> Result<(), Failure> {
    let ServeArgs {
        from,
        cluster,
        mut compile,
        poll,
        listen,
        admin,
        tls,
        clients,
        delivery,
        drain,
        limits,
        log,
    } = args;
    let workers = limits.workers;
    let limits = Limits { connections: limits.max_connections.get(), ..Limits::default() };
    let times = drain_times(&drain)?;
    let metrics = Arc::new(Metrics::new());
    let logging = logging::start(&log, &metrics).map_err(internal)?;
    compile.client_authentication = clients.authenticate();
    let clients = ClientFiles::start(clients)?;
    let tls_poll = tls.tls_poll;
    let source = tls.source(from.is_empty()).map_err(Failure::Unusable)?;
    // Not one for each processor of the node: each may hold a large review, and threads that wake each other cost time.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(internal)?;
    // What is made with a client spawns on the runtime.
    let inside = runtime.enter();
    let client = match source {
        TlsSource::Files if !from.is_empty() => None,
        _ => {
            let connection = runtime.block_on(connect(&Access::from(cluster)));
            Some(
                connection
                    .map_err(|error| unusable(format_args!("{error}, or serve files with --from")))?
                    .client,
            )
        }
    };
    let (credentials, tls) = match (source, &client) {
        (TlsSource::Own, Some(client)) => {
            let namespace = compile.own_namespace(own_namespace());
            Credentials::own(tls, clients.authorities(), namespace, client, &metrics)?
        }
        _ => Credentials::files(tls, clients.authorities(), &metrics)?,
    };
    let inputs = match client {
        Some(client) if from.is_empty() => Source::cluster(client, compile, poll, delivery.settings()),
        _ => Source::directory(Inputs::new(from, compile), poll, &metrics)?,
    };
    drop(inside);
    let bound = Bound::open(listen, admin).map_err(unusable)?;

    runtime.block_on(async {
        // Before anybody is told that we listen: a signal must never find the default action.
        let stop = signals::listen()?;
        let catalog = inputs.catalog();
        let writers = inputs.write(&metrics, stop.clone());
        tokio::spawn(inputs.keep(Arc::clone(&metrics)));
        let proofs = clients.clients();
        tokio::spawn(credentials.keep(Arc::clone(&metrics)));
        tokio::spawn(clients.keep(tls_poll, metrics.task_failures("clients")));
        announce(bound.addresses().map_err(internal)?)?;
        let log = Some(logging.admissions);
        let reviewer = admit::review;
        let serving = Serving { catalog, reviewer, metrics, log, tls, clients: proofs, limits, drain: times };
        bound.serve(serving, stop.clone()).await.map_err(internal)?;
        // Asked to end when the server was; another replica waits for the Lease.
        if let (Some(writers), Stop::Gently) = (writers, *stop.borrow()) {
            drop(writers.await);
        }
        Ok(())
    })?;
    // A look at the inputs may be under way on another thread; nobody needs its result.
    runtime.shutdown_background();
    tracing::info!("ended");
    drop(logging.writer);
    Ok(())
}

fn unusable(error: impl std::fmt::Display) -> Failure {
    Failure::Unusable(error.to_string())
}

fn drain_times(args: &DrainArgs) -> Result<DrainTimes, Failure> {
    let times = DrainTimes { quiet: args.drain_quiet, min: args.drain_min, max: args.drain_max };
    if times.max < times.min || times.max < times.quiet {
        let message = "--drain-max has to be at least as long as --drain-min and --drain-quiet";
        return Err(Failure::Unusable(message.to_owned()));
    }
    Ok(times)
}

/// The first line on the standard output: tools wait for it, and read the ports from it.
fn announce(addresses: Addresses) -> Result<(), Failure> {
    let Addresses { review, admin } = addresses;
    let line =
        serde_json::json!({ "listening": { "review": review.to_string(), "admin": admin.to_string() } });
    // Whoever started us may not care: a closed pipe is no reason not to serve.
    Printed::from(format!("{line}\n")).write()?;
    tracing::info!(review = %review, admin = %admin, "serving");
    Ok(())
}
