//! *fragment*: later fragments carry no ports and follow their first one.
//!
//! The first fragment is a packet like any other; where it went is remembered by (source, destination,
//! identification, protocol) for as long as the kernel waits for fragments. A later one of an unknown packet to one
//! of our addresses is dropped: no real server could use it without the first. (It may have overtaken the first: the
//! client sends again.) Elsewhere, and for protocols other than TCP, UDP and SCTP, fragments are the kernel's.

use lb_common::{Fragment, FragmentKey, SECOND, Verdict};

use crate::{
    clock, family::Family, flow::Target, forward, frame, lease, maps, outcome::Outcome, packet::Packet,
};

/// How long the kernel waits for fragments (`net.ipv4.ipfrag_time`).
const TIMEOUT: u64 = 30 * SECOND;

/// Remembers that the fragments of the packet whose IP header is at `network` go to the real server in `slot`. (Five
/// arguments and no structure: arguments are registers, a structure would be written to the stack for each packet.)
#[inline(never)]
pub(crate) fn remember<F: Family>(packet: &Packet, network: usize, protocol: u8, lease: u32, slot: u32) {
    let Some(identification) = F::identification(packet, network) else {
        return;
    };
    let Some(real) = maps::real(slot) else {
        return;
    };
    let Some(source) = F::address_at(packet, network + F::SOURCE) else {
        return;
    };
    let Some(destination) = F::address_at(packet, network + F::DESTINATION) else {
        return;
    };
    let key = FragmentKey {
        source,
        destination,
        identification,
        protocol: u32::from(protocol),
    };
    let value = Fragment {
        real: slot,
        generation: real.generation,
        seen_at: clock::now(),
        lease,
        _reserved: 0,
    };
    maps::set_fragment(&key, &value);
}

/// The end of a later fragment.
#[inline(never)]
pub(crate) fn follow<F: Family>(
    packet: &mut Packet,
    network: usize,
    protocol: u8,
    identification: u32,
) -> Outcome {
    if let Some(refusal) = frame::refusal(packet) {
        return refusal;
    }
    let Some(source) = F::address_at(packet, network + F::SOURCE) else {
        return Outcome::drop(Verdict::DropMalformed);
    };
    let Some(destination) = F::address_at(packet, network + F::DESTINATION) else {
        return Outcome::drop(Verdict::DropMalformed);
    };
    let key = FragmentKey {
        source,
        destination,
        identification,
        protocol: u32::from(protocol),
    };
    let now = clock::now();
    let Some(first) = maps::fragment(&key).filter(|first| now.saturating_sub(first.seen_at) <= TIMEOUT)
    else {
        return lease::unusable::<F>(packet, network, Verdict::DropFragment);
    };
    if let Some(refusal) = lease::refusal(first.lease, now) {
        return refusal;
    }
    match maps::real(first.real) {
        Some(real) if real.generation == first.generation && real.is_usable() => {
            let target = Target {
                slot: first.real,
                real,
            };
            forward::to::<F>(packet, network, target, Verdict::ForwardFragment)
        }
        _ => Outcome::drop(Verdict::DropFragment),
    }
}
