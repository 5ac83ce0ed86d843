//! *reply*: what a [`reset`](crate::reset) and an [`unreachable`](mod@crate::unreachable) have in common: an IP packet
//! from the virtual address to the client, built in place of the packet that it answers.

use core::mem::offset_of;

use lb_common::checksum::{checksum, sum_of};

use crate::{
    family::{Family, V4, V6},
    headers::{Ipv4, Ipv6, ethernet},
    packet::{Be16, Be32, Packet},
};

/// As the kernel's `net.ipv4.ip_default_ttl`.
const TIME_TO_LIVE: u8 = 64;
/// The shortest Ethernet frame, without its check sequence: a frame that came padded leaves padded.
const SHORTEST_FRAME: usize = 60;

/// What the two IP versions do differently.
pub(crate) trait Reply: Family {
    /// The length of the header that [`Self::write_header`] writes.
    const HEADER_LENGTH: usize;

    /// Where the IP packet whose header begins at `network` ends.
    fn end(packet: &Packet, network: usize) -> Option<usize>;

    /// Writes an IP header at `at`, from the destination to the source of the IP packet at `network`, for `length`
    /// bytes of `protocol`. Returns the sum of the pseudo-header. The two headers may be one and the same.
    fn write_header(
        packet: &mut Packet,
        at: usize,
        network: usize,
        protocol: u8,
        length: usize,
    ) -> Option<u32>;
}

/// Sends the frame back to where it came from.
#[inline(always)]
pub(crate) fn turn_around(packet: &mut Packet) -> Option<()> {
    let gateway = packet.read(ethernet::SOURCE)?;
    let own = packet.read(ethernet::DESTINATION)?;
    ethernet::write(packet, gateway, own)
}

/// Ends the frame at `end`, or at the shortest that Ethernet allows if it came at least so long.
#[inline(always)]
pub(crate) fn end_frame(packet: &mut Packet, end: usize) -> Option<()> {
    let mut padded = end;
    while padded < SHORTEST_FRAME && padded < packet.length() {
        packet.write(padded, 0_u8)?;
        padded += 1;
    }
    packet.truncate(padded)
}

impl Reply for V4 {
    const HEADER_LENGTH: usize = size_of::<Ipv4>();

    #[inline(always)]
    fn end(packet: &Packet, network: usize) -> Option<usize> {
        let ip: Ipv4 = packet.read(network)?;
        Some(network + usize::from(ip.total_length.get()))
    }

    #[inline(always)]
    fn write_header(
        packet: &mut Packet,
        at: usize,
        network: usize,
        protocol: u8,
        length: usize,
    ) -> Option<u32> {
        let Ipv4 {
            source: client,
            destination: virtual_address,
            ..
        } = packet.read(network)?;
        let total_length = (size_of::<Ipv4>() + length) as u16;
        let addresses = sum_of(&client) + sum_of(&virtual_address);
        let sum = 0x4500
            + u32::from(total_length)
            + u32::from(Ipv4::DONT_FRAGMENT)
            + u32::from(u16::from_be_bytes([TIME_TO_LIVE, protocol]))
            + addresses;
        let header = Ipv4 {
            version_and_length: 0x45,
            type_of_service: 0,
            total_length: Be16::new(total_length),
            identification: Be16::new(0),
            flags_and_offset: Be16::new(Ipv4::DONT_FRAGMENT),
            time_to_live: TIME_TO_LIVE,
            protocol,
            checksum: Be16::new(checksum(sum)),
            source: virtual_address,
            destination: client,
        };
        packet.write(at, header)?;
        Some(addresses + u32::from(protocol) + length as u32)
    }
}

impl Reply for V6 {
    const HEADER_LENGTH: usize = size_of::<Ipv6>();

    #[inline(always)]
    fn end(packet: &Packet, network: usize) -> Option<usize> {
        let ip: Ipv6 = packet.read(network)?;
        Some(network + size_of::<Ipv6>() + usize::from(ip.payload_length.get()))
    }

    #[inline(always)]
    fn write_header(
        packet: &mut Packet,
        at: usize,
        network: usize,
        protocol: u8,
        length: usize,
    ) -> Option<u32> {
        // In parts: the verifier allows 512 bytes of stack, and a whole header would be laid out there.
        packet.write(at + offset_of!(Ipv6, version_and_flow), Be32::new(6 << 28))?;
        packet.write(at + offset_of!(Ipv6, payload_length), Be16::new(length as u16))?;
        packet.write(at + offset_of!(Ipv6, next_header), [protocol, TIME_TO_LIVE])?;
        let mut addresses = 0;
        for half in [0, 8] {
            let client: [u8; 8] = packet.read(network + Self::SOURCE + half)?;
            let virtual_address: [u8; 8] = packet.read(network + Self::DESTINATION + half)?;
            packet.write(at + Self::SOURCE + half, virtual_address)?;
            packet.write(at + Self::DESTINATION + half, client)?;
            addresses += sum_of(&client) + sum_of(&virtual_address);
        }
        Some(addresses + u32::from(protocol) + length as u32)
    }
}
