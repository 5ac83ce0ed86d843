//! *forward*: two link-layer addresses, and off.
//!
//! Nothing else of the packet changes (direct routing): the time to live stays, and so does a VLAN tag.
#![allow(unsafe_code, reason = "redirecting is a kernel helper")]

use aya_ebpf::{bindings::xdp_action, helpers::generated::bpf_redirect};
use lb_common::Verdict;

use crate::{flow::Target, headers::ethernet, maps, outcome::Outcome, packet::Packet};

/// Sends the packet to a real server, and counts it.
#[inline(always)]
pub(crate) fn to(packet: &mut Packet, target: Target, verdict: Verdict) -> Outcome {
    let real = target.real;
    if ethernet::write(packet, real.destination_mac, real.source_mac).is_none() {
        return Outcome::drop(Verdict::DropMalformed);
    }
    maps::count_forwarded(real.service, target.slot, packet.length() as u64);
    if real.interface == packet.interface() {
        return Outcome::transmit(verdict);
    }
    // SAFETY: the helper only notes the interface, and refuses with XDP_ABORTED.
    match unsafe { bpf_redirect(real.interface, 0) } as u32 {
        xdp_action::XDP_REDIRECT => Outcome::redirect(verdict),
        _ => Outcome::drop(Verdict::DropUnresolved),
    }
}
