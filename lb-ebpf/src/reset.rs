//! *reset*: a TCP reset to the client, built in place of the segment that it answers.
//!
//! What it says is RFC 9293, section 3.10.7.1: a segment with ACK is answered by a reset with the acknowledged
//! sequence number; one without, by a reset that acknowledges it. A reset is never answered. Link-layer addresses, IP
//! addresses and ports are exchanged, VLAN tags stay, IP options go.

use core::mem::offset_of;

use lb_common::{Verdict, protocol};

use crate::{
    family::{Family, V4, V6},
    headers::{Ipv4, Ipv6, Tcp, ethernet, tcp_flags},
    outcome::Outcome,
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

    /// Replaces the IP header at `network` by one towards the client, for a TCP header without options or data.
    /// Returns the sum of the pseudo-header.
    fn write_header(packet: &mut Packet, network: usize) -> Option<u32>;
}

/// Answers a segment with a reset. Its IP header begins at `network`, its TCP header at `transport`.
#[inline(never)]
pub(crate) fn answer<F: Reply>(
    packet: &mut Packet,
    network: usize,
    transport: usize,
    verdict: Verdict,
) -> Outcome {
    match build::<F>(packet, network, transport) {
        Some(()) => Outcome::transmit(verdict),
        None => Outcome::drop(Verdict::DropMalformed),
    }
}

#[inline(always)]
fn build<F: Reply>(packet: &mut Packet, network: usize, transport: usize) -> Option<()> {
    let gateway = packet.read(ethernet::SOURCE)?;
    let own = packet.read(ethernet::DESTINATION)?;
    ethernet::write(packet, gateway, own)?;
    let segment: Tcp = packet.read(transport)?;
    let data = transport + usize::from(segment.data_offset >> 4) * 4;
    let data_length = F::end(packet, network)?.checked_sub(data)?;
    let mut reset = Tcp {
        source_port: segment.destination_port,
        destination_port: segment.source_port,
        sequence: Be32::new(0),
        acknowledgement: Be32::new(0),
        data_offset: (size_of::<Tcp>() as u8 / 4) << 4,
        flags: tcp_flags::RST,
        window: Be16::new(0),
        checksum: Be16::new(0),
        urgent_pointer: Be16::new(0),
    };
    if segment.flags & tcp_flags::ACK != 0 {
        reset.sequence = segment.acknowledgement;
    } else {
        let finish = u32::from(segment.flags & tcp_flags::FIN != 0);
        let next = segment
            .sequence
            .get()
            .wrapping_add(data_length as u32)
            .wrapping_add(finish);
        reset.acknowledgement = Be32::new(next);
        reset.flags |= tcp_flags::ACK;
    }
    // The checksum comes last: what the segment said needs no stack while the IP header is written.
    let transport = network + F::HEADER_LENGTH;
    let sum = sum_of_tcp(&reset);
    packet.write(transport, reset)?;
    let pseudo_header = F::write_header(packet, network)?;
    packet.write(
        transport + offset_of!(Tcp, checksum),
        checksum(pseudo_header + sum),
    )?;
    end_frame(packet, transport + size_of::<Tcp>())
}

/// Ends the frame at `length`, or at the shortest that Ethernet allows if it came at least so long.
#[inline(always)]
fn end_frame(packet: &mut Packet, length: usize) -> Option<()> {
    let mut end = length;
    while end < SHORTEST_FRAME && end < packet.length() {
        packet.write(end, 0_u8)?;
        end += 1;
    }
    packet.truncate(end)
}

impl Reply for V4 {
    const HEADER_LENGTH: usize = size_of::<Ipv4>();

    #[inline(always)]
    fn end(packet: &Packet, network: usize) -> Option<usize> {
        let ip: Ipv4 = packet.read(network)?;
        Some(network + usize::from(ip.total_length.get()))
    }

    #[inline(always)]
    fn write_header(packet: &mut Packet, network: usize) -> Option<u32> {
        let Ipv4 {
            source: client,
            destination: virtual_address,
            ..
        } = packet.read(network)?;
        let total_length = (size_of::<Ipv4>() + size_of::<Tcp>()) as u16;
        let addresses = sum_of_bytes(&client) + sum_of_bytes(&virtual_address);
        let sum = 0x4500
            + u32::from(total_length)
            + u32::from(Ipv4::DONT_FRAGMENT)
            + u32::from(u16::from_be_bytes([TIME_TO_LIVE, protocol::TCP]))
            + addresses;
        let header = Ipv4 {
            version_and_length: 0x45,
            type_of_service: 0,
            total_length: Be16::new(total_length),
            identification: Be16::new(0),
            flags_and_offset: Be16::new(Ipv4::DONT_FRAGMENT),
            time_to_live: TIME_TO_LIVE,
            protocol: protocol::TCP,
            checksum: checksum(sum),
            source: virtual_address,
            destination: client,
        };
        packet.write(network, header)?;
        Some(addresses + u32::from(protocol::TCP) + size_of::<Tcp>() as u32)
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
    fn write_header(packet: &mut Packet, network: usize) -> Option<u32> {
        // In parts: the verifier allows 512 bytes of stack, and a whole header would be laid out there.
        packet.write(network + offset_of!(Ipv6, version_and_flow), Be32::new(6 << 28))?;
        packet.write(
            network + offset_of!(Ipv6, payload_length),
            Be16::new(size_of::<Tcp>() as u16),
        )?;
        packet.write(
            network + offset_of!(Ipv6, next_header),
            [protocol::TCP, TIME_TO_LIVE],
        )?;
        let mut addresses = 0;
        for half in [0, 8] {
            let client: [u8; 8] = packet.read(network + Self::SOURCE + half)?;
            let virtual_address: [u8; 8] = packet.read(network + Self::DESTINATION + half)?;
            packet.write(network + Self::SOURCE + half, virtual_address)?;
            packet.write(network + Self::DESTINATION + half, client)?;
            addresses += sum_of_bytes(&client) + sum_of_bytes(&virtual_address);
        }
        Some(addresses + u32::from(protocol::TCP) + size_of::<Tcp>() as u32)
    }
}

/// The sum of an even number of bytes as 16-bit numbers in network order (RFC 1071).
#[inline(always)]
fn sum_of_bytes<const N: usize>(bytes: &[u8; N]) -> u32 {
    let mut sum = 0;
    for pair in bytes.as_chunks::<2>().0 {
        sum += u32::from(u16::from_be_bytes(*pair));
    }
    sum
}

/// The sum of a TCP header whose checksum is zero.
#[inline(always)]
fn sum_of_tcp(tcp: &Tcp) -> u32 {
    let sequence = tcp.sequence.get();
    let acknowledgement = tcp.acknowledgement.get();
    u32::from(tcp.source_port.get())
        + u32::from(tcp.destination_port.get())
        + (sequence >> 16)
        + (sequence & 0xffff)
        + (acknowledgement >> 16)
        + (acknowledgement & 0xffff)
        + u32::from(u16::from_be_bytes([tcp.data_offset, tcp.flags]))
}

/// The checksum of what sums to `sum`: the carries folded in twice, and the complement.
#[inline(always)]
fn checksum(sum: u32) -> Be16 {
    let folded = (sum >> 16) + (sum & 0xffff);
    let folded = (folded >> 16) + (folded & 0xffff);
    Be16::new(!(folded as u16))
}
