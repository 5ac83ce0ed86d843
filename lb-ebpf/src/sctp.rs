//! *sctp*: what a packet of an SCTP association does, as far as the client's side shows it.
//!
//! IPVS goes by the first chunk (`net/netfilter/ipvs/ip_vs_proto_sctp.c`, the table `INPUT_ONLY`), and so does this: INIT
//! opens an association, the chunks of its end close it, and whatever else continues it. Its states are those of a TCP
//! connection: *nascent* is IPVS's INIT, *closing* is SHUTDOWN_RECEIVED and CLOSED.

use crate::{
    headers::{Ports, Sctp, SctpChunk},
    packet::Packet,
    parsed::Segment,
};

/// What the chunks of each type do, four bits each: the types 0 (DATA) to 15 (RFC 9260, section 3.2).
const SEGMENTS: u64 = {
    const INIT: u32 = 1;
    const ABORT: u32 = 6;
    const SHUTDOWN: u32 = 7;
    const SHUTDOWN_ACK: u32 = 8;
    const SHUTDOWN_COMPLETE: u32 = 14;
    let mut segments = 0;
    let mut chunk_type = 0;
    while chunk_type < KNOWN as u32 {
        let segment = match chunk_type {
            INIT => Segment::OPEN,
            ABORT => Segment::RESET,
            SHUTDOWN | SHUTDOWN_ACK | SHUTDOWN_COMPLETE => Segment::FINISH,
            _ => Segment::DATA,
        };
        segments |= segment.number() << (4 * chunk_type);
        chunk_type += 1;
    }
    segments
};

/// How many types of chunks are in [`SEGMENTS`]; those beyond are extensions, which only an association has that is
/// open.
const KNOWN: u8 = 16;

/// The ports of an SCTP header, and what the packet does; `None` if the IP packet ends before its first chunk does.
#[inline(always)]
pub(crate) fn ports_and_segment(packet: &Packet, transport: usize, end: usize) -> Option<(Ports, Segment)> {
    let header: Sctp = packet.read(transport)?;
    let start = transport + size_of::<Sctp>();
    let chunk: SctpChunk = packet.read(start)?;
    let segment = if chunk.chunk_type < KNOWN {
        Segment::numbered(SEGMENTS >> (4 * u32::from(chunk.chunk_type)) & 0xf)
    } else {
        Segment::DATA
    };
    (start + size_of::<SctpChunk>() <= end).then_some((header.ports, segment))
}
