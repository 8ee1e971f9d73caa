//! `serve`: starts the server, keeps profiles and certificate up to date, and tells it when to end.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum_server::tls_rustls::RustlsConfig;
use spark_injector_certs::{Event, Pair, Protocols, Reloader};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use super::exit::Failure;
use super::output::internal;
use crate::args::{Inputs, ServeArgs, TlsVersion};
use crate::server::metrics::{Metrics, Reloaded};
use crate::server::{Addresses, Bound, DrainTimes, Stop};
use crate::sources::watch::{Change, Reload, Watch};

pub(super) fn run(args: ServeArgs) -> Result<(), Failure> {
    let ServeArgs {
        inputs,
        listen,
        admin,
        tls_cert,
        tls_key,
        tls_min,
        tls_poll,
        poll,
        drain_quiet,
        drain_min,
        drain_max,
    } = args;
    let protocols = match tls_min {
        TlsVersion::V1_2 => Protocols::Tls12And13,
        TlsVersion::V1_3 => Protocols::Tls13,
    };
    let times = DrainTimes { quiet: drain_quiet, min: drain_min, max: drain_max };
    if times.max < times.min || times.max < times.quiet {
        let message = "--drain-max has to be at least as long as --drain-min and --drain-quiet";
        return Err(Failure::Unusable(message.to_owned()));
    }
    start_logging();
    let Inputs { directory, settings } = Inputs::from(inputs);
    let pair = Pair { certificate: tls_cert, key: tls_key, protocols };
    let (reloader, credentials) =
        Reloader::start(pair, SystemTime::now()).map_err(|error| Failure::Unusable(error.to_string()))?;
    let (inputs, first) =
        Watch::start(directory, settings).map_err(|error| Failure::Unusable(error.to_string()))?;
    let bound = Bound::open(listen, admin).map_err(|error| Failure::Unusable(error.to_string()))?;

    let metrics = Arc::new(Metrics::new());
    metrics.certificate_in_use(credentials.not_after);
    report_reload(&first, &metrics);
    let catalog = inputs.catalog();
    for warning in catalog.load().warnings() {
        tracing::warn!(%warning, "worth knowing");
    }
    let tls = RustlsConfig::from_config(credentials.config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(internal)?;
    runtime.block_on(async {
        // Before anybody is told that we listen: a signal must never find the default action.
        let stop = listen_to_signals()?;
        tokio::spawn(keep_inputs(inputs, poll, Arc::clone(&metrics)));
        tokio::spawn(keep_certificate(reloader, tls_poll, tls.clone(), Arc::clone(&metrics)));
        announce(bound.addresses().map_err(internal)?)?;
        bound.serve(catalog, metrics, tls, times, stop).await.map_err(internal)
    })?;
    // A look at the inputs may be under way on another thread; nobody needs its result.
    runtime.shutdown_background();
    tracing::info!("ended");
    Ok(())
}

/// JSON lines on the standard error, and panics among them without their text, which may quote a request.
fn start_logging() {
    let filter = EnvFilter::builder()
        .with_env_var("SPARK_INJECTOR_LOG")
        .with_default_directive(tracing::Level::INFO.into());
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter.from_env_lossy())
        .with_writer(std::io::stderr)
        .finish();
    // Fails only where a subscriber is set already, in a test.
    drop(tracing::subscriber::set_global_default(subscriber));
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "panic: a defect of spark-injector");
    }));
}

/// The first line on the standard output: tools wait for it, and read the ports from it.
fn announce(addresses: Addresses) -> Result<(), Failure> {
    let Addresses { review, admin } = addresses;
    let line =
        serde_json::json!({ "listening": { "review": review.to_string(), "admin": admin.to_string() } });
    let mut stdout = std::io::stdout().lock();
    // Whoever started us may not care: a closed pipe is no reason not to serve.
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(internal(error)),
        _ => {
            tracing::info!(review = %review, admin = %admin, "serving");
            Ok(())
        }
    }
}

fn listen_to_signals() -> Result<watch::Receiver<Stop>, Failure> {
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

async fn keep_inputs(mut inputs: Watch, every: Duration, metrics: Arc<Metrics>) {
    loop {
        tokio::time::sleep(every).await;
        // Reading and compiling block; requests go on meanwhile with the catalog of before.
        let looked = tokio::task::spawn_blocking(move || {
            let change = inputs.poll();
            (inputs, change)
        });
        let Ok((watch, change)) = looked.await else {
            metrics.catalog_reloaded(Reloaded::Error);
            tracing::error!("profiles are no longer reloaded; restart spark-injector");
            return;
        };
        inputs = watch;
        match change {
            Change::None => {}
            Change::Reloaded(reload) => {
                metrics.catalog_reloaded(Reloaded::Ok);
                report_reload(&reload, &metrics);
            }
            Change::Kept(unreadable) => {
                metrics.catalog_reloaded(Reloaded::Error);
                let problems: Vec<String> = unreadable.0.iter().map(ToString::to_string).collect();
                tracing::error!(problems = problems.join("; "), "inputs unreadable; the last good ones stay");
            }
        }
    }
}

fn report_reload(reload: &Reload, metrics: &Metrics) {
    let Reload { appeared, resolved, moved, problems, namespaces } = reload;
    metrics.catalog_in_use(*problems, SystemTime::now());
    tracing::info!(namespaces, problems, "profiles compiled");
    for (namespace, profile) in moved {
        if let Some(profile) = profile {
            tracing::info!(namespace, profile, "namespace served");
        } else {
            tracing::warn!(namespace, "namespace opted in, but no profile serves it");
        }
    }
    for problem in appeared {
        tracing::warn!(%problem, "mistake in the inputs");
    }
    for problem in resolved {
        tracing::info!(%problem, "mistake resolved");
    }
}

async fn keep_certificate(mut reloader: Reloader, every: Duration, tls: RustlsConfig, metrics: Arc<Metrics>) {
    loop {
        tokio::time::sleep(every).await;
        let looked = tokio::task::spawn_blocking(move || {
            let event = reloader.poll(SystemTime::now());
            (reloader, event)
        });
        let Ok((next, event)) = looked.await else {
            metrics.certificate_reloaded(Reloaded::Error);
            tracing::error!("the certificate is no longer reloaded; restart spark-injector");
            return;
        };
        reloader = next;
        match event {
            Event::Unchanged => {}
            Event::Loaded(credentials) => {
                tls.reload_from_config(credentials.config);
                metrics.certificate_in_use(credentials.not_after);
                metrics.certificate_reloaded(Reloaded::Ok);
                tracing::info!("another certificate is served");
            }
            Event::Refused(error) => {
                metrics.certificate_reloaded(Reloaded::Error);
                tracing::error!(%error, "certificate not usable; the old one stays");
            }
        }
    }
}
