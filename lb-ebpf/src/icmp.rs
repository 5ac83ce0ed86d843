//! *icmp*: errors about our connections, and neighbour solicitations.
//!
//! A router that cannot deliver what a real server sent to a client tells the sender, which is the virtual address:
//! the error arrives here and belongs to the real server (path MTU discovery depends on it). The packet that it
//! quotes runs from the virtual address to the client, so its source is our destination. An error about no
//! connection of ours is the kernel's, like any other ICMP message; but one that says that a packet of a tunnel was too
//! long is noted first.

use lb_common::{Address, FlowKey4, FlowKey6, protocol};

use crate::{
    extensions,
    family::{V4, V6},
    headers::{Icmp, Ipv4, Ipv6, Ports},
    maps,
    packet::Packet,
    parsed::{Headers, Parsed, Segment},
    unreachable::Unreachable,
};

/// ICMP errors that quote a packet (RFC 792): destination unreachable, time exceeded, parameter problem.
const ERRORS_V4: [u8; 3] = [3, 11, 12];
/// ICMPv6 errors (RFC 4443, section 3): destination unreachable, packet too big, time exceeded, parameter problem.
const ERRORS_V6: core::ops::RangeInclusive<u8> = 1..=4;
/// Neighbour solicitation (RFC 4861, section 4.3).
const NEIGHBOUR_SOLICITATION: u8 = 135;

/// An ICMP message whose header begins at `transport`, in the packet `ip`, which ends at `end`.
#[inline(always)]
pub(crate) fn v4(packet: &Packet, ip: &Ipv4, network: usize, transport: usize, end: usize) -> Parsed<V4> {
    let Some(message) = packet.read::<Icmp>(transport) else {
        return Parsed::Other;
    };
    if is_too_big(message, V4::TOO_BIG, &Address::v4(ip.destination)) {
        return Parsed::TooBig(transport);
    }
    match quoted_v4(packet, ip, transport, end) {
        Some(key) => Parsed::Connection(Headers {
            key,
            segment: Segment::ERROR,
            network,
            transport,
            hop_limit: ip.time_to_live,
            is_first_fragment: false,
        }),
        None => Parsed::Other,
    }
}

/// Whether the ICMP message says that a packet from `address`, which is not virtual, was too long for its path: a tunnel
/// may begin there.
#[inline(always)]
fn is_too_big(message: Icmp, [kind, code]: [u8; 2], address: &Address) -> bool {
    message.message_type == kind && message.code == code && !maps::may_be_virtual(address)
}

/// The connection that an ICMP error is about.
#[inline(always)]
fn quoted_v4(packet: &Packet, ip: &Ipv4, transport: usize, end: usize) -> Option<FlowKey4> {
    let message: Icmp = packet.read(transport)?;
    if !ERRORS_V4.contains(&message.message_type) {
        return None;
    }
    let quoted = transport + size_of::<Icmp>();
    let inner: Ipv4 = packet.read(quoted)?;
    let ports_at = quoted + usize::from(inner.version_and_length & 0xf) * 4;
    let is_ours = inner.version_and_length >> 4 == 4
        && inner.version_and_length & 0xf >= 5
        && inner.flags_and_offset.get() & Ipv4::OFFSET_MASK == 0
        && matches!(inner.protocol, protocol::TCP | protocol::UDP | protocol::SCTP)
        && inner.source == ip.destination
        && ports_at + size_of::<Ports>() <= end;
    if !is_ours {
        return None;
    }
    let ports: Ports = packet.read(ports_at)?;
    Some(FlowKey4 {
        client_address: inner.destination,
        virtual_address: inner.source,
        client_port: ports.destination.get(),
        virtual_port: ports.source.get(),
        protocol: u32::from(inner.protocol),
    })
}

/// An ICMPv6 message whose header begins at `transport`, in the packet `ip`, which ends at `end`.
#[inline(always)]
pub(crate) fn v6(packet: &Packet, ip: &Ipv6, network: usize, transport: usize, end: usize) -> Parsed<V6> {
    let Some(message) = packet.read::<Icmp>(transport) else {
        return Parsed::Other;
    };
    if message.message_type == NEIGHBOUR_SOLICITATION {
        let target = transport + size_of::<Icmp>();
        // Solicitations come from this link only (RFC 4861, section 7.1.1).
        return if ip.hop_limit == u8::MAX && target + size_of::<[u8; 16]>() <= end {
            Parsed::Question(target)
        } else {
            Parsed::Other
        };
    }
    if !ERRORS_V6.contains(&message.message_type) {
        return Parsed::Other;
    }
    if is_too_big(message, V6::TOO_BIG, &Address::v6(ip.destination)) {
        return Parsed::TooBig(transport);
    }
    match quoted_v6(packet, ip, transport, end) {
        Some(key) => Parsed::Connection(Headers {
            key,
            segment: Segment::ERROR,
            network,
            transport,
            hop_limit: ip.hop_limit,
            is_first_fragment: false,
        }),
        None => Parsed::Other,
    }
}

/// The connection that an ICMPv6 error is about. A real server that was told of a narrow path may well have sent what
/// is quoted in fragments (RFC 8200, section 5).
#[inline(always)]
fn quoted_v6(packet: &Packet, ip: &Ipv6, transport: usize, end: usize) -> Option<FlowKey6> {
    let quoted = transport + size_of::<Icmp>();
    let inner: Ipv6 = packet.read(quoted)?;
    if inner.version_and_flow.get() >> 28 != 6 || inner.source != ip.destination {
        return None;
    }
    let chain = extensions::follow(packet, inner.next_header, quoted + size_of::<Ipv6>())?;
    let is_ours = matches!(chain.next_header, protocol::TCP | protocol::UDP | protocol::SCTP)
        && !chain.is_later_fragment()
        && chain.transport + size_of::<Ports>() <= end;
    if !is_ours {
        return None;
    }
    let ports: Ports = packet.read(chain.transport)?;
    Some(FlowKey6 {
        client_address: inner.destination,
        virtual_address: inner.source,
        client_port: ports.destination.get(),
        virtual_port: ports.source.get(),
        protocol: u32::from(chain.next_header),
    })
}
