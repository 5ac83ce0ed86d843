//! What stands before the program that is measured: `BPF_PROG_TEST_RUN` repeats a packet as the last repetition left
//! it. `vary` makes it another client's and another service's, gives it back the hop that was taken, and hands it on.

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{PerCpuArray, ProgramArray},
    macros::{btf_map, xdp},
    programs::XdpContext,
};

use crate::frame::{Headers, IPV4, headers};

/// Addresses (IPv4's, or the last 32 bits of IPv6's, in host order) that packets take one after another.
#[repr(C)]
struct Range {
    next: u32,
    /// How far from one to the one after it.
    step: u32,
    first: u32,
    count: u32,
}

/// Who sends to whom.
#[repr(C)]
struct Ranges {
    clients: Range,
    vips: Range,
}

/// For each CPU.
#[btf_map]
static VARY_RANGES: PerCpuArray<Ranges, 1> = PerCpuArray::new();
/// The program that packets are handed to, in the only slot.
#[btf_map]
static VARY_NEXT: ProgramArray<1> = ProgramArray::new();

const HOPS: u8 = 64;
const IPV6: u16 = 0x86dd_u16.to_be();

/// Ethernet and IPv6.
#[repr(C, packed)]
struct Headers6 {
    _ethernet: [u8; 14],
    _before_hops: [u8; 7],
    hop_limit: u8,
    _source_prefix: [u8; 12],
    source: u32,
    _destination_prefix: [u8; 12],
    destination: u32,
}

/// The program.
#[xdp]
fn vary(context: XdpContext) -> u32 {
    if let (Some(headers), Some(ranges)) = (headers(&context), VARY_RANGES.get_ptr_mut(0)) {
        rewrite(&context, headers, ranges);
    }
    // SAFETY: the context is the one that the kernel called us with. It returns only if the slot is empty.
    unsafe { VARY_NEXT.tail_call(&context, 0) };
    xdp_action::XDP_ABORTED
}

#[inline(always)]
fn rewrite(context: &XdpContext, headers: *mut Headers, ranges: *mut Ranges) {
    // SAFETY: `ranges` is this CPU's entry of the map; `headers` has been checked to lie within the packet, and so are
    // the longer ones before they are written.
    unsafe {
        if (*headers).ether_type == IPV4 {
            (*headers).time_to_live = HOPS;
            (*headers).addresses = [take(&mut (*ranges).clients), take(&mut (*ranges).vips)];
        } else if (*headers).ether_type == IPV6
            && context.data() + size_of::<Headers6>() <= context.data_end()
        {
            let headers = context.data() as *mut Headers6;
            (*headers).hop_limit = HOPS;
            (*headers).source = take(&mut (*ranges).clients);
            (*headers).destination = take(&mut (*ranges).vips);
        }
    }
}

/// The next address, in network order.
#[inline(always)]
fn take(range: &mut Range) -> u32 {
    let taken = range.next;
    let next = taken + range.step;
    let is_past = next - range.first >= range.count;
    range.next = if is_past { next - range.count } else { next };
    taken.to_be()
}
