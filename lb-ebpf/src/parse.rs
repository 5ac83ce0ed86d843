//! *parse*: what a packet is.
//!
//! Ethernet with up to two VLAN tags (802.1Q, 802.1ad), which stay as they are; IPv4 with options; IPv6 with the
//! extension headers that [`extensions`] knows; TCP, UDP and SCTP.
//!
//! What is malformed: a bad version or header length, a total length that contradicts the frame's (the kernel drops
//! these too, `net/ipv4/ip_input.c`, `net/ipv6/ip6_input.c`), and a transport header cut short. The latter matters
//! only at our own addresses: elsewhere it is the kernel's business. Trailing bytes after the IP packet (Ethernet
//! padding) are nobody's.

use core::mem::offset_of;

use lb_common::{FlowKey4, FlowKey6, protocol};

use crate::{
    extensions::{self, Chain},
    family::{V4, V6},
    headers::{Arp, Ipv4, Ipv6, Ports, Tcp, Udp, VlanTag, ether_type, ethernet},
    icmp,
    packet::{Be16, Packet},
    parsed::{Headers, Parsed, Segment},
    sctp,
};

/// What the link layer says.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    /// What follows.
    pub(crate) ether_type: u16,
    /// Where it begins.
    pub(crate) network: usize,
}

/// The link layer: `None` if the frame ends in it.
#[inline(always)]
pub(crate) fn link(packet: &Packet) -> Option<Link> {
    let mut network = ethernet::ETHER_TYPE;
    let mut ether_type = packet.read::<Be16>(network)?.get();
    network += size_of::<Be16>();
    for _tag in 0..2 {
        if ether_type != ether_type::VLAN && ether_type != ether_type::SERVICE_VLAN {
            break;
        }
        ether_type = packet.read::<VlanTag>(network)?.ether_type.get();
        network += size_of::<VlanTag>();
    }
    Some(Link { ether_type, network })
}

/// The VLAN that a packet arrives in: 0 without a tag, or with one that tells a priority only; no VLAN's number inside
/// two tags.
#[inline(always)]
pub(crate) fn vlan(packet: &Packet) -> u16 {
    const IDENTIFIER: u16 = 0xfff;
    let is_tag = |ether_type| ether_type == ether_type::VLAN || ether_type == ether_type::SERVICE_VLAN;
    let outer: Option<Be16> = packet.read(ethernet::ETHER_TYPE);
    if !outer.is_some_and(|outer| is_tag(outer.get())) {
        return 0;
    }
    match packet.read::<VlanTag>(ethernet::ETHER_TYPE + size_of::<Be16>()) {
        Some(tag) if !is_tag(tag.ether_type.get()) => tag.control_information.get() & IDENTIFIER,
        _ => u16::MAX,
    }
}

/// Where an ARP packet has the address that it asks for; `None` for any other ARP packet.
#[inline(always)]
pub(crate) fn arp(packet: &Packet, link: Link) -> Option<usize> {
    const ETHERNET: u16 = 1;
    const REQUEST: u16 = 1;
    let arp: Arp = packet.read(link.network)?;
    let asks = arp.hardware_type.get() == ETHERNET
        && arp.protocol_type.get() == ether_type::IPV4
        && arp.hardware_length == 6
        && arp.protocol_length == 4
        && arp.operation.get() == REQUEST;
    asks.then_some(link.network + offset_of!(Arp, target_protocol))
}

