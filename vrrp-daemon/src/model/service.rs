//! Virtual services and their real servers, in IPVS's words.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The transport protocol of a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// What names a virtual service: the address, port and protocol that clients use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceAddress {
    /// The virtual IP address.
    pub ip: IpAddr,
    /// The port, never 0.
    pub port: u16,
    /// The transport protocol.
    pub protocol: Protocol,
}

impl fmt::Display for ServiceAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}/{}",
            SocketAddr::new(self.ip, self.port),
            self.protocol
        )
    }
}

/// A virtual service and the real servers behind it, which it reaches by direct routing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualService {
    /// What names it.
    pub address: ServiceAddress,
    /// Who picks the real server of a new connection.
    pub scheduler: Scheduler,
    /// The real servers, in the order of the configuration. No two share address and port.
    pub real_servers: Vec<RealServer>,
}

impl VirtualService {
    /// The shares that its real servers are to have while all of them serve.
    #[must_use]
    pub fn weights(&self) -> Vec<u16> {
        let real_servers = self.real_servers.iter();
        real_servers
            .map(|real_server| self.scheduler.share(real_server.weight).get())
            .collect()
    }
}

/// How the real server of a new connection is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// `rr`: each in turn, whatever its weight, if that is not 0.
    RoundRobin,
    /// `wrr`: in proportion to the weights, interleaved.
    WeightedRoundRobin,
}

impl Scheduler {
    /// IPVS's name of the scheduler.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "rr",
            Self::WeightedRoundRobin => "wrr",
        }
    }

    /// What a real server of this weight is to get of the new connections, while it serves.
    #[must_use]
    pub const fn share(self, weight: Weight) -> Weight {
        match self {
            Self::RoundRobin if weight.get() > 0 => Weight::new(1),
            Self::RoundRobin | Self::WeightedRoundRobin => weight,
        }
    }
}

/// The share of new connections that a real server gets; 0 for none, while known connections go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Weight(u16);

impl Weight {
    /// A weight; any `u16` will do. IPVS allows up to 2³¹ - 1, which no schedule needs.
    #[must_use]
    pub const fn new(weight: u16) -> Self {
        Self(weight)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// What names a real server of one virtual service. The same machine behind two services is two real servers, and so
/// are two ports of it behind one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RealServerId {
    /// The virtual service.
    pub service: ServiceAddress,
    /// The real server's own address and port.
    pub address: SocketAddr,
}

/// A real server of one virtual service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealServer {
    /// Its own address, of the same family as the service's, on a network that the director is connected to, and its
    /// port: with direct routing the service's.
    pub address: SocketAddr,
    /// Its share of new connections.
    pub weight: Weight,
    /// How its health is checked: it is up while all of them pass. A server without a check is up.
    pub checks: Vec<Check>,
}

/// A health check of a real server: when it is made, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// When it is made, and how many outcomes decide.
    pub timing: CheckTiming,
    /// What is tried.
    pub kind: CheckKind,
}

/// When a check is made, and how many outcomes decide: the same for every kind of check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckTiming {
    /// The interval between two regular checks.
    pub delay_loop: Duration,
    /// How many more attempts follow a failed one before the server is down.
    pub retry: u32,
    /// The pause before each of them.
    pub delay_before_retry: Duration,
    /// How many successes in a row bring a server that is down back up; at least 1.
    pub rise: u32,
}

/// What a check tries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// It passes when a TCP connection opens (Keepalived's `TCP_CHECK`).
    Tcp {
        /// Where to connect to: the real server's address and port, unless configured.
        target: SocketAddr,
        /// How long to wait for the connection.
        connect_timeout: Duration,
    },
}

impl CheckKind {
    /// The name of its table in the configuration.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Tcp { .. } => "tcp_check",
        }
    }
}
