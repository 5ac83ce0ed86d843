//! Names and capacities of the maps. The program declares its maps under these names; nobody else spells them.

/// One slot, [`crate::Meta`]: the ABI version of the pinned maps.
pub const META: &str = "META";
/// [`crate::ServiceKey`] → [`crate::Service`].
pub const SERVICES: &str = "SERVICES";
/// Array of `u32`, slots of [`REALS`]: the schedules of all services, each a slice. Mapped into the daemon.
pub const RINGS: &str = "RINGS";
/// Array of `u64` by [`crate::Service::index`]: how many connections were scheduled, shared by all CPUs. Where the
/// schedule goes on.
pub const CURSORS: &str = "CURSORS";
/// Array of [`crate::Real`].
pub const REALS: &str = "REALS";
/// [`crate::FlowKey4`] → [`crate::Flow`], LRU: connections that have gone beyond their first packet.
pub const FLOWS4: &str = "FLOWS4";
/// [`crate::FlowKey6`] → [`crate::Flow`], LRU.
pub const FLOWS6: &str = "FLOWS6";
/// [`crate::FlowKey4`] → [`crate::Flow`], LRU: connections that have shown one packet only. They have their own
/// table, so that a flood of first packets evicts no established connection.
pub const NASCENT4: &str = "NASCENT4";
/// [`crate::FlowKey6`] → [`crate::Flow`], LRU.
pub const NASCENT6: &str = "NASCENT6";
/// [`crate::FragmentKey`] → [`crate::Fragment`], LRU: where the first fragments of packets went.
pub const FRAGMENTS: &str = "FRAGMENTS";
/// Array of [`crate::Lease`]. Mapped into the daemon.
pub const LEASES: &str = "LEASES";
/// [`crate::Address`] → [`crate::AddressEntry`].
pub const ADDRESSES: &str = "ADDRESSES";
/// [`crate::VirtualRouterKey`] → [`crate::VirtualRouterEntry`].
pub const VIRTUAL_ROUTERS: &str = "VIRTUAL_ROUTERS";
/// Per-CPU array of [`crate::Counters`] by [`crate::Service::index`].
pub const SERVICE_STATS: &str = "SERVICE_STATS";
/// Per-CPU array of [`crate::Counters`] by slot of [`REALS`].
pub const REAL_STATS: &str = "REAL_STATS";
/// Per-CPU array of `u64` by [`crate::Verdict`].
pub const VERDICTS: &str = "VERDICTS";

/// How many services there can be.
pub const SERVICES_CAPACITY: u32 = 4_096;
/// How many real servers, of all services together.
pub const REALS_CAPACITY: u32 = 16_384;
/// Slots for all schedules together. A change needs room for the old and the new schedule at once.
pub const RINGS_CAPACITY: u32 = 1 << 20;
/// How many virtual routers.
pub const LEASES_CAPACITY: u32 = 1_024;
/// How many virtual addresses.
pub const ADDRESSES_CAPACITY: u32 = 16_384;
/// Flow-table entries when the configuration names no other number: for each of [`FLOWS4`] and [`FLOWS6`].
pub const FLOWS_DEFAULT_CAPACITY: u32 = 1 << 20;
/// Entries of each nascent table.
pub const NASCENT_CAPACITY: u32 = 1 << 17;
/// Fragmented packets whose later fragments are awaited.
pub const FRAGMENTS_CAPACITY: u32 = 1 << 14;

/// Not a map, but a global `u32` of the program that the loader may set: other than 0, every packet is logged.
pub const TRACE_PACKETS: &str = "TRACE_PACKETS";
