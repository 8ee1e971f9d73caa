//! The HTTP side: reviews over TLS, health and metrics on a plain port, and an end that no caller notices.
//!
//! Binding is apart from serving, and the end is told from outside, so that tests own both. What a review means is
//! the engine's part: nothing here looks into a body.

mod activity;
mod admin;
mod body;
mod clients;
mod connections;
mod drain;
mod frames;
mod limits;
mod log;
pub mod metrics;
mod record;
mod review;
mod tls;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;

pub use clients::{Clients, Names, Token};
pub use drain::{DrainTimes, Stop};
pub use limits::Limits;
pub use log::{Log, Writer};
pub use record::{AdmissionLog, LogFormat};
pub use tls::Tls;

use crate::admit::Answer;
use crate::catalog::Catalog;
use crate::sources::live::LiveCatalog;
use body::Budget;
use connections::Port;
use drain::Drain;
use metrics::{Metrics, Now};
use tls::Health;

/// From a body to an answer.
pub type Reviewer = fn(&Catalog, &[u8]) -> Answer;

/// What is served, and how.
#[derive(Debug)]
pub struct Serving {
    /// What requests are judged by.
    pub catalog: LiveCatalog,
    /// What judges them at `/mutate`: [`crate::admit::review`], or a stand-in that tells what the server alone costs.
    pub reviewer: Reviewer,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where admissions are logged.
    pub log: Option<AdmissionLog>,
    /// What the review port shows in handshakes.
    pub tls: Tls,
    /// What callers of the review port have to prove.
    pub clients: Clients,
    /// What callers may take.
    pub limits: Limits,
    /// How it ends.
    pub drain: DrainTimes,
}

/// What the handlers share.
struct App {
    catalog: LiveCatalog,
    metrics: Arc<Metrics>,
    log: Option<AdmissionLog>,
    health: Health,
    clients: Clients,
    limits: Limits,
    drain: Drain,
    budget: Budget,
    reviewer: Reviewer,
}

/// Sockets that accept connections already, although nobody serves them yet.
#[derive(Debug)]
pub struct Bound {
    review: TcpListener,
    admin: TcpListener,
}

/// Where the sockets listen; the ports are real ones, also where 0 was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Addresses {
    /// Reviews, over TLS.
    pub review: SocketAddr,
    /// Health and metrics, plain.
    pub admin: SocketAddr,
}

impl Bound {
    /// Opens both sockets; port 0 asks for a free one.
    ///
    /// # Errors
    ///
    /// When an address is in use, not ours, or not allowed; the error names the address.
    pub fn open(review: SocketAddr, admin: SocketAddr) -> io::Result<Self> {
        Ok(Self { review: listen(review)?, admin: listen(admin)? })
    }

    /// Where the sockets listen.
    ///
    /// # Errors
    ///
    /// When the operating system does not tell.
    pub fn addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses { review: self.review.local_addr()?, admin: self.admin.local_addr()? })
    }

    /// Serves until `stop` says otherwise: [`Stop::Gently`] drains first, [`Stop::Now`] does not.
    ///
    /// # Errors
    ///
    /// When a socket cannot be served at all. Trouble of one connection ends that connection.
    pub async fn serve(self, serving: Serving, stop: watch::Receiver<Stop>) -> io::Result<()> {
        let Serving { catalog, reviewer, metrics, log, tls, clients, limits, drain } = serving;
        let health = tls.health();
        let port = |name, listener, tls| {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            Ok::<_, io::Error>(Port { listener, tls, limits, metrics: metrics.port(name) })
        };
        let (review, admin) = (port("review", self.review, Some(tls))?, port("admin", self.admin, None)?);
        let budget = Budget::new(limits.bodies);
        let drain = Drain::new(drain);
        let app = Arc::new(App { catalog, metrics, log, health, clients, limits, drain, budget, reviewer });
        app.serve(review, admin, stop).await
    }
}

