//! Virtual services and their real servers, in IPVS's words.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Ports, shares};

/// The transport protocol of a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// What clients reach a virtual service by: address, port or ports, and protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceAddress {
    /// The virtual IP address.
    pub ip: IpAddr,
    /// The port, or several.
    pub ports: Ports,
    /// The transport protocol.
    pub protocol: Protocol,
}

impl ServiceAddress {
    /// Address and ports, without the protocol: `10.0.0.3:80`.
    #[must_use]
    pub fn endpoint(self) -> String {
        let Self { ip, ports, .. } = self;
        match ip {
            IpAddr::V4(ip) => format!("{ip}:{ports}"),
            IpAddr::V6(ip) => format!("[{ip}]:{ports}"),
        }
    }
}

impl fmt::Display for ServiceAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.endpoint(), self.protocol)
    }
}

/// How packets get to a real server, unless that is this node itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// IPVS's `dr`: as they are, to its link-layer address.
    DirectRouting,
    /// IPVS's `tun`: inside of others, to its own address.
    Tunnel(Tunnel),
}

impl Forwarding {
    /// The word for it in the configuration and in the status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DirectRouting => "dr",
            Self::Tunnel(_) => "tun",
        }
    }

    /// Whether the real server must be on a network of this node.
    #[must_use]
    pub const fn needs_link(self) -> bool {
        matches!(self, Self::DirectRouting)
    }
}

/// What is around a packet in a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunnel {
    /// An IP header: IPv4 or IPv6, as the real server's address is.
    IpInIp,
    /// An IP header, a UDP header and one of GUE.
    Gue {
        /// The UDP port of the real server, never 0.
        port: u16,
    },
}

/// A virtual service and the real servers behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualService {
    /// What names it: the lowest of its addresses, in whatever order the configuration has them.
    pub address: ServiceAddress,
    /// The others: a service has one schedule, and one set of real servers and counters, under all of them.
    pub further_addresses: Vec<ServiceAddress>,
    /// The name of the group that its addresses are from, if they are from one: Keepalived's `virtual_server_group`.
    pub group: Option<String>,
    /// Who picks the real server of a new connection.
    pub scheduler: Scheduler,
    /// Whether each datagram is scheduled for itself, and none remembered: IPVS's one-packet scheduling. UDP only.
    pub one_packet: bool,
    /// How many new connections a second are remembered, at least [`lb_common::Episode::LOWEST_LIMIT`]; more are placed
    /// by a hash. Without it, any number.
    pub new_flow_limit: Option<u32>,
    /// The real servers, in the order of the configuration. No two share address and port.
    pub real_servers: Vec<RealServer>,
}

impl VirtualService {
    /// [`Self::new_flow_limit`] unless the file says otherwise. The table of connections has room for ten seconds of it at
    /// its default size, so that no handshake is pushed out; and a site that has so many new connections for one address
    /// all the time would keep twelve million that are closing, as long as IPVS remembers them: no honest one comes near.
    pub const NEW_FLOW_LIMIT: u32 = 100_000;

    /// All that clients reach it by.
    pub fn addresses(&self) -> impl Iterator<Item = ServiceAddress> + Clone {
        let further = self.further_addresses.iter().copied();
        std::iter::once(self.address).chain(further)
    }

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
    /// `sh`: by a hash of the client's address, in proportion to the weights.
    SourceHash(HashOptions),
    /// `dh`: by a hash of the virtual address, whatever the weights that are not 0. Under direct routing that is one
    /// real server for each virtual address.
    DestinationHash,
    /// `mh`: by a hash of the client's address and a Maglev table (Eisenbud et al., "Maglev: a fast and reliable
    /// software network load balancer", NSDI 2016), in proportion to the weights. Little moves when real servers come
    /// and go.
    Maglev(HashOptions),
    /// `lc`: to the one with the fewest connections, of which an established one weighs as much as 256 others; whatever
    /// the weights that are not 0.
    LeastConnection,
    /// `wlc`: the same, in proportion to the weights.
    WeightedLeastConnection,
    /// `sed`: to the one where the connection is expected to wait least: with the fewest active connections, this one
    /// included, in proportion to the weights.
    ShortestExpectedDelay,
    /// `nq`: to the first one without an active connection, else as under `sed`.
    NeverQueue,
    /// `fo`: to the one with the highest weight that serves.
    WeightedFailover,
    /// `ovf`: to the one with the highest weight that serves and has no more active connections than its weight.
    WeightedOverflow,
    /// `twos`: to the one of two that are drawn by weight that has fewer connections in proportion to it (Mitzenmacher,
    /// "The power of two choices in randomized load balancing", 2001).
    TwoChoices,
}

