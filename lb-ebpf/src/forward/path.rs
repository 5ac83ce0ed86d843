//! A router on the way of a tunnel takes no packets as long as the director's interface does, and says so to where the
//! tunnel begins (RFC 1191, RFC 8201).
//!
//! That is noted in the real server's slot, and the next client whose packet is too long is told. What it quotes must be a
//! packet of a connection that goes through this tunnel; routers that quote eight bytes only (RFC 792) tell too little.
//! The daemon writes what it knows itself over it every half minute: a path that has become wider is found again.

#![allow(
    unsafe_code,
    reason = "functions that others could call have names of their own"
)]

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use lb_common::{protocol, real_flags};

use crate::{
    extensions,
    family::{Family, V4, V6},
    flow,
    headers::{Gue, Icmp, Ipv4, Ipv6, Udp},
    maps,
    packet::Packet,
};

/// Paths that take less are no paths (RFC 791: every host takes 576 bytes), and whoever says so has something in mind.
const NARROWEST: u16 = 576;

/// Notes what the ICMP message at `message` says, if it is about a tunnel of ours. (By functions that others could call:
/// the kernel verifies each once, as [`Packet::sum`]'s.)
#[inline(always)]
pub(crate) fn narrow<F: Family>(packet: &Packet, message: usize) {
    let context = packet.context().ctx;
    let _not_about_a_tunnel = match F::VERSION {
        4 => narrow_ipv4(context, message as u64),
        _ => narrow_ipv6(context, message as u64),
    };
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn narrow_ipv4(context: *mut xdp_md, message: u64) -> u64 {
    let packet = Packet::new(XdpContext::new(context));
    u64::from(try_narrow::<V4>(&packet, (message & 0x7fff) as usize).is_none())
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn narrow_ipv6(context: *mut xdp_md, message: u64) -> u64 {
    let packet = Packet::new(XdpContext::new(context));
    u64::from(try_narrow::<V6>(&packet, (message & 0x7fff) as usize).is_none())
}

#[inline(always)]
fn try_narrow<F: Family>(packet: &Packet, message: usize) -> Option<()> {
    let Icmp {
        rest: [_, _, high, low],
        ..
    } = packet.read(message)?;
    let mtu = u16::from_be_bytes([high, low]);
    let outer = message + size_of::<Icmp>();
    let server = F::address_at(packet, outer + F::DESTINATION)?;
    let (next, at) = if F::VERSION == 4 {
        let ip: Ipv4 = packet.read(outer)?;
        (ip.protocol, outer + size_of::<Ipv4>())
    } else {
        let ip: Ipv6 = packet.read(outer)?;
        (ip.next_header, outer + size_of::<Ipv6>())
    };
    let (next, inner) = if next == protocol::UDP {
        let gue: Gue = packet.read(at + size_of::<Udp>())?;
        (gue.protocol, at + size_of::<Udp>() + size_of::<Gue>())
    } else {
        (next, at)
    };
    let slot = match next {
        protocol::IPV4 => {
            let ip: Ipv4 = packet.read(inner)?;
            let transport = inner + usize::from(ip.version_and_length & 0xf) * 4;
            slot_of::<V4>(packet, inner, transport, ip.protocol)
        }
        protocol::IPV6 => {
            let ip: Ipv6 = packet.read(inner)?;
            let chain = extensions::follow(packet, ip.next_header, inner + size_of::<Ipv6>())?;
            slot_of::<V6>(packet, inner, chain.transport, chain.next_header)
        }
        _ => NO_SLOT,
    };
    let real = maps::real(slot)?;
    let is_of_tunnel = real.flags & real_flags::TUNNEL != 0 && real.address == server;
    if is_of_tunnel && mtu >= NARROWEST && mtu < real.mtu {
        maps::set_mtu(slot, mtu);
    }
    Some(())
}

/// Beyond all slots.
const NO_SLOT: u32 = u32::MAX;

/// The slot of the real server of the connection whose packet is at `inner`.
#[inline(never)]
fn slot_of<F: Family>(packet: &Packet, inner: usize, transport: usize, protocol: u8) -> u32 {
    let key = F::key_at(packet, inner, transport, protocol);
    let target = key.and_then(|key| flow::find::<F>(packet, &key).target());
    target.map_or(NO_SLOT, |target| target.slot)
}
