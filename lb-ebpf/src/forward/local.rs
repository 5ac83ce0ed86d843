//! The real server is this node: the packet is passed to the kernel's network stack as it is.
//!
//! That has the virtual address while this node is the master, and the connection is remembered like any other. What
//! another director sends here has been balanced there ([`crate::frame`]), and the stack gets it from a backup as well.

use lb_common::{Verdict, service_flags};

use crate::{family::Family, flow::Target, maps, outcome::Outcome, packet::Packet, service};

/// Passes the packet, whose IP header begins at `network`, and counts it.
#[inline(always)]
pub(crate) fn deliver<F: Family>(packet: &Packet, network: usize, target: Target) -> Outcome {
    let Some(length) = F::length(packet, network) else {
        return Outcome::drop(Verdict::DropMalformed);
    };
    maps::count_forwarded(target.real.service, target.slot, length);
    Outcome::pass(Verdict::PassLocal)
}

/// Whether the kernel's network stack may know the connection of a TCP segment that the program does not: that of a
/// client who was sent here by the master before. If it does not, it answers with a reset.
#[inline(never)]
pub(crate) fn may_know<F: Family>(packet: &Packet, outcome: Outcome) -> bool {
    F::key_at(packet, outcome.network(), outcome.transport(), outcome.protocol())
        .and_then(|key| service::find::<F>(&key))
        .is_some_and(|service| service.flags & service_flags::LOCAL != 0)
}
