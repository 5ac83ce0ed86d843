//! The maps, as `lb-common` describes them, and safe ways to their entries.
//!
//! All are BTF maps, so that `bpftool` prints their fields and libbpf's tools accept the object. The daemon overrides
//! the sizes of the flow tables when it loads the object.
#![allow(
    unsafe_code,
    reason = "map entries are memory that the kernel shares with other CPUs and with the daemon"
)]

use core::{
    mem::transmute,
    ptr::{self, addr_of},
};

use aya_ebpf::{
    Global,
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, lpm_trie},
    macros::btf_map,
};
use lb_common::{
    Address, AddressEntry, Allowance, Counters, Episode, FlowBucket, FlowClock, FlowKey4, FlowKey6, FlowName,
    FlowSecret, FlowTime, Fragment, FragmentKey, IndexedService, Interface, Lease, Load, Meta, Peer, Places,
    Policy, PortsOwner, Prefix, Real, RingWord, Service, ServiceKey, ServicePorts, TunnelSourceKey,
    VirtualRouterEntry, VirtualRouterKey, WORDS_PER_BUCKET, access, maps as shared,
};

use crate::{atomic, family::Family, opaque::moved, outcome::Outcome};

/// What the clock said at a timer tick: an entry of the map `CLOCK`, one for each CPU.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Tick {
    /// The kernel's count of timer ticks.
    pub(crate) jiffies: u64,
    /// Nanoseconds of `CLOCK_BOOTTIME`.
    pub(crate) nanoseconds: u64,
}

/// A connection that begins: the entry of the map `BEGINNING`, one for each CPU. There is no room for it on the stack.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Beginning {
    /// One over IPv4.
    pub(crate) v4: FlowKey4,
    /// One over IPv6.
    pub(crate) v6: FlowKey6,
}

const MAPPED: usize = BPF_F_MMAPABLE as usize;
/// Of maps with room for far more than most directors have: an entry takes memory while it is there.
const ON_DEMAND: usize = BPF_F_NO_PREALLOC as usize;

#[btf_map]
static META: Array<Meta, { shared::META.capacity as usize }> = Array::new();
#[btf_map]
static SERVICES: HashMap<ServiceKey, Service, { shared::SERVICES.capacity as usize }, ON_DEMAND> =
    HashMap::new();
#[btf_map]
static SERVICE_INDEX: Array<IndexedService, { shared::SERVICE_INDEX.capacity as usize }> = Array::new();
#[btf_map]
static SERVICE_PORTS: LpmTrie<ServicePorts, PortsOwner, { shared::SERVICE_PORTS.capacity as usize }> =
    LpmTrie::new();
#[btf_map]
static RINGS: Array<RingWord, { shared::RINGS.capacity as usize }, MAPPED> = Array::new();
#[btf_map]
static CURSORS: Array<u64, { shared::CURSORS.capacity as usize }> = Array::new();
#[btf_map]
static EPISODES: Array<Episode, { shared::EPISODES.capacity as usize }, MAPPED> = Array::new();
#[btf_map]
static REALS: Array<Real, { shared::REALS.capacity as usize }, MAPPED> = Array::new();
#[btf_map]
static LOADS: Array<Load, { shared::LOADS.capacity as usize }, MAPPED> = Array::new();
#[btf_map]
static FLOWS: Array<FlowBucket, { shared::FLOWS.capacity as usize }, MAPPED> = Array::new();
#[btf_map]
static FLOW_NAMES: Array<FlowName, { shared::FLOW_NAMES.capacity as usize }, MAPPED> = Array::new();
#[btf_map]
static FLOW_CLOCK: Array<FlowClock, { shared::FLOW_CLOCK.capacity as usize }, MAPPED> = Array::new();
#[btf_map]
static POLICY: Array<Policy, { shared::POLICY.capacity as usize }, MAPPED> = Array::new();
#[btf_map]
static FRAGMENTS: LruHashMap<FragmentKey, Fragment, { shared::FRAGMENTS.capacity as usize }> =
    LruHashMap::new();
#[btf_map]
static LEASES: Array<Lease, { shared::LEASES.capacity as usize }, MAPPED> = Array::new();
#[btf_map]
static ADDRESSES: HashMap<Address, AddressEntry, { shared::ADDRESSES.capacity as usize }, ON_DEMAND> =
    HashMap::new();
