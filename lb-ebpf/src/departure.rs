//! What became of packets after the program had sent them off: the kernel's tracepoints tell of those that were lost.
//!
//! Not on a packet's road: these programs run when the kernel reports. The offsets are those of the tracepoints'
//! formats (`/sys/kernel/tracing/events/xdp/*/format`), the same from Linux 5.15 to 6.18.
#![allow(
    unsafe_code,
    reason = "a tracepoint's record is read at offsets that the kernel names"
)]

use aya_ebpf::{
    btf_maps::LruHashMap,
    macros::{btf_map, tracepoint},
    programs::TracePointContext,
};
use lb_common::{Departure, maps as shared};

#[btf_map]
static LOST: LruHashMap<Departure, u64, { shared::LOST.capacity as usize }> = LruHashMap::new();

/// `xdp:xdp_redirect_err`: a packet cannot be redirected.
#[tracepoint]
fn redirect_failed(context: TracePointContext) -> u32 {
    if let (Some(program), Some(from), Some(error), Some(to)) = (
        read(&context, 8),
        read(&context, 16),
        read(&context, 20),
        read(&context, 24),
    ) {
        let error = error.wrapping_neg();
        count(
            Departure {
                program,
                from,
                to,
                error,
            },
            1,
        );
    }
    0
}

/// `xdp:xdp_devmap_xmit`: redirected packets were given to a driver, which may have dropped some.
#[tracepoint]
fn transmitted(context: TracePointContext) -> u32 {
    if let (Some(from), Some(to), Some(drops), Some(error)) = (
        read(&context, 8),
        read(&context, 16),
        read(&context, 20),
        read(&context, 28),
    ) && drops != 0
    {
        let departure = Departure {
            program: 0,
            from,
            to,
            error: error.wrapping_neg(),
        };
        count(departure, u64::from(drops));
    }
    0
}

/// `xdp:xdp_exception`: a driver could not do what a program decided.
#[tracepoint]
fn exception(context: TracePointContext) -> u32 {
    if let (Some(program), Some(interface)) = (read(&context, 8), read(&context, 16)) {
        let departure = Departure {
            program,
            from: interface,
            to: interface,
            error: 0,
        };
        count(departure, 1);
    }
    0
}

fn read(context: &TracePointContext, offset: usize) -> Option<u32> {
    // SAFETY: the helper refuses what it cannot read; four bytes are a number whatever they are.
    unsafe { context.read_at::<u32>(offset) }.ok()
}

/// Counts approximately: two CPUs that count the same at the same time may count once.
fn count(departure: Departure, packets: u64) {
    // SAFETY: the entry is one aligned integer, copied at once.
    let before = unsafe { LOST.get(departure) }.copied().unwrap_or(0);
    // If it cannot be entered, it is not counted; nothing else depends on it.
    LOST.insert(departure, before + packets, 0).ok();
}
