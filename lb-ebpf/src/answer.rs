//! *answer*: the end of a packet that can go nowhere, and whose sender is told: by a [`reset`] or an
//! [`unreachable`](mod@crate::unreachable), and not by too many of them.

use lb_common::{Address, Verdict, protocol};

use crate::{
    clock,
    family::{V4, V6},
    forward::local,
    maps,
    outcome::Outcome,
    packet::Packet,
    reset,
    unreachable::{self, Unreachable},
};

/// The end of a packet that is to be answered. (Called where the program begins: the stack that the kernel allows has
/// no room for more than that and this.)
#[inline(never)]
pub(crate) fn send(packet: &mut Packet, outcome: Outcome) -> Outcome {
    match packet.ip_version(outcome.network()) {
        Some(4) => send_to_client::<V4>(packet, outcome),
        Some(6) => send_to_client::<V6>(packet, outcome),
        _ => Outcome::drop(Verdict::DropMalformed),
    }
}

#[inline(always)]
fn send_to_client<F: Unreachable>(packet: &mut Packet, outcome: Outcome) -> Outcome {
    let is_unknown = outcome.is(Verdict::ResetUnknownFlow);
    let is_reset = is_unknown || outcome.is(Verdict::ResetRealServerGone);
    if is_unknown && local::may_know::<F>(packet, outcome) {
        return Outcome::pass(Verdict::PassLocal);
    }
    // An ABORT would need a checksum of all of the packet that is not the Internet's: IPVS drops these as well.
    if is_reset && (outcome.protocol() == protocol::SCTP || reset::is_one(packet, outcome)) {
        return Outcome::drop(Verdict::DropStray);
    }
    if !F::address_at(packet, outcome.network() + F::SOURCE).is_some_and(is_host) {
        return Outcome::drop(Verdict::DropStray);
    }
    if !maps::take_answer(clock::now()) {
        return Outcome::drop(Verdict::DropAnswerLimit);
    }
    let is_built = if is_reset {
        reset::build::<F>(packet, outcome)
    } else {
        unreachable::build::<F>(packet, outcome)
    };
    if is_built {
        outcome.ended()
    } else {
        Outcome::drop(Verdict::DropMalformed)
    }
}

/// Whether the address can be one host's on another machine: not multicast, broadcast, loopback or unspecified (RFC
/// 1122, section 3.2.2).
#[inline(always)]
fn is_host(address: Address) -> bool {
    match address.bytes {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, first, ..] => !matches!(first, 0 | 127 | 224..),
        [first, ..] => first != 0 && first != 0xff,
    }
}
