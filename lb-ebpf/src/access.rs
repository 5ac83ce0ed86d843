//! *access*: what the sender of a packet may do.
//!
//! The daemon lays out what operators list in one trie, where the longest prefix of an address counts. The flags of the
//! interfaces say whether there is anything to look up: without lists, nobody pays for them. Whether somebody is
//! blocked, [`frame`] asks.
#![allow(
    unsafe_code,
    reason = "a function keeps its name, so that the kernel takes it for one that others could call"
)]

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use lb_common::{Prefix, Verdict, access, interface_flags};

use crate::{
    family::{Family, V4, V6},
    frame,
    maps::{self, Key},
    outcome::Outcome,
    packet::Packet,
};

/// The same end; but that of a packet which is to begin a connection, or to be answered, only if its sender may begin
/// connections.
#[inline(always)]
pub(crate) fn judged(packet: &Packet, outcome: Outcome) -> Outcome {
    if !outcome.is_begin_or_answer() || frame::flags(packet) & interface_flags::CLOSES == 0 {
        return outcome;
    }
    Outcome::from_bits(judged_outcome(packet.context().ctx, outcome.to_bits()))
}

/// [`judged`], by a function that others could call, which the kernel verifies by itself (as in [`Packet::sum`]).
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn judged_outcome(context: *mut xdp_md, outcome: u64) -> u64 {
    let packet = Packet::new(XdpContext::new(context));
    let outcome = Outcome::from_bits(outcome);
    if of_sender(&packet, outcome.network()) == access::CLOSED {
        return Outcome::drop(Verdict::DropNotAllowed).to_bits();
    }
    outcome.to_bits()
}

/// What the sender of the packet, whose IP header begins at `network`, may do: one of [`access`](mod@access).
#[inline(always)]
pub(crate) fn of_sender(packet: &Packet, network: usize) -> u32 {
    let address = match packet.ip_version(network) {
        Some(4) => V4::address_at(packet, network + V4::SOURCE),
        _ => V6::address_at(packet, network + V6::SOURCE),
    };
    let Some(address) = address else {
        return access::OPEN;
    };
    let length = u8::BITS * address.bytes.len() as u32;
    maps::access(&Key(Prefix { length, address }))
}
