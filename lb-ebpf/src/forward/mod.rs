//! *forward*: to the real server, each kind in its own way.
//!
//! By [direct] routing at once. Every other way begins where the program begins ([`Outcome::send`]): a packet that goes
//! by direct routing pays for none of them, and there is room on the stack.

mod direct;
pub(crate) mod local;

use lb_common::{Verdict, real_flags};

use crate::{
    family::{Family, V4, V6},
    flow::Target,
    maps,
    outcome::Outcome,
    packet::Packet,
};

/// Sends the packet, whose IP header begins at `network`, to a real server, and counts it.
#[inline(always)]
pub(crate) fn to<F: Family>(
    packet: &mut Packet,
    network: usize,
    target: Target,
    verdict: Verdict,
) -> Outcome {
    if !target.real.is_direct() {
        return Outcome::send(verdict, network, target.slot);
    }
    direct::send::<F>(packet, network, target, verdict)
}

/// The end of a packet whose real server is not reached by direct routing.
#[inline(never)]
pub(crate) fn otherwise(packet: &mut Packet, outcome: Outcome) -> Outcome {
    match packet.read::<u8>(outcome.network()).map(|byte| byte >> 4) {
        Some(4) => by_kind::<V4>(packet, outcome),
        Some(6) => by_kind::<V6>(packet, outcome),
        _ => Outcome::drop(Verdict::DropMalformed),
    }
}

#[inline(always)]
fn by_kind<F: Family>(packet: &Packet, outcome: Outcome) -> Outcome {
    let slot = outcome.slot();
    match maps::real(slot) {
        Some(real) if real.flags & real_flags::LOCAL != 0 => {
            local::deliver::<F>(packet, outcome.network(), Target { slot, real })
        }
        _ => Outcome::drop(Verdict::DropUnresolved),
    }
}
