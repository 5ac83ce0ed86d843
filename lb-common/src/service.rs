//! Virtual services and the counters kept of them.

use crate::Address;

/// A virtual service as a packet names it: the key of [`crate::maps::SERVICES`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceKey {
    /// The virtual IP address.
    pub address: Address,
    /// The destination port, in host order; of a service that has several, the first one.
    pub port: u16,
    /// The last port of a service that has several; else 0, as in every packet.
    pub last_port: u16,
    /// One of [`crate::protocol`]: TCP, UDP or SCTP. (Four bytes, for 24 in all: the kernel compares keys eight at a time,
    /// and what is left over costs more.)
    pub protocol: u32,
}

const _: () = assert!(size_of::<ServiceKey>() == 24);

/// A port of an address and a protocol, or all that begin with the same bits: the key of
/// [`crate::maps::SERVICE_PORTS`], a trie of prefixes, and therefore in network order.
///
/// A service is in [`crate::maps::SERVICES`] once, under the first of its addresses and ports. Where else it is, is said
/// here: its further addresses, and its ports if there are several, in as many entries as it takes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServicePorts {
    /// The virtual IP address.
    pub address: Address,
    /// One of [`crate::protocol`], in network order.
    pub protocol: [u8; 2],
    /// The destination port, in network order.
    pub port: [u8; 2],
}

const _: () = assert!(size_of::<ServicePorts>() == 20);

impl ServicePorts {
    /// The bits of the key that are the address and the protocol: a prefix of so many stands for every port.
    pub const EVERY_PORT: u32 = 8 * 18;
    /// The bits of the whole key: a prefix of so many stands for one port.
    pub const ONE_PORT: u32 = 8 * size_of::<Self>() as u32;
}

/// Whose a port is: the value of [`crate::maps::SERVICE_PORTS`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortsOwner {
    /// [`Service::index`] of the service.
    pub service: u32,
    /// The slot in [`crate::maps::LEASES`] that entitles this node to the address, or [`crate::NO_LEASE`].
    pub lease: u32,
}

const _: () = assert!(size_of::<PortsOwner>() == 8);

/// How a virtual service is scheduled: the value of [`crate::maps::SERVICES`].
///
/// The schedule is the slice `ring_offset .. ring_offset + ring_length` of the slots in [`crate::maps::RINGS`]; all
/// offsets are multiples of [`crate::RingWord::SLOTS`]. A slice that a service names is never written: a change writes
/// another slice and then replaces this value whole, so that a packet sees the old schedule or the new one. (The program
/// sets bits in the slice of a motion.)
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// The slot of this service in [`crate::maps::SERVICE_STATS`] and [`crate::maps::CURSORS`].
    pub index: u32,
    /// The first slot of the schedule in [`crate::maps::RINGS`].
    pub ring_offset: u32,
    /// The slots of the schedule; 0 when no real server can take a new connection.
    pub ring_length: u32,
    /// The slot in [`crate::maps::LEASES`] that entitles this node to the address of its key, or [`crate::NO_LEASE`].
    pub lease: u32,
    /// One of [`placement`]: where in its schedule a new connection begins, or which of those in it gets it.
    pub placement: u32,
    /// Bits of [`service_flags`].
    pub flags: u32,
    /// How many new connections a second are remembered (see [`crate::Episode`]); 0 for any number.
    pub new_flow_limit: u32,
    /// The first slot of the Maglev ring in [`crate::maps::RINGS`], by which connections are placed that nobody
    /// remembers; with [`service_flags::PLACED`] the schedule.
    pub maglev_offset: u32,
    /// The slots of the Maglev ring; 0 where there is none.
    pub maglev_length: u32,
    /// One of [`placement`], never [`placement::TURN`]: how connections are hashed to the Maglev ring.
    pub maglev_placement: u32,
    /// The first slot of the motion of the Maglev ring in [`crate::maps::RINGS`]: [`Self::mark`].
    pub previous_offset: u32,
    /// The slots of the previous Maglev ring; 0 at rest.
    pub previous_length: u32,
    /// The previous [`Self::maglev_placement`].
    pub previous_placement: u32,
}

const _: () = assert!(size_of::<Service>() == 52);

/// Bits of [`Service::flags`].
pub mod service_flags {
    /// This node is one of its real servers, and that one is up.
    pub const LOCAL: u32 = 1;
    /// Connections are placed by the Maglev ring, and remembered only where that is in motion.
    pub const PLACED: u32 = 1 << 1;
    /// The ring has been in motion for longer than UDP clients are remembered: those that nobody remembers are new.
    pub const SETTLED: u32 = 1 << 2;
    /// UDP: each datagram is scheduled for itself, and nothing is remembered.
    pub const ONE_PACKET: u32 = 1 << 3;
}

/// Values of [`Service::placement`].
pub mod placement {
    /// Where the one before it left off.
    pub const TURN: u32 = 0;
    /// By the hash of the client's address.
    pub const SOURCE: u32 = 1;
    /// By the hash of the client's address and port.
    pub const SOURCE_AND_PORT: u32 = 2;
    /// By the hash of the virtual address.
    pub const DESTINATION: u32 = 3;
    /// With the least overhead for its weight (IPVS's `lc` and `wlc`).
    pub const LEAST_CONNECTION: u32 = 4;
    /// With the fewest active connections, this one included, for its weight (`sed`).
    pub const SHORTEST_DELAY: u32 = 5;
    /// The first without an active one, else as [`SHORTEST_DELAY`] (`nq`).
    pub const NEVER_QUEUE: u32 = 6;
    /// With the highest weight (`fo`).
    pub const FAILOVER: u32 = 7;
    /// With the highest weight that its active connections are not above (`ovf`).
    pub const OVERFLOW: u32 = 8;
    /// The one of two random turns that has less overhead for its weight (`twos`).
    pub const TWO_CHOICES: u32 = 9;

    /// Whether a hash decides.
    #[inline(always)]
    #[must_use]
    pub const fn is_hash(placement: u32) -> bool {
        matches!(placement, SOURCE | SOURCE_AND_PORT | DESTINATION)
    }
}

/// The service that has an index: the value of [`crate::maps::SERVICE_INDEX`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexedService {
    /// Its key in [`crate::maps::SERVICES`].
    pub key: ServiceKey,
    /// [`Service::lease`].
    pub lease: u32,
    /// [`Service::new_flow_limit`].
    pub new_flow_limit: u32,
}

const _: () = assert!(size_of::<IndexedService>() == 32);

/// What is counted of a service, and of each of its real servers, on each CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// New connections that were scheduled.
    pub connections: u64,
    /// Packets that were forwarded.
    pub packets: u64,
    /// Bytes of those packets from the IP header on, as IPVS counts them.
    pub bytes: u64,
}

const _: () = assert!(size_of::<Counters>() == 24);
