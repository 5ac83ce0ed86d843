//! Direct routing: one hop less, two link-layer addresses, and off.
//!
//! Nothing else of the packet changes, and a VLAN tag stays. The hop is counted as IPVS counts it: two
//! directors whose real server is the other one would else send a packet to and fro for ever.

use lb_common::Verdict;

use super::leave;
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
    leave(packet, real, Outcome::transmit(verdict))
}
