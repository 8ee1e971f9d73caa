//! The speed of light: the server itself, to which somebody has already said the answer.
//!
//! Accepting, TLS, limits, metrics and log are those of `serve`; what is missing is the engine.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use spark_injector::admit::{self, Answer};
use spark_injector::catalog::Catalog;
use spark_injector::server::metrics::Metrics;
use spark_injector::server::{
    AdmissionLog, Bound, Clients, DrainTimes, Limits, Log, LogFormat, Serving, Stop, Tls,
};
use spark_injector::sources::live::LiveCatalog;
use spark_injector_certs::{Handshake, Pair};
use tokio::sync::watch;

use crate::args::Constant;
use crate::fixtures;

static ANSWER: OnceLock<Answer> = OnceLock::new();

fn answer(_: &Catalog, _: &[u8]) -> Answer {
    ANSWER.get().cloned().unwrap_or_else(Answer::failed)
}

/// Serves until the standard input ends.
pub(crate) fn serve(args: Constant) {
    let Constant { certificate, key, payload } = args;
    let judged = admit::review(&fixtures::catalog(payload), &fixtures::review("team-a"));
    assert!(ANSWER.set(judged).is_ok(), "it is said once");
    let metrics = Arc::new(Metrics::new());
    let log = Log::default();
    let writer = log.clone().write_to(std::io::stderr(), metrics.dropped_lines()).expect("a thread");
    tracing_subscriber::fmt().with_writer(log.clone()).init();
    let pair = Pair { certificate, key, handshake: Handshake::default() };
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let bound = Bound::open(loopback, loopback).expect("ports");
    let address = bound.addresses().expect("addresses").review;
    let serving = Serving {
        catalog: LiveCatalog::of(Catalog::default()),
        reviewer: answer,
        metrics,
        log: Some(AdmissionLog { log, format: LogFormat::Json }),
        tls: Tls::new(pair.load(SystemTime::now()).expect("a pair").config),
        clients: Clients::default(),
        limits: Limits::default(),
        drain: DrainTimes::default(),
    };
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{{\"listening\":{{\"review\":\"{address}\"}}}}").expect("a parent");
    let (end, ended) = watch::channel(Stop::Serve);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        end.send_replace(Stop::Now);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(bound.serve(serving, ended)).expect("it serves");
    drop(writer);
}
