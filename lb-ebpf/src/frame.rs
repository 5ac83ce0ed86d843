//! *frame*: is it for this node, and has nobody balanced it yet?
//!
//! The kernel's stack takes what was sent to its interface's own link-layer address, and passes over what is for
//! another host: a switch floods what it has not learnt, and a bridge carries others' frames on purpose. So do we, and
//! for one more reason: whoever is answered from a foreign address teaches every switch that it lives here. IPVS looks
//! at no broadcast or multicast frame either.
//!
//! Directors may be each other's real servers. What one of them has sent to the other is for that one's own network
//! stack, whoever is the master: for some moments of a failover both are, and would send it to and fro.
#![allow(
    unsafe_code,
    reason = "a function keeps its name, so that the kernel takes it for one that others could call"
)]

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use lb_common::{Interface, Peer, Verdict, VirtualRouterKey, access as rule, interface_flags};

use crate::{
    access,
    headers::ethernet,
    maps::{self, Key},
    outcome::Outcome,
    packet::Packet,
    parse,
};

/// The link-layer address of a virtual router, but for its last two bytes: 1 or 2 for IPv4 or IPv6, and its identifier
/// (RFC 9568, section 7.3).
const VIRTUAL_ROUTER: [u8; 4] = [0x00, 0x00, 0x5e, 0x00];

/// Why a frame is left to the kernel, if it is: it is not for the interface that it arrived on, nor for a virtual router
/// there; or another director has balanced it. On an interface that the daemon has not told of, every frame is for this
/// node: better one too many than a silent director.
#[inline(always)]
pub(crate) fn refusal(packet: &Packet) -> Option<Outcome> {
    let interface = own(packet)?;
    if !is_for(packet, interface) {
        return Some(Outcome::pass(Verdict::PassOtherHost));
    }
    if interface.flags & interface_flags::HAS_PEERS != 0 && is_peers(packet) {
        return Some(Outcome::pass(Verdict::PassBalanced));
    }
    None
}

/// The flags of an interface that the daemon has not told of: the lists count there as well.
const UNTOLD: u16 = interface_flags::BLOCKS | interface_flags::CLOSES;

/// The same for the packet of a client, whose IP header begins at `network`: nothing of it reaches a service either if
/// it is blocked.
#[inline(always)]
pub(crate) fn refusal_of_client(packet: &Packet, network: usize) -> Option<Outcome> {
    let mut flags = UNTOLD;
    if let Some(interface) = own(packet) {
        if !is_for(packet, interface) {
            return Some(Outcome::pass(Verdict::PassOtherHost));
        }
        flags = interface.flags;
    }
    if flags & (interface_flags::HAS_PEERS | interface_flags::BLOCKS) == 0 {
        return None;
    }
    match refusal_of_sender(packet.context().ctx, network as u64) {
        0 => None,
        outcome => Some(Outcome::from_bits(outcome)),
    }
}

/// The part of [`refusal_of_client`] that few have to ask for, by a function that others could call: the kernel
/// verifies such a one by itself (as in [`Packet::sum`]).
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn refusal_of_sender(context: *mut xdp_md, network: u64) -> u64 {
    let packet = Packet::new(XdpContext::new(context));
    let flags = flags(&packet);
    if flags & interface_flags::HAS_PEERS != 0 && is_peers(&packet) {
        return Outcome::pass(Verdict::PassBalanced).to_bits();
    }
    if flags & interface_flags::BLOCKS != 0 && access::of_sender(&packet, network as usize) == rule::BLOCKED {
        return Outcome::drop(Verdict::DropBlocked).to_bits();
    }
    0
}

/// The flags of the interface that the packet arrived on.
#[inline(always)]
pub(crate) fn flags(packet: &Packet) -> u16 {
    own(packet).map_or(UNTOLD, |interface| interface.flags)
}

/// Whether the frame is for `interface`, which it arrived on, or for a virtual router there.
#[inline(always)]
fn is_for(packet: &Packet, interface: Interface) -> bool {
    // Eight bytes at once, of which two are the source's: six by six, each would be taken from its own place.
    match packet.read::<[u8; 8]>(ethernet::DESTINATION) {
        Some(start) if address_of(start) == address_of(padded(interface.mac)) => true,
        _ => is_virtual_routers(packet),
    }
}

/// The link-layer address at the start of eight bytes, as a number.
#[inline(always)]
const fn address_of(bytes: [u8; 8]) -> u64 {
    u64::from_le_bytes(bytes) << 16
}

#[inline(always)]
const fn padded([a, b, c, d, e, f]: [u8; 6]) -> [u8; 8] {
    [a, b, c, d, e, f, 0, 0]
}

/// The interface that the packet arrived on, if the daemon has told of it.
#[inline(always)]
pub(crate) fn own(packet: &Packet) -> Option<Interface> {
    maps::interface(packet.interface()).filter(|interface| interface.flags & interface_flags::KNOWN != 0)
}

/// Whether a director has sent the frame that has this node as a real server, and is one itself.
#[inline(always)]
fn is_peers(packet: &Packet) -> bool {
    frame_is_peers(packet.context().ctx) != 0
}

/// [`is_peers`], by a function as [`refusal_of_sender`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn frame_is_peers(context: *mut xdp_md) -> u64 {
    let packet = Packet::new(XdpContext::new(context));
    let Some(mac) = packet.read(ethernet::SOURCE) else {
        return 0;
    };
    u64::from(maps::is_peer(&Key(Peer {
        interface: packet.interface(),
        mac,
        _reserved: [0; 2],
    })))
}

/// Whether the frame is for a virtual router on the interface that it arrived on.
#[inline(always)]
fn is_virtual_routers(packet: &Packet) -> bool {
    frame_is_virtual_routers(packet.context().ctx) != 0
}

/// [`is_virtual_routers`], by a function as [`refusal_of_sender`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn frame_is_virtual_routers(context: *mut xdp_md) -> u64 {
    let packet = Packet::new(XdpContext::new(context));
    let Some([a, b, c, d, family, virtual_router_id]) = packet.read::<[u8; 6]>(ethernet::DESTINATION) else {
        return 0;
    };
    let ip_version = match family {
        1 => 4,
        2 => 6,
        _ => return 0,
    };
    let key = Key(VirtualRouterKey {
        interface: packet.interface(),
        virtual_router_id,
        ip_version,
        vlan: parse::vlan(&packet),
    });
    u64::from([a, b, c, d] == VIRTUAL_ROUTER && maps::virtual_router(&key).is_some())
}
