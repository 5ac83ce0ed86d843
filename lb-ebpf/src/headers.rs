//! Header layouts, as they are on the wire.
#![allow(
    unsafe_code,
    reason = "`Plain` promises that any bytes are a valid header, which holds for these types of bytes and integers"
)]

use crate::packet::{Be16, Be32, Plain};

/// EtherTypes (IANA, "IEEE 802 Numbers").
pub(crate) mod ether_type {
    pub(crate) const IPV4: u16 = 0x0800;
    pub(crate) const ARP: u16 = 0x0806;
    /// IEEE 802.1Q customer tag.
    pub(crate) const VLAN: u16 = 0x8100;
    /// IEEE 802.1ad service tag.
    pub(crate) const SERVICE_VLAN: u16 = 0x88a8;
    pub(crate) const IPV6: u16 = 0x86dd;
}

/// The start of an Ethernet frame.
pub(crate) mod ethernet {
    use crate::packet::Packet;

    /// Where the destination's address is.
    pub(crate) const DESTINATION: usize = 0;
    /// Where the source's address is.
    pub(crate) const SOURCE: usize = 6;
    /// Where the EtherType is, or that of a VLAN tag.
    pub(crate) const ETHER_TYPE: usize = 12;

    /// Writes both addresses; `None` if the packet ends before they do. (As three words: bytes would go over the
    /// stack.)
    #[inline(always)]
    pub(crate) fn write(packet: &mut Packet, destination: [u8; 6], source: [u8; 6]) -> Option<()> {
        let [a, b, c, d, e, f] = destination;
        let [g, h, i, j, k, l] = source;
        let words = [[a, b, c, d], [e, f, g, h], [i, j, k, l]];
        packet.write(DESTINATION, words.map(u32::from_ne_bytes))
    }
}

/// A VLAN tag without its EtherType, and the EtherType that follows it.
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct VlanTag {
    pub(crate) control_information: Be16,
    pub(crate) ether_type: Be16,
}

/// ARP for IPv4 over Ethernet (RFC 826).
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct Arp {
    pub(crate) hardware_type: Be16,
    pub(crate) protocol_type: Be16,
    pub(crate) hardware_length: u8,
    pub(crate) protocol_length: u8,
    pub(crate) operation: Be16,
    pub(crate) sender_hardware: [u8; 6],
    pub(crate) sender_protocol: [u8; 4],
    pub(crate) target_hardware: [u8; 6],
    pub(crate) target_protocol: [u8; 4],
}

/// The fixed part of an IPv4 header (RFC 791, section 3.1).
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct Ipv4 {
    pub(crate) version_and_length: u8,
    pub(crate) type_of_service: u8,
    pub(crate) total_length: Be16,
    pub(crate) identification: Be16,
    pub(crate) flags_and_offset: Be16,
    pub(crate) time_to_live: u8,
    pub(crate) protocol: u8,
    pub(crate) checksum: Be16,
    pub(crate) source: [u8; 4],
    pub(crate) destination: [u8; 4],
}

impl Ipv4 {
    pub(crate) const DONT_FRAGMENT: u16 = 1 << 14;
    pub(crate) const MORE_FRAGMENTS: u16 = 1 << 13;
    pub(crate) const OFFSET_MASK: u16 = Self::MORE_FRAGMENTS - 1;
}

/// The fixed IPv6 header (RFC 8200, section 3).
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct Ipv6 {
    pub(crate) version_and_flow: Be32,
    pub(crate) payload_length: Be16,
    pub(crate) next_header: u8,
    pub(crate) hop_limit: u8,
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
}

/// IPv6 extension headers that may come before the transport header (RFC 8200, section 4).
pub(crate) mod extension {
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const DESTINATION_OPTIONS: u8 = 60;
}

/// The first two bytes of the extension headers that carry their length.
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct Extension {
    pub(crate) next_header: u8,
    /// In units of eight bytes, the first eight not counted.
    pub(crate) length: u8,
}

/// The IPv6 fragment header (RFC 8200, section 4.5).
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct Ipv6Fragment {
    pub(crate) next_header: u8,
    pub(crate) _reserved: u8,
    pub(crate) offset_and_more: Be16,
    pub(crate) identification: Be32,
}

impl Ipv6Fragment {
    pub(crate) const OFFSET_MASK: u16 = 0xfff8;
    pub(crate) const MORE_FRAGMENTS: u16 = 1;
}

/// The fixed part of a TCP header (RFC 9293, section 3.1).
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct Tcp {
    pub(crate) source_port: Be16,
    pub(crate) destination_port: Be16,
    pub(crate) sequence: Be32,
    pub(crate) acknowledgement: Be32,
    pub(crate) data_offset: u8,
    pub(crate) flags: u8,
    pub(crate) window: Be16,
    pub(crate) checksum: Be16,
    pub(crate) urgent_pointer: Be16,
}

/// Bits of [`Tcp::flags`].
pub(crate) mod tcp_flags {
    pub(crate) const FIN: u8 = 1;
    pub(crate) const SYN: u8 = 1 << 1;
    pub(crate) const RST: u8 = 1 << 2;
    pub(crate) const ACK: u8 = 1 << 4;
}

/// A UDP header (RFC 768).
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct Udp {
    pub(crate) source_port: Be16,
    pub(crate) destination_port: Be16,
    pub(crate) length: Be16,
    pub(crate) checksum: Be16,
}

/// A GUE header without fields of its own (draft-ietf-intarea-gue, section 3).
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct Gue {
    pub(crate) version_and_length: u8,
    /// The number of what is inside, as a next header.
    pub(crate) protocol: u8,
    pub(crate) flags: Be16,
}

/// The common header of SCTP (RFC 9260, section 3.1).
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct Sctp {
    pub(crate) ports: Ports,
    pub(crate) verification_tag: Be32,
    pub(crate) checksum: Be32,
}

/// The start of a chunk of SCTP (RFC 9260, section 3.2).
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct SctpChunk {
    pub(crate) chunk_type: u8,
    pub(crate) flags: u8,
    pub(crate) length: Be16,
}

/// The two ports that TCP, UDP and SCTP begin with.
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) source: Be16,
    pub(crate) destination: Be16,
}

/// The first eight bytes of an ICMP or ICMPv6 message (RFC 792; RFC 4443, section 2.1).
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct Icmp {
    pub(crate) message_type: u8,
    pub(crate) code: u8,
    pub(crate) checksum: Be16,
    pub(crate) rest: [u8; 4],
}

/// What comes before the addresses in a VRRP advertisement of version 2 (RFC 3768, section 5.1) and 3 (RFC 9568,
/// section 5.1).
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct Vrrp {
    pub(crate) version_and_type: u8,
    pub(crate) virtual_router_id: u8,
    pub(crate) priority: u8,
    pub(crate) address_count: u8,
    /// Version 2: the authentication type. Version 3: the upper half of the interval.
    pub(crate) authentication_or_interval: u8,
    pub(crate) interval: u8,
    pub(crate) checksum: Be16,
}

macro_rules! plain {
    ($($header:ty),* $(,)?) => {
        $(
            // SAFETY: packed, and made of bytes and integers only.
            unsafe impl Plain for $header {}
        )*
    };
}

plain!(
    VlanTag,
    Arp,
    Ipv4,
    Ipv6,
    Extension,
    Ipv6Fragment,
    Tcp,
    Udp,
    Sctp,
    SctpChunk,
    Gue,
    Ports,
    Icmp,
    Vrrp,
    Be16,
    Be32,
);