#[btf_map]
static ADDRESS_FILTER: Array<u64, { shared::ADDRESS_FILTER.capacity as usize }, MAPPED> = Array::new();
#[btf_map]
static VIRTUAL_ROUTERS: HashMap<
    VirtualRouterKey,
    VirtualRouterEntry,
    { shared::VIRTUAL_ROUTERS.capacity as usize },
> = HashMap::new();
#[btf_map]
static INTERFACES: Array<Interface, { shared::INTERFACES.capacity as usize }, MAPPED> = Array::new();
#[btf_map]
static TUNNEL_SOURCES: HashMap<
    TunnelSourceKey,
    Address,
    { shared::TUNNEL_SOURCES.capacity as usize },
    ON_DEMAND,
> = HashMap::new();
#[btf_map]
static PEERS: HashMap<Peer, u32, { shared::PEERS.capacity as usize }, ON_DEMAND> = HashMap::new();
#[btf_map]
static ACCESS: LpmTrie<Address, u32, { shared::ACCESS.capacity as usize }> = LpmTrie::new();
#[btf_map]
static SERVICE_STATS: PerCpuArray<Counters, { shared::SERVICE_STATS.capacity as usize }> = PerCpuArray::new();
#[btf_map]
static REAL_STATS: PerCpuArray<Counters, { shared::REAL_STATS.capacity as usize }> = PerCpuArray::new();
#[btf_map]
static VERDICTS: PerCpuArray<u64, { shared::VERDICTS.capacity as usize }> = PerCpuArray::new();
// The program's own: no part of what it shares with the daemon.
#[btf_map]
static CLOCK: PerCpuArray<Tick, 1> = PerCpuArray::new();
#[btf_map]
static ALLOWANCE: PerCpuArray<Allowance, 1> = PerCpuArray::new();
#[btf_map]
static RECOLLECTION: Array<Allowance, 1> = Array::new();
#[btf_map]
static BEGINNING: PerCpuArray<Beginning, 1> = PerCpuArray::new();

// What the loader says of the table of connections: constants for the verifier, and one load each.
#[unsafe(no_mangle)]
static FLOW_MASK: Global<u32> = Global::new(shared::FLOWS.capacity - 1);
#[unsafe(no_mangle)]
static FLOW_SECRET: FlowSecret = FlowSecret { words: [0; 10] };
#[unsafe(no_mangle)]
static WRITE_NAMES: Global<u32> = Global::new(1);

/// A map that holds `V`s by `K`s.
trait Holds<K, V> {}

impl<V, const N: usize, const F: usize> Holds<u32, V> for Array<V, N, F> {}
impl<V, const N: usize, const F: usize> Holds<u32, V> for PerCpuArray<V, N, F> {}
impl<K, V, const N: usize, const F: usize> Holds<K, V> for HashMap<K, V, N, F> {}
impl<K, V, const N: usize, const F: usize> Holds<K, V> for LpmTrie<K, V, N, F> {}
impl<K, V, const N: usize, const F: usize> Holds<K, V> for LruHashMap<K, V, N, F> {}
impl<V, const N: usize, const F: usize> Holds<Prefix, V> for LpmTrie<Address, V, N, F> {}

const _: () = assert!(size_of::<lpm_trie::Key<Address>>() == size_of::<Prefix>());

/// Compiles only if `map` holds what `lb-common` tells the daemon that it does.
const fn agree<K, V>(_map: &impl Holds<K, V>, _shared: shared::Map<K, V>) {}

const _: () = {
    agree(&META, shared::META);
    agree(&SERVICES, shared::SERVICES);
    agree(&SERVICE_INDEX, shared::SERVICE_INDEX);
    agree(&SERVICE_PORTS, shared::SERVICE_PORTS);
    agree(&RINGS, shared::RINGS);
    agree(&CURSORS, shared::CURSORS);
    agree(&EPISODES, shared::EPISODES);
    agree(&REALS, shared::REALS);
    agree(&LOADS, shared::LOADS);
    agree(&FLOWS, shared::FLOWS);
    agree(&FLOW_NAMES, shared::FLOW_NAMES);
    agree(&FLOW_CLOCK, shared::FLOW_CLOCK);
    agree(&POLICY, shared::POLICY);
    agree(&FRAGMENTS, shared::FRAGMENTS);
    agree(&LEASES, shared::LEASES);
    agree(&ADDRESSES, shared::ADDRESSES);
    agree(&ADDRESS_FILTER, shared::ADDRESS_FILTER);
    agree(&VIRTUAL_ROUTERS, shared::VIRTUAL_ROUTERS);
    agree(&INTERFACES, shared::INTERFACES);
    agree(&TUNNEL_SOURCES, shared::TUNNEL_SOURCES);
    agree(&PEERS, shared::PEERS);
    agree(&ACCESS, shared::ACCESS);
    agree(&SERVICE_STATS, shared::SERVICE_STATS);
    agree(&REAL_STATS, shared::REAL_STATS);
    agree(&VERDICTS, shared::VERDICTS);
};

