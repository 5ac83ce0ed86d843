//! *frame*: is it for this node, and has nobody balanced it yet?
//!
//! The kernel's stack takes what was sent to its interface's own link-layer address, and passes over what is for
//! another host: a switch floods what it has not learnt, and a bridge carries others' frames on purpose. So do we, and
//! for one more reason: whoever is answered from a foreign address teaches every switch that it lives here. IPVS looks
//! at no broadcast or multicast frame either.
//!
//! Directors may be each other's real servers. What one of them has sent to the other is for that one's own network
//! stack, whoever is the master: for some moments of a failover both are, and would send it to and fro.

use lb_common::{Interface, Peer, Verdict, VirtualRouterKey, interface_flags};

use crate::{
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
#[inline(never)]
fn is_peers(packet: &Packet) -> bool {
    let Some(mac) = packet.read(ethernet::SOURCE) else {
        return false;
    };
    maps::is_peer(&Key(Peer {
        interface: packet.interface(),
        mac,
        _reserved: [0; 2],
    }))
}

#[inline(never)]
fn is_virtual_routers(packet: &Packet) -> bool {
    let Some([a, b, c, d, family, virtual_router_id]) = packet.read::<[u8; 6]>(ethernet::DESTINATION) else {
        return false;
    };
    let ip_version = match family {
        1 => 4,
        2 => 6,
        _ => return false,
    };
    let key = Key(VirtualRouterKey {
        interface: packet.interface(),
        virtual_router_id,
        ip_version,
        vlan: parse::vlan(packet),
    });
    [a, b, c, d] == VIRTUAL_ROUTER && maps::virtual_router(&key).is_some()
}
