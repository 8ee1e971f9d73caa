//! What is counted about the connections of the two ports.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::server::activity::Phase;

/// Why we ended a connection, or never began it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::server) enum Ended {
    /// Too many connections, none of which could give way, or no descriptor.
    Refused,
    /// It gave way to another one.
    Evicted,
    /// The TLS handshake failed.
    Handshake,
    /// This took too long.
    Overdue(Phase),
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OfPort {
    port: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Cut {
    port: &'static str,
    reason: &'static str,
}

/// The counters of all ports.
#[derive(Clone, Debug, Default)]
pub(super) struct Ports {
    open: Family<OfPort, Gauge>,
    cut: Family<Cut, Counter>,
}

/// The counters of one port.
#[derive(Clone, Debug)]
pub(in crate::server) struct PortMetrics {
    port: &'static str,
    open: Gauge,
    cut: Family<Cut, Counter>,
}

impl Ports {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("connections", "Open connections, by port", self.open.clone());
        let help =
            "Connections that were refused or ended by the server before their time, by port and reason";
        registry.register("connections_cut", help, self.cut.clone());
    }

    pub(super) fn port(&self, port: &'static str) -> PortMetrics {
        let open = self.open.get_or_create(&OfPort { port }).clone();
        PortMetrics { port, open, cut: self.cut.clone() }
    }
}

impl PortMetrics {
    /// So many connections are open.
    pub(in crate::server) fn open(&self, connections: usize) {
        self.open.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }

    /// We ended a connection.
    pub(in crate::server) fn ended(&self, why: Ended) {
        let reason = match why {
            Ended::Refused => "refused",
            Ended::Evicted => "evicted",
            Ended::Handshake => "handshake_failed",
            Ended::Overdue(Phase::Handshake) => "handshake_slow",
            Ended::Overdue(Phase::Idle) => "idle",
            Ended::Overdue(Phase::Headers | Phase::Request) => "headers_slow",
            Ended::Overdue(Phase::Answer) => "answer_not_read",
        };
        self.cut.get_or_create(&Cut { port: self.port, reason }).inc();
    }
}