/// A key on the stack. The compiler may store it eight bytes at a time, and the verifier lets only aligned stores
/// reach the stack.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(crate) struct Key<T>(pub(crate) T);

impl Key<ServiceKey> {
    /// The key, stored in whole words: the kernel compares it in words, and a word that was stored in parts is not read
    /// until all of them are in the cache. The compiler would store each field by itself.
    #[inline(always)]
    pub(crate) fn whole(key: ServiceKey) -> Self {
        // SAFETY: both are 24 bytes without padding, of which any are valid.
        let words: [u64; 3] = unsafe { transmute(key) };
        // SAFETY: as above.
        Self(unsafe { transmute::<[u64; 3], ServiceKey>(words.map(moved)) })
    }

    /// The key as it is in memory: two words of the address, and one of the ports and the protocol.
    #[inline(always)]
    pub(crate) fn words(&self) -> [u64; 3] {
        // SAFETY: as in `whole`.
        unsafe { transmute(self.0) }
    }

    /// Whether the other key is the same.
    #[inline(always)]
    pub(crate) fn is(&self, other: &ServiceKey) -> bool {
        // SAFETY: as in `whole`; entries of maps are aligned for words.
        let [a, b, c] = unsafe { ptr::from_ref(other).cast::<[u64; 3]>().read() };
        let [d, e, f] = self.words();
        // Compared as arrays they would be handed to a function.
        (a ^ d) | (b ^ e) | (c ^ f) == 0
    }
}

/// The service that `key` names.
#[inline(always)]
pub(crate) fn service(Key(key): &Key<ServiceKey>) -> Option<Service> {
    // SAFETY: the entry is copied at once. The kernel may give its memory to another service after two more updates;
    // `schedule` therefore checks that a real server belongs to the service.
    unsafe { SERVICES.get(key) }.copied()
}

/// The service at `index`.
#[inline(always)]
pub(crate) fn indexed_service(index: u32) -> Option<&'static IndexedService> {
    SERVICE_INDEX.get(index)
}

/// The service that has an index, and none that has taken its key since.
#[inline(always)]
pub(crate) fn service_at(index: u32) -> Option<Service> {
    let IndexedService { key, .. } = SERVICE_INDEX.get(index)?;
    // SAFETY: as in `service`; a key that is written meanwhile names no service.
    let service = unsafe { SERVICES.get(key) }.copied()?;
    (service.index == index).then_some(service)
}

/// Whose a port is. Its address is given as two words as they are in memory, its protocol and number as four bytes in
/// network order. (The key is composed of whole words, for only these reach the stack.)
#[inline(always)]
pub(crate) fn ports_owner(high: u64, low: u64, ports: u64) -> Option<PortsOwner> {
    let words: [u64; 3] = [
        u64::from(ServicePorts::ONE_PORT) | high << 32,
        high >> 32 | low << 32,
        low >> 32 | ports << 32,
    ];
    // SAFETY: the key is as long as the words, and packed; any bytes are valid in it.
    let key = unsafe { &*ptr::from_ref(&words).cast::<lpm_trie::Key<ServicePorts>>() };
    SERVICE_PORTS.get(key).copied()
}

/// The slot of the real server at `slot` of the schedules.
#[inline(always)]
pub(crate) fn ring(slot: u32) -> Option<u32> {
    let word = RINGS.get(slot / RingWord::SLOTS)?;
    Some(u32::from(word.slot(slot)))
}

/// What the clock said last on this CPU.
#[inline(always)]
pub(crate) fn tick() -> Option<*mut Tick> {
    CLOCK.get_ptr_mut(0)
}

/// How many connections of the service at `index` had been scheduled before, counting this one from now on.
#[inline(always)]
pub(crate) fn advance_cursor(index: u32) -> Option<u64> {
    let cursor = CURSORS.get_ptr_mut(index)?;
    // SAFETY: `cursor` points to an entry of the map, eight bytes and aligned; all CPUs change it atomically.
    Some(unsafe { atomic::fetch_add(cursor, 1) })
}

