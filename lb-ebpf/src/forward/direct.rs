//! Direct routing: one hop less, two link-layer addresses, and off.
//!
//! Nothing else of the packet changes, and a VLAN tag stays. The hop is counted as IPVS counts it: two
//! directors whose real server is the other one would else send a packet to and fro for ever.
#![allow(unsafe_code, reason = "redirecting is a kernel helper")]

use aya_ebpf::{bindings::xdp_action, helpers::generated::bpf_redirect};
use lb_common::Verdict;

use crate::{family::Family, flow::Target, headers::ethernet, maps, outcome::Outcome, packet::Packet};

/// Sends the packet, whose IP header begins at `network`, to a real server, and counts it.
#[inline(always)]
pub(super) fn send<F: Family>(
    packet: &mut Packet,
    network: usize,
    target: Target,
    verdict: Verdict,
) -> Outcome {
    let Some(length) = F::hop(packet, network) else {
        return Outcome::drop(Verdict::DropHopLimit);
    };
    let real = target.real;
    if ethernet::write(packet, real.destination_mac, real.source_mac).is_none() {
        return Outcome::drop(Verdict::DropMalformed);
    }
    maps::count_forwarded(real.service, target.slot, length);
    if real.interface == packet.interface() {
        return Outcome::transmit(verdict);
    }
    // SAFETY: the helper only notes the interface, and refuses with XDP_ABORTED.
    match unsafe { bpf_redirect(real.interface, 0) } as u32 {
        xdp_action::XDP_REDIRECT => Outcome::redirect(verdict),
        _ => Outcome::drop(Verdict::DropUnresolved),
    }
}
