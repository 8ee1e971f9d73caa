//! A server in this process: its limits and its catalog are the test's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use spark_injector::catalog::{Catalog, Settings};
use spark_injector::server::{Bound, Clients, DrainTimes, Limits, Serving, Stop, Tls};
use spark_injector::sources::directory::Directory;
use spark_injector::sources::live::LiveCatalog;
use spark_injector_certs::{Handshake, Pair};
use tokio::sync::watch;

use super::client::{Client, PATIENCE, get, write_pair};
use super::process::PROFILE;

/// A server in this process.
pub(crate) struct Local {
    pub(crate) review: SocketAddr,
    pub(crate) catalog: LiveCatalog,
    admin: SocketAddr,
    stop: watch::Sender<Stop>,
    thread: Option<JoinHandle<()>>,
    folder: tempfile::TempDir,
}

impl Local {
    /// Serves [`PROFILE`] within these limits.
    pub(crate) fn start(limits: Limits) -> Self {
        let local = Self::start_empty(limits);
        local.catalog.store(compiled(PROFILE));
        local
    }

    /// Serves a catalog that nobody has filled yet.
    pub(crate) fn start_empty(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_pair(folder.path());
        let pair = Pair {
            certificate: folder.path().join("tls.crt"),
            key: folder.path().join("tls.key"),
            handshake: Handshake::default(),
        };
        let tls = Tls::new(pair.load(SystemTime::now()).unwrap().config);
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let bound = Bound::open(loopback, loopback).unwrap();
        let addresses = bound.addresses().unwrap();
        let catalog = LiveCatalog::default();
        let (stop, stopped) = watch::channel(Stop::Serve);
        let drain = DrainTimes::default();
        let serving = Serving {
            catalog: catalog.clone(),
            reviewer: spark_injector::admit::review,
            metrics: Arc::default(),
            log: None,
            tls,
            clients: Clients::default(),
            limits,
            drain,
        };
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(bound.serve(serving, stopped)).unwrap();
        });
        Self { review: addresses.review, admin: addresses.admin, catalog, stop, thread: Some(thread), folder }
    }

    pub(crate) fn connect(&self) -> Client {
        self.try_connect().unwrap()
    }

    pub(crate) fn try_connect(&self) -> std::io::Result<Client> {
        Client::connect(self.review, &self.folder.path().join("tls.crt"))
    }

    /// A plain GET: status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        get(self.admin, path)
    }

    /// Waits until the metrics have this line.
    pub(crate) fn wait_for_metric(&self, line: &str) {
        let started = Instant::now();
        loop {
            let (_, metrics) = self.get("/metrics");
            if metrics.lines().any(|found| found == line) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{line} is not in\n{metrics}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.stop.send_replace(Stop::Now);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the server does not end well");
    }
}

/// A catalog of these documents.
pub(crate) fn compiled(yaml: &str) -> Catalog {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), yaml).unwrap();
    let directory = Directory {
        from: vec![folder.path().to_owned()],
        files_root: None,
        default_namespace: Settings::default().namespace,
    };
    let load = directory.load().unwrap();
    Catalog::compile(&load.snapshot, &Settings::default(), None)
}