/// The real server at `slot`.
#[inline(always)]
pub(crate) fn real(slot: u32) -> Option<&'static Real> {
    REALS.get(slot)
}

/// How many connections the real server at `slot` has.
#[inline(always)]
pub(crate) fn load(slot: u32) -> Option<Load> {
    let load = LOADS.get_ptr(slot)?;
    // SAFETY: `load` points to an entry of the map, which is read with one load.
    Some(unsafe { load.read_volatile() })
}

/// Adds to the connections of the real server at `slot`, and returns what they were.
#[inline(always)]
pub(crate) fn add_load(slot: u32, change: u64) -> Load {
    let Some(load) = LOADS.get_ptr_mut(slot) else {
        return Load::default();
    };
    // SAFETY: `load` points to an entry of the map, eight bytes and aligned, which all change atomically.
    Load(unsafe { atomic::fetch_add(load.cast(), change) })
}

/// Notes that the real server at `slot` is overloaded, or is so no more, if its load is still `present`. (Where another
/// CPU is faster, it is noted with the next connection.)
#[inline(always)]
pub(crate) fn overload(slot: u32, present: Load, is_overloaded: bool) {
    if let Some(load) = LOADS.get_ptr_mut(slot) {
        // SAFETY: as in `add_load`.
        unsafe { atomic::compare_and_swap(load.cast(), present.0, present.overloaded(is_overloaded).0) };
    }
}

/// Notes that the way to the real server at `slot` takes no longer packets than this.
#[inline(always)]
pub(crate) fn set_mtu(slot: u32, mtu: u16) {
    if let Some(real) = REALS.get_ptr_mut(slot) {
        // SAFETY: `real` points to an entry of the map, which others read and write meanwhile: an aligned store. What
        // the daemon writes at the same time is as good.
        unsafe { (&raw mut (*real).mtu).write_volatile(mtu) };
    }
}

/// Whether `address` may be one of our virtual addresses: if not, then it is none. Far cheaper than to look it up.
#[inline(always)]
pub(crate) fn may_be_virtual(address: &Address) -> bool {
    let bit = address.filter_bit();
    ADDRESS_FILTER
        .get(bit / u64::BITS)
        .is_some_and(|word| word >> (bit % u64::BITS) & 1 != 0)
}

/// The lease slot that guards `address`, if it is one of our virtual addresses.
#[inline(always)]
pub(crate) fn address(Key(address): &Key<Address>) -> Option<u32> {
    if !may_be_virtual(address) {
        return None;
    }
    // SAFETY: the entry is one aligned integer, copied at once.
    unsafe { ADDRESSES.get(address) }.map(|entry| entry.lease)
}

/// The virtual router that `key` names, if it is one of ours.
#[inline(always)]
pub(crate) fn virtual_router(Key(key): &Key<VirtualRouterKey>) -> Option<&'static VirtualRouterEntry> {
    // SAFETY: the kernel keeps the memory an entry of the same map until the program ends; an entry that is replaced
    // meanwhile is read as it was or as another one is, and one advertisement is judged by that.
    unsafe { VIRTUAL_ROUTERS.get(key) }
}

/// What is known of the interface with this index.
#[inline(always)]
pub(crate) fn interface(index: u32) -> Option<Interface> {
    INTERFACES.get(index).copied()
}

/// The address of this node that the tunnels of an interface begin at.
#[inline(always)]
pub(crate) fn tunnel_source(Key(key): &Key<TunnelSourceKey>) -> Option<&'static Address> {
    // SAFETY: the kernel keeps the memory an entry of the same map until the program ends; one that is replaced
    // meanwhile is as good as a packet that leaves in that moment.
    unsafe { TUNNEL_SOURCES.get(key) }
}

/// Whether there is such a peer.
#[inline(always)]
pub(crate) fn is_peer(Key(peer): &Key<Peer>) -> bool {
    // SAFETY: nothing is read of the entry.
    unsafe { PEERS.get(peer) }.is_some()
}

/// What the addresses of a prefix may do: a value of [`access`](mod@access).
#[inline(always)]
pub(crate) fn access(Key(prefix): &Key<Prefix>) -> u32 {
    // SAFETY: both are the same 20 bytes, a number of bits and an address; the kernel's need not be aligned.
    let prefix = unsafe { &*ptr::from_ref(prefix).cast::<lpm_trie::Key<Address>>() };
    ACCESS.get(prefix).copied().unwrap_or(access::OPEN)
}