impl App {
    async fn serve(
        self: Arc<Self>,
        review: Port,
        admin: Port,
        mut stop: watch::Receiver<Stop>,
    ) -> io::Result<()> {
        let (end_reviews, reviews_end) = watch::channel(Stop::Serve);
        let (end_admin, admin_ends) = watch::channel(Stop::Serve);
        let mut reviews = tokio::spawn(review.serve(Arc::clone(&self), reviews_end));
        let admin = tokio::spawn(admin.serve(admin::Admin::new(Arc::clone(&self)), admin_ends));
        tokio::select! {
            asked = self.drain.wait(stop.clone()) => drop(end_reviews.send_replace(asked)),
            // A defect. Whoever starts processes again does it when this one ends, not when it answers nothing.
            _ = &mut reviews => return Err(io::Error::other("the review port is no longer served")),
        }
        tokio::select! {
            _ = &mut reviews => {}
            Ok(_) = stop.wait_for(|asked| *asked == Stop::Now) => {
                end_reviews.send_replace(Stop::Now);
                drop(reviews.await);
            }
        }
        // Health is answered until the last review is.
        end_admin.send_replace(Stop::Now);
        drop(admin.await);
        Ok(())
    }

    /// What is measured when somebody asks.
    fn now(&self) -> Now {
        let catalog = self.catalog.load();
        Now {
            in_flight: self.drain.running(),
            body_bytes: self.budget.held(),
            draining: self.drain.is_draining(),
            revision: *self.catalog.changes().borrow(),
            profiles: catalog.profiles().len(),
            namespaces: catalog.namespaces().len(),
        }
    }

    /// An application for tests of one request.
    #[cfg(test)]
    fn with(catalog: LiveCatalog, reviewer: Reviewer) -> Self {
        let limits = Limits::default();
        let drain = Drain::new(DrainTimes::default());
        let budget = Budget::new(limits.bodies);
        let (metrics, health, clients) = (Arc::default(), Health::default(), Clients::default());
        Self { catalog, metrics, log: None, health, clients, limits, drain, budget, reviewer }
    }
}

/// What a connection may hold in the kernel for each direction; Linux doubles it, for its own part. It would take
/// megabytes: a caller that asks and asks and never reads would be answered thousands of times before it is noticed, and
/// what it has sent counts as our memory. What is larger waits for the other side, on a local network for less than a
/// millisecond. Half as much would be one segment on loopback, and each would wait for a delayed acknowledgement.
const KERNEL_BUFFER: usize = 64 * 1024;

/// How long the other side may leave data where it is, as far as the kernel is concerned. A connection that is cut
/// because its answer was not read is closed for us, but its buffer would stay for as long as the other side likes, and
/// count as our memory. Longer than [`Limits::write`], so that the kernel cuts nothing that we would not.
const UNREAD: Duration = Duration::from_secs(15);

/// Connections that nobody has accepted yet. A burst that is larger waits a second for its next attempt, so not the 128
/// of the standard library; the kernel has a limit of its own, 4,096 by default.
const BACKLOG: i32 = 4096;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let open = || {
        let (socket, address) = socket(address)?;
        // As the standard library does: a restart must not wait for the last connections of the one before.
        socket.set_reuse_address(true)?;
        // Every connection inherits it.
        socket.set_send_buffer_size(KERNEL_BUFFER)?;
        socket.set_recv_buffer_size(KERNEL_BUFFER)?;
        socket.set_tcp_user_timeout(Some(UNREAD))?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    open().map_err(|error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

/// A socket for this address. `[::]` stands for every address of both families, whatever the kernel's default is, and
/// where there is no IPv6 at all for those of the other one.
fn socket(address: SocketAddr) -> io::Result<(Socket, SocketAddr)> {
    let new = |address| Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP));
    let is_any = address.ip() == Ipv6Addr::UNSPECIFIED;
    match new(address) {
        Ok(socket) if is_any => socket.set_only_v6(false).map(|()| (socket, address)),
        Err(_) if is_any => {
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            Ok((new(address)?, address))
        }
        created => Ok((created?, address)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    /// What is cut must not stay in the kernel.
    #[test]
    fn connections_inherit_their_bounds() {
        let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let socket = socket2::SockRef::from(&accepted);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNREAD));
        assert!(UNREAD > Limits::default().write);
        // The kernel says the doubled figure.
        assert_eq!(socket.send_buffer_size().unwrap(), 2 * KERNEL_BUFFER);
        assert_eq!(socket.recv_buffer_size().unwrap(), 2 * KERNEL_BUFFER);
    }

    #[test]
    fn one_address_stands_for_both_families() {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let bound = Bound::open(any, any).unwrap();
        for port in [bound.addresses().unwrap().review.port(), bound.addresses().unwrap().admin.port()] {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            // Not every machine has the other family.
            if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
                TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
            }
        }
    }
}
