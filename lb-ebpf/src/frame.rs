//! *frame*: is it for this node?
//!
//! The kernel's stack takes what was sent to its interface's own link-layer address, and passes over what is for
//! another host: a switch floods what it has not learnt, and a bridge carries others' frames on purpose. So do we, and
//! for one more reason: whoever is answered from a foreign address teaches every switch that it lives here. IPVS looks
//! at no broadcast or multicast frame either.

use lb_common::{Interface, VirtualRouterKey, interface_flags};

use crate::{
    headers::ethernet,
    maps::{self, Key},
    packet::Packet,
    parse,
};

/// The link-layer address of a virtual router, but for its last two bytes: 1 or 2 for IPv4 or IPv6, and its identifier
/// (RFC 9568, section 7.3).
const VIRTUAL_ROUTER: [u8; 4] = [0x00, 0x00, 0x5e, 0x00];

/// Whether the frame is for the interface that it arrived on, or for a virtual router there. On an interface that the
/// daemon has not told of, every frame is: better one too many than a silent director.
#[inline(always)]
pub(crate) fn is_ours(packet: &Packet) -> bool {
    let Some(interface) = own(packet) else {
        return true;
    };
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