/// Takes one answer from what this CPU may still send. Returns whether one was left.
#[inline(always)]
pub(crate) fn take_answer(now: u64) -> bool {
    let Some(allowance) = ALLOWANCE.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: `allowance` points to this CPU's entry, and nothing else runs on this CPU meanwhile.
    unsafe {
        match (*allowance).take(now, Allowance::ANSWER) {
            Some(rest) => {
                *allowance = rest;
                true
            }
            None => false,
        }
    }
}

/// Until when the last episode of the service at `index` lasts.
#[inline(always)]
pub(crate) fn end_of_episode(index: u32) -> u64 {
    // SAFETY: the number is eight bytes and aligned, and is read with one load: other CPUs and the daemon may store it.
    EPISODES
        .get_ptr(index)
        .map_or(0, |episode| unsafe { addr_of!((*episode).until).read_volatile() })
}

/// Stores until when an episode of the service at `index` lasts.
#[inline(always)]
pub(crate) fn set_end_of_episode(index: u32, until: u64) {
    if let Some(episode) = EPISODES.get_ptr_mut(index) {
        // SAFETY: as above; any time that one of several CPUs stores is right.
        unsafe { (&raw mut (*episode).until).write_volatile(until) };
    }
}

/// Notes that the table of connections has no place for one of the service at `index`.
#[inline(always)]
pub(crate) fn set_refusal(index: u32, now: u64) {
    if let Some(episode) = EPISODES.get_ptr_mut(index) {
        // SAFETY: as above.
        unsafe { (&raw mut (*episode).refused_at).write_volatile(now) };
    }
}

/// Takes `price` from what new connections of the service at `index` may take. Returns whether it was left.
#[inline(always)]
pub(crate) fn take_new_flows(index: u32, now: u64, price: u64) -> bool {
    // SAFETY: the allowance is a field of an entry of the map, and all CPUs change it as `take_shared` does.
    EPISODES
        .get_ptr_mut(index)
        .is_none_or(|episode| unsafe { take_shared(&raw mut (*episode).allowance, now, price) })
}

/// Takes `price` from what connections may take that show themselves and were not remembered. Returns whether it was
/// left.
#[inline(always)]
pub(crate) fn take_recollection(now: u64, price: u64) -> bool {
    // SAFETY: an entry of the map, which all CPUs change as `take_shared` does.
    RECOLLECTION
        .get_ptr_mut(0)
        .is_some_and(|allowance| unsafe { take_shared(allowance, now, price) })
}

/// Takes `price` from an allowance that all CPUs share. What two take at the same time is taken once.
///
/// # Safety
///
/// `allowance` points to one in a map, aligned, that is changed like this only.
#[inline(always)]
unsafe fn take_shared(allowance: *mut Allowance, now: u64, price: u64) -> bool {
    // SAFETY: the caller's.
    let present = unsafe { allowance.read_volatile() };
    let Some(rest) = present.take(now, price) else {
        return false;
    };
    // SAFETY: the caller's.
    let _other_was_faster =
        unsafe { atomic::compare_and_swap(allowance.cast(), present.paid_until, rest.paid_until) };
    true
}

/// The lease at `slot`, as it is at this moment.
#[inline(always)]
pub(crate) fn lease(slot: u32) -> Option<Lease> {
    let lease = LEASES.get_ptr(slot)?;
    // SAFETY: `lease` points to an entry of the map. The daemon writes its fields meanwhile, each with one store, and
    // volatile reads take each of them once.
    unsafe {
        Some(Lease {
            renewed_at: addr_of!((*lease).renewed_at).read_volatile(),
            interval: addr_of!((*lease).interval).read_volatile(),
            successor_at: addr_of!((*lease).successor_at).read_volatile(),
            state: addr_of!((*lease).state).read_volatile(),
            ..Lease::default()
        })
    }
}

/// Notes in the lease at `slot` that a successor has spoken.
#[inline(always)]
pub(crate) fn set_successor(slot: u32, now: u64) {
    if let Some(lease) = LEASES.get_ptr_mut(slot) {
        // SAFETY: `lease` points to an entry of the map; only the program writes this field, and any time that one
        // of several CPUs stores is right.
        unsafe { (&raw mut (*lease).successor_at).write_volatile(now) };
    }
}

/// Bits of [`lb_common::policy_flags`].
#[inline(always)]
pub(crate) fn policy() -> u32 {
    POLICY.get(0).map_or(0, |policy| {
        // SAFETY: the daemon writes this integer meanwhile, with one store; a volatile read takes it once.
        unsafe { addr_of!(policy.flags).read_volatile() }
    })
}

