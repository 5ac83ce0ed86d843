//! *forward*: to the real server, each kind in its own way.
//!
//! By [direct] routing at once. Every other way begins where the program begins ([`Outcome::send`]): a packet that goes
//! by direct routing pays for none of them, and there is room on the stack.
#![allow(
    unsafe_code,
    reason = "redirecting is a kernel helper, and functions that others could call have names of their own"
)]

mod direct;
pub(crate) mod local;
mod path;
mod tunnel;

use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    helpers::generated::bpf_redirect,
    programs::XdpContext,
};
use lb_common::{Real, Verdict, real_flags};

pub(crate) use self::path::narrow;
use self::tunnel::Tunnelled;
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
#[inline(always)]
pub(crate) fn otherwise(packet: &Packet, outcome: Outcome) -> Outcome {
    Outcome::from_bits(send_otherwise(packet.context().ctx, outcome.to_bits()))
}

/// [`otherwise`], by a function that others could call: the kernel verifies it once, as [`Packet::sum`]'s.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn send_otherwise(context: *mut xdp_md, outcome: u64) -> u64 {
    let mut packet = Packet::new(XdpContext::new(context));
    send(&mut packet, Outcome::from_bits(outcome)).to_bits()
}

#[inline(always)]
fn send(packet: &mut Packet, outcome: Outcome) -> Outcome {
    match packet.ip_version(outcome.network()) {
        Some(4) => by_kind::<V4>(packet, outcome),
        Some(6) => by_kind::<V6>(packet, outcome),
        _ => Outcome::drop(Verdict::DropMalformed),
    }
}

#[inline(always)]
fn by_kind<F: Tunnelled>(packet: &mut Packet, outcome: Outcome) -> Outcome {
    let slot = outcome.slot();
    match maps::real(slot) {
        Some(real) if real.flags & real_flags::LOCAL != 0 => {
            local::deliver::<F>(packet, outcome.network(), Target { slot, real })
        }
        Some(real) if real.flags & real_flags::TUNNEL != 0 => {
            tunnel::send::<F>(packet, outcome, Target { slot, real })
        }
        _ => Outcome::drop(Verdict::DropUnresolved),
    }
}

/// The end of a packet that is ready for a real server: it leaves with the verdict of `outcome`.
#[inline(always)]
fn leave(packet: &Packet, real: &Real, outcome: Outcome) -> Outcome {
    if real.interface == packet.interface() {
        return outcome.transmitted();
    }
    // SAFETY: the helper only notes the interface, and refuses with XDP_ABORTED.
    match unsafe { bpf_redirect(real.interface, 0) } as u32 {
        xdp_action::XDP_REDIRECT => outcome.redirected(),
        _ => Outcome::drop(Verdict::DropUnresolved),
    }
}
