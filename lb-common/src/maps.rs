//! The maps: names, keys, values and capacities. The program declares its maps by these constants; nobody else spells a
//! name, and nobody else says what is in a map.

use core::{fmt, marker::PhantomData};

use crate::{
    Address, AddressEntry, Counters, Departure, Episode, FILTER_BITS, FlowBucket, FlowClock, FlowName,
    Fragment, FragmentKey, IndexedService, Interface, Lease, Load, Meta, Peer, Policy, PortsOwner, Prefix,
    Real, RingWord, Service, ServiceKey, ServicePorts, TunnelSourceKey, Verdict, VirtualRouterEntry,
    VirtualRouterKey, WORDS_PER_BUCKET, flow_buckets,
};

/// A map with keys `K` and values `V`. The keys of an array are the slots from 0 on.
pub struct Map<K, V> {
    /// The name in the object, and of the pin.
    pub name: &'static str,
    /// How many entries it has room for.
    pub capacity: u32,
    holds: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Map<K, V> {
    const fn new(name: &'static str, capacity: u32) -> Self {
        Self {
            name,
            capacity,
            holds: PhantomData,
        }
    }
}

impl<K, V> Copy for Map<K, V> {}

impl<K, V> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> fmt::Debug for Map<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// One slot: the ABI version of the pinned maps.
pub const META: Map<u32, Meta> = Map::new("META", 1);
/// The virtual services.
pub const SERVICES: Map<ServiceKey, Service> = Map::new("SERVICES", 10_240);
/// Array by [`Service::index`]: which service that is. For whoever comes by a real server, which knows the index only.
pub const SERVICE_INDEX: Map<u32, IndexedService> = Map::new("SERVICE_INDEX", SERVICES.capacity);
/// Trie of prefixes: further addresses and ports of the virtual services. It is asked when [`SERVICES`] does not know a
/// packet's. (Its memory is as much as it holds.)
pub const SERVICE_PORTS: Map<ServicePorts, PortsOwner> = Map::new("SERVICE_PORTS", 1 << 16);
/// Array of slots of [`REALS`], four in an element: the schedules of all services, each a slice that begins with an
/// element. A change needs room for the old and the new schedule at once. Mapped into the daemon.
pub const RINGS: Map<u32, RingWord> = Map::new("RINGS", RING_SLOTS / RingWord::SLOTS);
/// How many slots [`RINGS`] has room for.
pub const RING_SLOTS: u32 = 1 << 21;

const _: () = assert!(
    REALS.capacity <= 1 << 16,
    "schedules and connections have 16 bits for a slot"
);

/// Array by [`Service::index`]: how many connections were scheduled in turn, shared by all CPUs. Where the schedule
/// goes on.
pub const CURSORS: Map<u32, u64> = Map::new("CURSORS", SERVICES.capacity);
/// Array by [`Service::index`]: when the service had more new connections than are remembered. Mapped into the daemon.
pub const EPISODES: Map<u32, Episode> = Map::new("EPISODES", SERVICES.capacity);
/// Array: the real servers of all services together. Mapped into the daemon.
pub const REALS: Map<u32, Real> = Map::new("REALS", 1 << 16);
/// Array by slot of [`REALS`]: how many connections those have whose scheduler asks. The program counts where a
/// connection begins, changes or is pushed out, the daemon what it forgets. Mapped into the daemon.
pub const LOADS: Map<u32, Load> = Map::new("LOADS", REALS.capacity);
/// Array of buckets: the connections that are remembered. The daemon sizes it as the configuration wants
/// ([`crate::flow_buckets`]); the capacity here is the default. Mapped into the daemon.
pub const FLOWS: Map<u32, FlowBucket> = Map::new("FLOWS", flow_buckets(DEFAULT_FLOW_TABLE_SIZE));
/// Array: for each word of [`FLOWS`], who that is. The daemon sizes it like that, or makes it as small as it can be.
/// Mapped into the daemon.
pub const FLOW_NAMES: Map<u32, FlowName> = Map::new("FLOW_NAMES", FLOWS.capacity * WORDS_PER_BUCKET as u32);
/// One slot: how long connections are remembered. Mapped into the daemon.
pub const FLOW_CLOCK: Map<u32, FlowClock> = Map::new("FLOW_CLOCK", 1);
/// One slot: what becomes of segments of connections that cannot go on. Mapped into the daemon.
pub const POLICY: Map<u32, Policy> = Map::new("POLICY", 1);
/// LRU: where the first fragments of packets went whose later fragments are awaited.
pub const FRAGMENTS: Map<FragmentKey, Fragment> = Map::new("FRAGMENTS", 1 << 13);
/// Array: the leases of the virtual routers. Mapped into the daemon.
pub const LEASES: Map<u32, Lease> = Map::new("LEASES", 1_024);
/// The virtual addresses.
pub const ADDRESSES: Map<Address, AddressEntry> = Map::new("ADDRESSES", 16_384);
/// Array: a bit for each [`Address::filter_bit`] of the entries of [`ADDRESSES`]. What has no bit here is none of our
/// addresses, and most packets that are not for a service end with this look-up. Mapped into the daemon.
pub const ADDRESS_FILTER: Map<u32, u64> = Map::new("ADDRESS_FILTER", FILTER_BITS / u64::BITS);
/// The virtual routers. One on a VLAN device is here twice: its advertisements may be seen on the interface below, too.
pub const VIRTUAL_ROUTERS: Map<VirtualRouterKey, VirtualRouterEntry> =
    Map::new("VIRTUAL_ROUTERS", 2 * LEASES.capacity);
/// Array by the interface's index: the interfaces of the data plane. Mapped into the daemon.
///
/// (An array, for it is read for every packet; and long, for indices are not given twice while a machine is up.)
pub const INTERFACES: Map<u32, Interface> = Map::new("INTERFACES", 1 << 16);
/// The addresses of this node that tunnels begin at.
pub const TUNNEL_SOURCES: Map<TunnelSourceKey, Address> = Map::new("TUNNEL_SOURCES", 1_024);
/// The other real servers of services that this node is a real server of. The values are 0.
pub const PEERS: Map<Peer, u32> = Map::new("PEERS", 1_024);
/// Trie: who may use the services, as values of [`access`](mod@crate::access). The longest prefix of an address counts.
/// Looked at where [`Interface::flags`] say so. A change needs room for the old lists and the new ones at once.
pub const ACCESS: Map<Prefix, u32> = Map::new("ACCESS", 2 * (LISTED_PREFIXES + 2));
/// How many prefixes may be listed. (What is in no list has two more, for IPv4 and IPv6.)
pub const LISTED_PREFIXES: u32 = 1 << 16;
/// Per-CPU array by [`Service::index`].
pub const SERVICE_STATS: Map<u32, Counters> = Map::new("SERVICE_STATS", SERVICES.capacity);
/// Per-CPU array by slot of [`REALS`].
pub const REAL_STATS: Map<u32, Counters> = Map::new("REAL_STATS", REALS.capacity);
/// Per-CPU array by [`Verdict`].
pub const VERDICTS: Map<u32, u64> = Map::new("VERDICTS", Verdict::COUNT);
/// LRU: how many packets were lost after the program had sent them off. Not pinned: it counts while its daemon runs.
pub const LOST: Map<Departure, u64> = Map::new("LOST", 256);

/// For how many connections [`FLOWS`] has room unless the configuration says otherwise.
pub const DEFAULT_FLOW_TABLE_SIZE: u32 = 1 << 20;

/// Not a map, but a global `u32` of the program that the loader sets: one less than the capacity of [`FLOWS`].
pub const FLOW_MASK: &str = "FLOW_MASK";
/// Not a map, but a global [`FlowSecret`](crate::FlowSecret) of the program that the loader sets.
pub const FLOW_SECRET: &str = "FLOW_SECRET";
/// Not a map, but a global `u32` of the program that the loader may set to 0: no names are written then.
pub const WRITE_NAMES: &str = "WRITE_NAMES";
/// Not a map, but a global `u32` of the program that the loader may set: other than 0, every packet is logged.
pub const TRACE_PACKETS: &str = "TRACE_PACKETS";
