//! The floors.

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{LruHashMap, PerCpuArray},
    macros::{btf_map, xdp},
    programs::XdpContext,
};

use crate::frame::{headers, parse, swap_addresses};

/// The table of `track`: every connection that is not there is entered. Keys and values are as long as those of
/// `tracked`.
#[btf_map]
static FLOOR_FLOWS: LruHashMap<[u64; 2], [u64; 3], { 1 << 10 }> = LruHashMap::new();
/// The counters of `track`: packets and bytes.
#[btf_map]
static FLOOR_STATS: PerCpuArray<[u64; 2], 1> = PerCpuArray::new();

/// Nothing: what it takes is what the measurement takes.
#[xdp]
fn transmit(_context: XdpContext) -> u32 {
    xdp_action::XDP_TX
}

/// The least that sends a packet back: parse, exchange the link-layer addresses.
#[xdp]
fn swap(context: XdpContext) -> u32 {
    if let Some(headers) = headers(&context)
        && parse(headers).is_some()
    {
        swap_addresses(headers);
    }
    xdp_action::XDP_TX
}

/// What no load balancer can do without that remembers connections in a table of the kernel: `swap`, one look-up, one
/// counter.
#[xdp]
fn track(context: XdpContext) -> u32 {
    let Some(headers) = headers(&context) else {
        return xdp_action::XDP_PASS;
    };
    let Some(packet) = parse(headers) else {
        return xdp_action::XDP_PASS;
    };
    let key = &packet.connection();
    // SAFETY: only whether the entry is there matters.
    if unsafe { FLOOR_FLOWS.get(key) }.is_none() {
        let _full = FLOOR_FLOWS.insert(key, [0; 3], 0);
    }
    if let Some(counters) = FLOOR_STATS.get_ptr_mut(0) {
        // SAFETY: this CPU's entry of the map.
        unsafe {
            (*counters)[0] += 1;
            (*counters)[1] += (context.data_end() - context.data()) as u64;
        }
    }
    swap_addresses(headers);
    xdp_action::XDP_TX
}
