//! What both balancers have: services, rings, real servers, counters.

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, HashMap, PerCpuArray},
    macros::btf_map,
};
use lb_common::{Service, ServiceKey, maps};

use crate::frame::{Headers, LinkAddresses, Packet};

/// By [`ServiceKey`], in whole words.
#[btf_map]
static FLOOR_SERVICES: HashMap<[u64; 3], Service, { maps::SERVICES.capacity as usize }> = HashMap::new();
/// The slots of the real servers, slices of which are the services' rings.
#[btf_map]
static FLOOR_RINGS: Array<u32, { 1 << 16 }> = Array::new();
/// The real servers: what is written into the frame.
#[btf_map]
static FLOOR_REALS: Array<LinkAddresses, { maps::REALS.capacity as usize }> = Array::new();
/// Packets and bytes of each service.
#[btf_map]
static FLOOR_SERVICE_STATS: PerCpuArray<[u64; 2], { maps::SERVICES.capacity as usize }> = PerCpuArray::new();
/// Packets and bytes of each real server.
#[btf_map]
static FLOOR_REAL_STATS: PerCpuArray<[u64; 2], { maps::REALS.capacity as usize }> = PerCpuArray::new();

const _: () = assert!(size_of::<ServiceKey>() == size_of::<[u64; 3]>());

impl Packet {
    /// What a connection is known by.
    #[inline(always)]
    pub(crate) fn connection(&self) -> [u64; 2] {
        let [client, address] = self.addresses.map(u64::from);
        let [client_port, port] = self.ports.map(u64::from);
        [
            client | address << 32,
            client_port | port << 16 | u64::from(self.protocol) << 32,
        ]
    }

    /// The service that the packet is for.
    #[inline(always)]
    pub(crate) fn service(&self) -> Option<&'static Service> {
        let [_, address] = self.addresses.map(u64::from);
        let port = u64::from(u16::from_be(self.ports[1]));
        // A `ServiceKey`, stored in whole words because the kernel compares it in words. An IPv4 address is mapped into
        // IPv6.
        let key = &[
            0,
            0xffff_0000 | address << 32,
            port | u64::from(self.protocol) << 32,
        ];
        // SAFETY: no service is removed while the measurement runs.
        unsafe { FLOOR_SERVICES.get(key) }
    }
}

/// The real server at a place of a service's ring.
#[inline(always)]
pub(crate) fn ring(service: &Service, place: u32) -> Option<u32> {
    FLOOR_RINGS.get(service.ring_offset + place).copied()
}

/// Writes the link-layer addresses and counts.
#[inline(always)]
pub(crate) fn forward(headers: *mut Headers, service: &Service, real: u32, bytes: u64) -> u32 {
    let Some(addresses) = FLOOR_REALS.get(real) else {
        return xdp_action::XDP_DROP;
    };
    // SAFETY: `headers` has been checked to lie within the packet, and the fields are bytes.
    unsafe { (*headers).link_addresses = *addresses };
    count(FLOOR_SERVICE_STATS.get_ptr_mut(service.index), bytes);
    count(FLOOR_REAL_STATS.get_ptr_mut(real), bytes);
    xdp_action::XDP_TX
}

#[inline(always)]
fn count(counters: Option<*mut [u64; 2]>, bytes: u64) {
    if let Some(counters) = counters {
        // SAFETY: this CPU's entry of the map.
        unsafe {
            (*counters)[0] += 1;
            (*counters)[1] += bytes;
        }
    }
}