/// An IPv4 packet whose header begins at `network`.
#[inline(always)]
pub(crate) fn ipv4(packet: &Packet, network: usize) -> Parsed<V4> {
    let Some(ip) = packet.read::<Ipv4>(network) else {
        return Parsed::Malformed;
    };
    let header_length = usize::from(ip.version_and_length & 0xf) * 4;
    let total_length = usize::from(ip.total_length.get());
    if ip.version_and_length >> 4 != 4
        || header_length < size_of::<Ipv4>()
        || total_length < header_length
        || network + total_length > packet.length()
    {
        return Parsed::Malformed;
    }
    let flags_and_offset = ip.flags_and_offset.get();
    let is_transport = matches!(ip.protocol, protocol::TCP | protocol::UDP | protocol::SCTP);
    if flags_and_offset & Ipv4::OFFSET_MASK != 0 {
        if !is_transport {
            return Parsed::Other;
        }
        return Parsed::Fragment(ip.protocol, u32::from(ip.identification.get()));
    }
    let transport = network + header_length;
    let end = network + total_length;
    if !is_transport {
        return match ip.protocol {
            protocol::VRRP => Parsed::Advertisement(transport, end),
            protocol::ICMP => icmp::v4(packet, &ip, network, transport, end),
            _ => Parsed::Other,
        };
    }
    let Some((ports, segment)) = ports_and_segment(packet, ip.protocol, transport, end) else {
        return Parsed::Truncated;
    };
    Parsed::Connection(Headers {
        key: FlowKey4 {
            client_address: ip.source,
            virtual_address: ip.destination,
            client_port: ports.source.get(),
            virtual_port: ports.destination.get(),
            protocol: u32::from(ip.protocol),
        },
        segment,
        network,
        transport,
        hop_limit: ip.time_to_live,
        is_first_fragment: flags_and_offset & Ipv4::MORE_FRAGMENTS != 0,
    })
}

/// An IPv6 packet whose header begins at `network`.
#[inline(always)]
pub(crate) fn ipv6(packet: &Packet, network: usize) -> Parsed<V6> {
    let Some(ip) = packet.read::<Ipv6>(network) else {
        return Parsed::Malformed;
    };
    let end = network + size_of::<Ipv6>() + usize::from(ip.payload_length.get());
    if ip.version_and_flow.get() >> 28 != 6 || end > packet.length() {
        return Parsed::Malformed;
    }
    let start = network + size_of::<Ipv6>();
    let Some(chain) = extensions::follow(packet, ip.next_header, start) else {
        return Parsed::Truncated;
    };
    let Chain {
        next_header,
        transport,
        ..
    } = chain;
    if chain.is_later_fragment() {
        if !matches!(next_header, protocol::TCP | protocol::UDP | protocol::SCTP) {
            return Parsed::Other;
        }
        return Parsed::Fragment(next_header, chain.identification);
    }
    match next_header {
        protocol::TCP | protocol::UDP | protocol::SCTP => {}
        protocol::VRRP => return Parsed::Advertisement(transport, end),
        protocol::ICMPV6 => return icmp::v6(packet, &ip, network, transport, end),
        _ => return Parsed::Other,
    }
    let Some((ports, segment)) = ports_and_segment(packet, next_header, transport, end) else {
        return Parsed::Truncated;
    };
    let headers = Headers {
        key: FlowKey6 {
            client_address: ip.source,
            virtual_address: ip.destination,
            client_port: ports.source.get(),
            virtual_port: ports.destination.get(),
            protocol: u32::from(next_header),
        },
        segment,
        network,
        transport,
        hop_limit: ip.hop_limit,
        is_first_fragment: chain.is_first_fragment(),
    };
    Parsed::Connection(headers.forgotten(packet))
}

/// The ports of a transport header, and what the packet does; `None` if the IP packet ends in the header.
#[inline(always)]
fn ports_and_segment(
    packet: &Packet,
    protocol: u8,
    transport: usize,
    end: usize,
) -> Option<(Ports, Segment)> {
    if protocol == protocol::UDP {
        let udp: Udp = packet.read(transport)?;
        let ports = Ports {
            source: udp.source_port,
            destination: udp.destination_port,
        };
        return (transport + size_of::<Udp>() <= end).then_some((ports, Segment::DATAGRAM));
    }
    if protocol == protocol::SCTP {
        return sctp::ports_and_segment(packet, transport, end);
    }
    let tcp: Tcp = packet.read(transport)?;
    let header_length = usize::from(tcp.data_offset >> 4) * 4;
    let ports = Ports {
        source: tcp.source_port,
        destination: tcp.destination_port,
    };
    let is_whole = header_length >= size_of::<Tcp>() && transport + header_length <= end;
    is_whole.then_some((ports, Segment::of(tcp.flags)))
}
