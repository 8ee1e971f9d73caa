//! What kube-proxy does for a Service, on loopback: each new connection goes to one of the ready endpoints in turn. An
//! endpoint that is not ready or that is terminating gets no new connection; established ones stay until one side
//! closes them. Where no endpoint is ready, connections are refused.
//!
//! Two things differ from a node. kube-proxy forwards packets, so an endpoint that refuses a connection is seen as
//! refused; here the connection is accepted first and then reset, which the API server's client does not retry
//! either. And kube-proxy does not probe: the kubelet does, and the probing is in here as well.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::runtime;

/// How often an endpoint is asked whether it is ready: the shipped readiness probe, faster.
const PROBE: Duration = Duration::from_millis(200);

/// A balancer; everything through it ends when it is dropped.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    table: Arc<Table>,
    tasks: Vec<JoinHandle<()>>,
}

/// Who gets connections.
#[derive(Debug, Default)]
struct Table {
    endpoints: Mutex<HashMap<SocketAddr, Endpoint>>,
    /// Counts up with each connection: whose turn it is.
    turn: AtomicUsize,
    refused: AtomicUsize,
}

#[derive(Debug)]
struct Endpoint {
    /// Where `GET /readyz` is answered; without one it is always ready.
    probe: Option<SocketAddr>,
    ready: bool,
    accepted: usize,
    unreachable: usize,
    open: usize,
    /// Ends all its connections when it is dropped or told so.
    cut: watch::Sender<u64>,
}

impl Balancer {
    /// Listens on a port of its own, with no endpoint.
    pub fn start() -> Self {
        let (listener, address) = runtime::block_on(async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
            let address = listener.local_addr().expect("its address");
            (listener, address)
        });
        let table = Arc::<Table>::default();
        let tasks = vec![
            runtime::handle().spawn(accept(listener, Arc::clone(&table))),
            runtime::handle().spawn(probe(Arc::clone(&table))),
        ];
        Self { address, table, tasks }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds an endpoint. With an address to probe it gets connections once it says that it is ready.
    pub fn add(&self, endpoint: SocketAddr, probe: Option<SocketAddr>) {
        let new = Endpoint {
            probe,
            ready: probe.is_none(),
            accepted: 0,
            unreachable: 0,
            open: 0,
            cut: watch::Sender::new(0),
        };
        self.table.lock().insert(endpoint, new);
    }

    /// No new connections to an endpoint that is terminating; those that it has stay.
    pub fn retire(&self, endpoint: SocketAddr) {
        if let Some(endpoint) = self.table.lock().get_mut(&endpoint) {
            (endpoint.probe, endpoint.ready) = (None, false);
        }
    }

    /// Breaks all connections of an endpoint, as when its node is gone. It stays an endpoint.
    pub fn cut(&self, endpoint: SocketAddr) {
        if let Some(endpoint) = self.table.lock().get_mut(&endpoint) {
            endpoint.cut.send_modify(|times| *times += 1);
        }
    }

    /// How many endpoints get connections now.
    pub fn ready(&self) -> usize {
        self.table.lock().values().filter(|endpoint| endpoint.ready).count()
    }

    /// How many connections an endpoint has been given, and how many of them are open.
    pub fn connections(&self, endpoint: SocketAddr) -> (usize, usize) {
        self.table
            .lock()
            .get(&endpoint)
            .map(|endpoint| (endpoint.accepted, endpoint.open))
            .unwrap_or_default()
    }

    /// How many connections went to an endpoint that did not take them.
    pub fn unreachable(&self, endpoint: SocketAddr) -> usize {
        self.table.lock().get(&endpoint).map(|endpoint| endpoint.unreachable).unwrap_or_default()
    }

    /// How many connections no endpoint was ready for.
    pub fn refused(&self) -> usize {
        self.table.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.table.lock().clear();
    }
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Endpoint>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The endpoint for the next connection, with its cutter.
    fn next(&self) -> Option<(SocketAddr, watch::Receiver<u64>)> {
        let mut endpoints = self.lock();
        let mut ready: Vec<_> = endpoints.iter_mut().filter(|(_, endpoint)| endpoint.ready).collect();
        ready.sort_by_key(|(address, _)| **address);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % ready.len().max(1);
        let (address, endpoint) = ready.into_iter().nth(turn)?;
        endpoint.accepted += 1;
        endpoint.open += 1;
        Some((*address, endpoint.cut.subscribe()))
    }

    fn closed(&self, endpoint: SocketAddr, reached: bool) {
        if let Some(endpoint) = self.lock().get_mut(&endpoint) {
            endpoint.open = endpoint.open.saturating_sub(1);
            endpoint.unreachable += usize::from(!reached);
        }
    }
}

async fn accept(listener: TcpListener, table: Arc<Table>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        match table.next() {
            Some((endpoint, cut)) => {
                let table = Arc::clone(&table);
                tokio::spawn(async move {
                    let reached = forward(client, endpoint, cut).await;
                    table.closed(endpoint, reached);
                });
            }
            None => _ = table.refused.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// Carries bytes both ways until one side ends or the connection is cut. Tells whether the endpoint was reached.
async fn forward(mut client: TcpStream, endpoint: SocketAddr, mut cut: watch::Receiver<u64>) -> bool {
    let Ok(mut server) = TcpStream::connect(endpoint).await else { return false };
    // Two hops would add two delays to each small packet.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = cut.changed() => {}
    }
    true
}

async fn probe(table: Arc<Table>) {
    loop {
        let probes: Vec<_> =
            table.lock().iter().filter_map(|(address, endpoint)| Some((*address, endpoint.probe?))).collect();
        for (address, probe) in probes {
            let ready = is_ready(probe).await;
            // It may have been retired while it was asked.
            if let Some(endpoint) = table.lock().get_mut(&address).filter(|endpoint| endpoint.probe.is_some())
            {
                endpoint.ready = ready;
            }
        }
        tokio::time::sleep(PROBE).await;
    }
}

/// Whether `GET /readyz` is answered with 200 within a second, as a kubelet asks.
async fn is_ready(address: SocketAddr) -> bool {
    let question = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with(b"HTTP/1.1 200"))
    };
    matches!(tokio::time::timeout(Duration::from_secs(1), question).await, Ok(Ok(true)))
}
