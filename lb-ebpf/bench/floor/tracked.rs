//! The least direct-routing balancer on the kernel's hash tables, which is how the data plane of lbd began and how
//! others are made: parse, look the service up, look the connection up in an LRU table, else take the next real server
//! of the ring and remember it; write the link-layer addresses, count for service and server.

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, LruHashMap},
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use lb_common::{Service, maps};

use crate::{
    balancer::{forward, ring},
    frame::{headers, parse},
};

/// The slot of a real server, and room for the state and the time that a balancer needs that does more.
type Flow = [u64; 3];

#[btf_map]
static TRACKED_FLOWS: LruHashMap<[u64; 2], Flow, { 1 << 10 }> = LruHashMap::new();
/// Where each service's ring goes on, for all CPUs.
#[btf_map]
static TRACKED_CURSORS: Array<u64, { maps::SERVICES.capacity as usize }> = Array::new();

/// The program.
#[xdp]
fn tracked(context: XdpContext) -> u32 {
    balance(&context).unwrap_or(xdp_action::XDP_PASS)
}

#[inline(always)]
fn balance(context: &XdpContext) -> Option<u32> {
    let headers = headers(context)?;
    let bytes = (context.data_end() - context.data()) as u64;
    let packet = parse(headers)?;
    let service = packet.service()?;
    let key = &packet.connection();
    // SAFETY: one aligned word of the entry is read.
    let known = unsafe { TRACKED_FLOWS.get(key) };
    let real = match known {
        Some(flow) => flow[0] as u32,
        None => {
            let real = next(service)?;
            let _full = TRACKED_FLOWS.insert(key, [u64::from(real), 0, 0], 0);
            real
        }
    };
    Some(forward(headers, service, real, bytes))
}

#[inline(always)]
fn next(service: &Service) -> Option<u32> {
    let cursor = TRACKED_CURSORS.get_ptr_mut(service.index)?;
    // SAFETY: an entry of the map, eight bytes and aligned; all CPUs change it atomically.
    let turn = unsafe { fetch_add(cursor, 1) };
    ring(service, turn.checked_rem(u64::from(service.ring_length))? as u32)
}

/// Adds to a number that other CPUs add to as well, and returns what it was.
#[cfg(target_arch = "bpf")]
#[inline(always)]
unsafe fn fetch_add(counter: *mut u64, value: u64) -> u64 {
    use core::intrinsics::{AtomicOrdering, atomic_xadd};
    // SAFETY: the caller's.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(counter, value) }
}

/// Adds to a number that other CPUs add to as well, and returns what it was.
#[cfg(not(target_arch = "bpf"))]
unsafe fn fetch_add(counter: *mut u64, value: u64) -> u64 {
    use core::sync::atomic::{AtomicU64, Ordering};
    // SAFETY: the caller's.
    unsafe { AtomicU64::from_ptr(counter) }.fetch_add(value, Ordering::Relaxed)
}
