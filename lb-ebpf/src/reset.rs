//! *reset*: a TCP reset to the client, built in place of the segment that it answers.
//!
//! What it says is RFC 9293, section 3.10.7.1: a segment with ACK is answered by a reset with the acknowledged
//! sequence number; one without, by a reset that acknowledges it. A reset is never answered. Link-layer addresses, IP
//! addresses and ports are exchanged, VLAN tags stay, IP options go.

use core::mem::offset_of;

use lb_common::{
    checksum::{checksum, sum_of_word},
    protocol,
};

use crate::{
    headers::{Tcp, tcp_flags},
    outcome::Outcome,
    packet::{Be16, Be32, Packet},
    reply::{self, Reply},
};

/// Whether the segment that an outcome is about is a reset itself, which none may answer.
#[inline(always)]
pub(crate) fn is_one(packet: &Packet, outcome: Outcome) -> bool {
    let flags = packet.read::<u8>(outcome.transport() + offset_of!(Tcp, flags));
    flags.is_some_and(|flags| flags & tcp_flags::RST != 0)
}

/// Builds the reset that the outcome of a segment asks for, in its place. Returns whether that could be done.
#[inline(never)]
pub(crate) fn build<F: Reply>(packet: &mut Packet, outcome: Outcome) -> bool {
    try_build::<F>(packet, outcome).is_some()
}

#[inline(always)]
fn try_build<F: Reply>(packet: &mut Packet, outcome: Outcome) -> Option<()> {
    let network = outcome.network();
    let transport = outcome.transport();
    reply::turn_around(packet)?;
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
    let pseudo_header = F::write_header(packet, network, network, protocol::TCP, size_of::<Tcp>())?;
    let checksum = Be16::new(checksum(pseudo_header + sum));
    packet.write(transport + offset_of!(Tcp, checksum), checksum)?;
    reply::end_frame(packet, transport + size_of::<Tcp>())
}

/// The sum of a TCP header whose checksum is zero.
#[inline(always)]
fn sum_of_tcp(tcp: &Tcp) -> u32 {
    u32::from(tcp.source_port.get())
        + u32::from(tcp.destination_port.get())
        + sum_of_word(tcp.sequence.get())
        + sum_of_word(tcp.acknowledgement.get())
        + u32::from(u16::from_be_bytes([tcp.data_offset, tcp.flags]))
}
