//! What the least programs cost, for `cargo xtask bench` to compare with: no part of what lbd loads.
//!
//! `transmit` does nothing but `XDP_TX`; `swap` exchanges the link-layer addresses first; `track` does what no
//! load balancer can do without: parse, one look-up in an LRU table, count, write the link-layer addresses. `rewind`
//! gives each repetition of a packet back the hop that the last one took, and hands it to the program that is measured;
//! `vary` makes it another client's as well.
#![cfg_attr(target_arch = "bpf", no_std)]
#![cfg_attr(target_arch = "bpf", no_main)]
#![allow(unsafe_code, reason = "the least that can be done is done by hand")]

use aya_ebpf::{
    Global,
    bindings::xdp_action,
    btf_maps::{LruHashMap, PerCpuArray, ProgramArray},
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use lb_common::{Counters, FlowKey4};

/// What a table without words of its own remembers of a connection: server and generation, time, state.
type Flow = [u64; 3];

/// The table of `track`: every connection that is not there is entered.
#[btf_map]
static FLOOR_FLOWS: LruHashMap<FlowKey4, Flow, { 1 << 20 }> = LruHashMap::new();
/// The counters of `track`.
#[btf_map]
static FLOOR_STATS: PerCpuArray<Counters, 1> = PerCpuArray::new();

/// The program that `vary` hands packets to, in its only slot.
#[btf_map]
static FLOOR_NEXT: ProgramArray<1> = ProgramArray::new();
/// How often `vary` has run.
#[btf_map]
static FLOOR_TURN: PerCpuArray<u32, 1> = PerCpuArray::new();
/// The bits of the client's address that `vary` counts in.
#[unsafe(no_mangle)]
static FLOOR_CLIENTS: Global<u32> = Global::new(0);

/// Ethernet, IPv4 without options, and the ports: what the programs here look at.
#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Headers {
    destination_mac: [u8; 6],
    source_mac: [u8; 6],
    ether_type: u16,
    version_and_length: u8,
    _before_hops: [u8; 6],
    /// IPv6's hop limit.
    hop_limit: u8,
    time_to_live: u8,
    protocol: u8,
    _checksum: u16,
    source: [u8; 4],
    destination: [u8; 4],
    source_port: u16,
    destination_port: u16,
}

#[inline(always)]
fn headers(context: &XdpContext) -> Option<*mut Headers> {
    let start = context.data();
    (start + size_of::<Headers>() <= context.data_end()).then_some(start as *mut Headers)
}

#[inline(always)]
fn swap_addresses(headers: *mut Headers) {
    // SAFETY: `headers` has been checked to lie within the packet, and the fields are bytes.
    unsafe {
        let (destination, source) = ((*headers).destination_mac, (*headers).source_mac);
        (*headers).destination_mac = source;
        (*headers).source_mac = destination;
    }
}

#[xdp]
fn transmit(_context: XdpContext) -> u32 {
    xdp_action::XDP_TX
}

#[xdp]
fn swap(context: XdpContext) -> u32 {
    if let Some(headers) = headers(&context) {
        swap_addresses(headers);
    }
    xdp_action::XDP_TX
}

#[xdp]
fn track(context: XdpContext) -> u32 {
    let Some(headers) = headers(&context) else {
        return xdp_action::XDP_PASS;
    };
    // SAFETY: as in `swap_addresses`.
    let read = unsafe { headers.read_unaligned() };
    if read.ether_type != 0x0800_u16.to_be() || read.version_and_length != 0x45 {
        return xdp_action::XDP_PASS;
    }
    let key = &FlowKey4 {
        client_address: read.source,
        virtual_address: read.destination,
        client_port: u16::from_be(read.source_port),
        virtual_port: u16::from_be(read.destination_port),
        protocol: u32::from(read.protocol),
    };
    // SAFETY: only whether the entry is there matters.
    if unsafe { FLOOR_FLOWS.get(key) }.is_none() {
        let _full = FLOOR_FLOWS.insert(key, Flow::default(), 0);
    }
    if let Some(counters) = FLOOR_STATS.get_ptr_mut(0) {
        // SAFETY: this CPU's entry of the map.
        unsafe {
            (*counters).packets += 1;
            (*counters).bytes += (context.data_end() - context.data()) as u64;
        }
    }
    swap_addresses(headers);
    xdp_action::XDP_TX
}

#[inline(always)]
fn give_back_the_hop(headers: *mut Headers) {
    const IPV6: u16 = 0x86dd_u16.to_be();
    // SAFETY: `headers` has been checked to lie within the packet, and the fields are bytes.
    unsafe {
        if (*headers).ether_type == IPV6 {
            (*headers).hop_limit = 64;
        } else {
            (*headers).time_to_live = 64;
        }
    }
}

#[xdp]
fn rewind(context: XdpContext) -> u32 {
    if let Some(headers) = headers(&context) {
        give_back_the_hop(headers);
    }
    // SAFETY: the context is the one that the kernel called us with. It returns only if the slot is empty.
    unsafe { FLOOR_NEXT.tail_call(&context, 0) };
    xdp_action::XDP_ABORTED
}

#[xdp]
fn vary(context: XdpContext) -> u32 {
    if let (Some(headers), Some(turn)) = (headers(&context), FLOOR_TURN.get_ptr_mut(0)) {
        give_back_the_hop(headers);
        // SAFETY: `turn` is this CPU's entry of the map; `headers` as in `swap_addresses`.
        unsafe {
            *turn = (*turn).wrapping_add(1);
            let client = 100 << 24 | *turn & FLOOR_CLIENTS.load();
            (*headers).source = client.to_be_bytes();
        }
    }
    // SAFETY: the context is the one that the kernel called us with. It returns only if the slot is empty.
    unsafe { FLOOR_NEXT.tail_call(&context, 0) };
    xdp_action::XDP_ABORTED
}

/// The licence that the kernel asks for.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// The compiler wants one; the verifier would refuse a program that could reach it.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The programs run in the kernel; for any other target this only lets the compiler, clippy and rustdoc read them.
#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("floor runs in the kernel: `cargo xtask bench` builds and measures it");
}