/// How a hash of the client chooses: Keepalived's `sh-port`, `sh-fallback`, `mh-port` and `mh-fallback`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashOptions {
    /// Whether the client's port is hashed with its address.
    pub port: bool,
    /// Whether the clients of a real server that does not serve go to the others, one by one, and nobody else moves.
    /// Otherwise the table is made of those that serve.
    pub fallback: bool,
}

impl Scheduler {
    /// IPVS's name of the scheduler.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "rr",
            Self::WeightedRoundRobin => "wrr",
            Self::SourceHash(_) => "sh",
            Self::DestinationHash => "dh",
            Self::Maglev(_) => "mh",
            Self::LeastConnection => "lc",
            Self::WeightedLeastConnection => "wlc",
            Self::ShortestExpectedDelay => "sed",
            Self::NeverQueue => "nq",
            Self::WeightedFailover => "fo",
            Self::WeightedOverflow => "ovf",
            Self::TwoChoices => "twos",
        }
    }

    /// What a real server of this weight is to get of the new connections, while it serves.
    #[must_use]
    pub const fn share(self, weight: Weight) -> Weight {
        match self {
            Self::RoundRobin | Self::DestinationHash | Self::LeastConnection if weight.get() > 0 => {
                Weight::new(1)
            }
            _ => weight,
        }
    }

    /// Whether it chooses by how many connections real servers have.
    #[must_use]
    pub const fn counts(self) -> bool {
        match self {
            Self::RoundRobin
            | Self::WeightedRoundRobin
            | Self::SourceHash(_)
            | Self::DestinationHash
            | Self::Maglev(_)
            | Self::WeightedFailover => false,
            Self::LeastConnection
            | Self::WeightedLeastConnection
            | Self::ShortestExpectedDelay
            | Self::NeverQueue
            | Self::WeightedOverflow
            | Self::TwoChoices => true,
        }
    }

    /// Whether it has no schedule but a list of those to choose among.
    #[must_use]
    pub const fn compares(self) -> bool {
        match self {
            Self::LeastConnection
            | Self::WeightedLeastConnection
            | Self::ShortestExpectedDelay
            | Self::NeverQueue
            | Self::WeightedFailover
            | Self::WeightedOverflow => true,
            Self::RoundRobin
            | Self::WeightedRoundRobin
            | Self::SourceHash(_)
            | Self::DestinationHash
            | Self::Maglev(_)
            | Self::TwoChoices => false,
        }
    }

    /// Whether connections are placed by their hash, and not remembered while nothing changes.
    #[must_use]
    pub const fn is_placed(self) -> bool {
        matches!(self, Self::Maglev(_))
    }

    /// How many turns the schedule of so many configured real servers has at most, where it may have `limit`.
    #[must_use]
    pub fn room(self, real_servers: usize, limit: usize) -> usize {
        match self {
            Self::Maglev(_) => shares::table_size(real_servers, limit),
            _ => limit,
        }
    }

    /// How many turns each of these shares gets where a schedule may have `limit` turns.
    #[must_use]
    pub fn turns(self, shares: &[u16], limit: usize) -> Vec<u32> {
        match self {
            Self::Maglev(_) => shares::apportioned(shares, self.room(shares.len(), limit)),
            // Compared as they are, whatever their sum.
            _ if self.compares() => shares.iter().map(|share| u32::from(*share)).collect(),
            _ => shares::turns(shares, limit),
        }
    }

    /// Whether the clients of a real server that does not serve are dealt out by a hash, so that shares are not quite
    /// what the weights of the others say.
    #[must_use]
    pub const fn falls_back(self) -> bool {
        match self {
            Self::SourceHash(HashOptions { fallback, .. }) | Self::Maglev(HashOptions { fallback, .. }) => {
                fallback
            }
            Self::DestinationHash => true,
            _ => false,
        }
    }

    /// The [error](shares::worst_error) that nobody needs to be told of: a Maglev table is not as long as the sum of
    /// the weights, so its shares are off by a slot at most.
    #[must_use]
    pub const fn tolerance(self) -> f64 {
        match self {
            Self::Maglev(_) => 0.01,
            _ => 0.0,
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
    /// Its own address, and its port: the service's, or 0 if that has several. With direct routing the address is of the
    /// same family as the service's, and on a network that the director is connected to.
    pub address: SocketAddr,
    /// How packets get there.
    pub forwarding: Forwarding,
    /// Its share of new connections.
    pub weight: Weight,
    /// With how many connections it gets no new ones; 0 for no such limit.
    pub upper_threshold: u32,
    /// With fewer than how many it gets new ones again after that; 0 for three quarters of the other.
    pub lower_threshold: u32,
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