/// The fragment that `key` names.
#[inline(always)]
pub(crate) fn fragment(key: &FragmentKey) -> Option<Fragment> {
    // SAFETY: the entry is copied at once.
    unsafe { FRAGMENTS.get(key) }.copied()
}

/// Remembers where the fragments that `key` names go.
#[inline(always)]
pub(crate) fn set_fragment(key: &FragmentKey, value: &Fragment) {
    // A table that cannot take the entry loses the packet's later fragments, as if this one had been lost.
    let _full = FRAGMENTS.insert(key, value, 0);
}

/// Counts one forwarded packet of a service and of its real server.
#[inline(always)]
pub(crate) fn count_forwarded(service: u32, real: u32, bytes: u64) {
    let counters = SERVICE_STATS.get_ptr_mut(service);
    add_packet(counters, bytes);
    let counters = REAL_STATS.get_ptr_mut(real);
    add_packet(counters, bytes);
}

#[inline(always)]
fn add_packet(counters: Option<*mut Counters>, bytes: u64) {
    if let Some(counters) = counters {
        // SAFETY: `counters` points to this CPU's entry, and nothing else runs on this CPU meanwhile.
        unsafe {
            (*counters).packets += 1;
            (*counters).bytes += bytes;
        }
    }
}

/// Counts one new connection of a service and of its real server. Returns how many of the service this CPU has counted.
#[inline(always)]
pub(crate) fn count_connection(service: u32, real: u32) -> u64 {
    let counters = REAL_STATS.get_ptr_mut(real);
    add_connection(counters);
    let counters = SERVICE_STATS.get_ptr_mut(service);
    add_connection(counters)
}

#[inline(always)]
fn add_connection(counters: Option<*mut Counters>) -> u64 {
    counters.map_or(0, |counters| {
        // SAFETY: as in `add_packet`.
        unsafe {
            (*counters).connections += 1;
            (*counters).connections
        }
    })
}

/// Counts how a packet's story ended.
#[inline(always)]
pub(crate) fn count_outcome(outcome: Outcome) {
    if let Some(counter) = VERDICTS.get_ptr_mut(outcome.verdict()) {
        // SAFETY: as in `add_packet`.
        unsafe { *counter += 1 };
    }
}

/// Where this CPU keeps the connection that begins.
#[inline(always)]
pub(crate) fn beginning<F: Family>() -> Option<&'static mut F::Key> {
    let beginning = BEGINNING.get_ptr_mut(0)?;
    // SAFETY: `beginning` points to this CPU's entry, nothing else runs on this CPU meanwhile, and a packet begins one
    // connection.
    Some(F::beginning(unsafe { &mut *beginning }))
}

/// A bucket of the table of connections.
#[inline(always)]
pub(crate) fn flow_bucket(index: u32) -> Option<*mut FlowBucket> {
    FLOWS.get_ptr_mut(index)
}

/// The places of a connection in the table.
#[inline(always)]
pub(crate) fn places_of_flow(hash: u64) -> Places {
    Places::new(hash, FLOW_MASK.load())
}

/// What connections are hashed with.
#[inline(always)]
pub(crate) fn flow_secret() -> FlowSecret {
    // SAFETY: a constant of the program, which the loader has set: not what the compiler takes it for.
    unsafe { ptr::read_volatile(&raw const FLOW_SECRET) }
}

/// How many words the table of connections has.
#[inline(always)]
pub(crate) fn flow_words() -> u64 {
    (u64::from(FLOW_MASK.load()) + 1) * WORDS_PER_BUCKET as u64
}

/// The clocks of the connections.
#[inline(always)]
pub(crate) fn flow_clock() -> Option<&'static FlowClock> {
    FLOW_CLOCK.get(0)
}

/// The clock of the connections in a state.
#[inline(always)]
pub(crate) fn flow_time(state: u64) -> FlowTime {
    flow_clock().map_or_else(FlowTime::default, |clock| clock.of(state))
}

/// Whether names of connections are wanted.
#[inline(always)]
pub(crate) fn are_flows_named() -> bool {
    WRITE_NAMES.load() != 0
}

/// Writes the name of a connection.
#[inline(always)]
pub(crate) fn name_flow(slot: u32, name: FlowName) {
    if let Some(place) = FLOW_NAMES.get_ptr_mut(slot) {
        // SAFETY: `place` points to an entry of the map. Who reads it meanwhile finds that it does not fit its word.
        unsafe { place.write(name) };
    }
}
