//! The maps: names, keys, values and capacities. The program declares its maps by these constants; nobody else spells a
//! name, and nobody else says what is in a map.

use core::{fmt, marker::PhantomData};

use crate::{
    Address, AddressEntry, Counters, Departure, FILTER_BITS, Flow, FlowKey4, FlowKey6, Fragment, FragmentKey,
    IndexedService, Interface, Lease, Meta, Real, Service, ServiceKey, Verdict, VirtualRouterEntry,
    VirtualRouterKey,
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
pub const SERVICES: Map<ServiceKey, Service> = Map::new("SERVICES", 4_096);
/// Array by [`Service::index`]: which service that is. For whoever comes by a real server, which knows the index only.
pub const SERVICE_INDEX: Map<u32, IndexedService> = Map::new("SERVICE_INDEX", SERVICES.capacity);
/// Array of slots of [`REALS`]: the schedules of all services, each a slice. A change needs room for the old and the
/// new schedule at once. Mapped into the daemon.
pub const RINGS: Map<u32, u32> = Map::new("RINGS", 1 << 20);
/// Array by [`Service::index`]: how many connections were scheduled, shared by all CPUs. Where the schedule goes on.
pub const CURSORS: Map<u32, u64> = Map::new("CURSORS", SERVICES.capacity);
/// Array: the real servers of all services together.
pub const REALS: Map<u32, Real> = Map::new("REALS", 16_384);
/// LRU: connections that have gone beyond their first packet. The daemon sizes it as the configuration wants; the
/// capacity here is the default.
pub const FLOWS4: Map<FlowKey4, Flow> = Map::new("FLOWS4", 1 << 20);
/// As [`FLOWS4`], for IPv6.
pub const FLOWS6: Map<FlowKey6, Flow> = Map::new("FLOWS6", FLOWS4.capacity);
/// LRU: TCP connections that have shown one packet only. They have their own table, so that a flood of first packets
/// evicts no established connection.
pub const NASCENT4: Map<FlowKey4, Flow> = Map::new("NASCENT4", 1 << 17);
/// As [`NASCENT4`], for IPv6.
pub const NASCENT6: Map<FlowKey6, Flow> = Map::new("NASCENT6", NASCENT4.capacity);
/// LRU: UDP's, apart from TCP's: a flood of datagrams is a TCP client's no business.
pub const DATAGRAMS4: Map<FlowKey4, Flow> = Map::new("DATAGRAMS4", 1 << 16);
/// As [`DATAGRAMS4`], for IPv6.
pub const DATAGRAMS6: Map<FlowKey6, Flow> = Map::new("DATAGRAMS6", DATAGRAMS4.capacity);
/// LRU: connections that the client has closed. Their last segments find their real server here, and do not keep others
/// out of the table of the established.
pub const CLOSING4: Map<FlowKey4, Flow> = Map::new("CLOSING4", 1 << 16);
/// As [`CLOSING4`], for IPv6.
pub const CLOSING6: Map<FlowKey6, Flow> = Map::new("CLOSING6", CLOSING4.capacity);
/// LRU: where the first fragments of packets went whose later fragments are awaited.
pub const FRAGMENTS: Map<FragmentKey, Fragment> = Map::new("FRAGMENTS", 1 << 14);
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
/// Per-CPU array by [`Service::index`].
pub const SERVICE_STATS: Map<u32, Counters> = Map::new("SERVICE_STATS", SERVICES.capacity);
/// Per-CPU array by slot of [`REALS`].
pub const REAL_STATS: Map<u32, Counters> = Map::new("REAL_STATS", REALS.capacity);
/// Per-CPU array by [`Verdict`].
pub const VERDICTS: Map<u32, u64> = Map::new("VERDICTS", Verdict::COUNT);
/// LRU: how many packets were lost after the program had sent them off. Not pinned: it counts while its daemon runs.
pub const LOST: Map<Departure, u64> = Map::new("LOST", 256);

/// Not a map, but a global `u32` of the program that the loader may set: other than 0, every packet is logged.
pub const TRACE_PACKETS: &str = "TRACE_PACKETS";
