//! *unreachable*: an ICMP error to the client, built around the packet that it answers.
//!
//! As IPVS has the kernel send them: port unreachable if a service has no real server that could take a new connection,
//! whatever its protocol; time exceeded for a packet that has no hop left; fragmentation needed (packet too big) for one
//! that is too long for the tunnel to its real server. The packet is quoted as far as the kernel
//! quotes it: until the error is as long as every path takes whole. The sender is the virtual address: the program
//! knows no other of this node.

use core::mem::offset_of;

use lb_common::{Verdict, checksum::checksum, protocol};

use crate::{
    family::{V4, V6},
    headers::Icmp,
    outcome::Outcome,
    packet::{Be16, Packet},
    reply::{self, Reply},
};

/// What the two IP versions say differently.
pub(crate) trait Unreachable: Reply {
    /// ICMP or ICMPv6.
    const PROTOCOL: u8;
    /// How long the error is at most, with its IP header.
    const LONGEST: usize;
    /// Type and code of port unreachable.
    const PORT_UNREACHABLE: [u8; 2];
    /// Type and code of time exceeded in transit.
    const TIME_EXCEEDED: [u8; 2];
    /// Type and code of fragmentation needed, or packet too big.
    const TOO_BIG: [u8; 2];
    /// Whether the checksum covers the pseudo-header.
    const HAS_PSEUDO_HEADER: bool;
}

impl Unreachable for V4 {
    const PROTOCOL: u8 = protocol::ICMP;
    /// RFC 1812, section 4.3.2.3.
    const LONGEST: usize = 576;
    const PORT_UNREACHABLE: [u8; 2] = [3, 3];
    const TIME_EXCEEDED: [u8; 2] = [11, 0];
    const TOO_BIG: [u8; 2] = [3, 4];
    const HAS_PSEUDO_HEADER: bool = false;
}

impl Unreachable for V6 {
    const PROTOCOL: u8 = protocol::ICMPV6;
    /// RFC 4443, section 2.4 (c): the smallest MTU of IPv6.
    const LONGEST: usize = 1280;
    const PORT_UNREACHABLE: [u8; 2] = [1, 4];
    const TIME_EXCEEDED: [u8; 2] = [3, 0];
    const TOO_BIG: [u8; 2] = [2, 0];
    const HAS_PSEUDO_HEADER: bool = true;
}

/// Builds the ICMP error that the outcome of the IP packet at `network` asks for, in its place. Returns whether that
/// could be done.
#[inline(never)]
pub(crate) fn build<F: Unreachable>(packet: &mut Packet, outcome: Outcome) -> bool {
    try_build::<F>(packet, outcome).is_some()
}

#[inline(always)]
fn try_build<F: Unreachable>(packet: &mut Packet, outcome: Outcome) -> Option<()> {
    const { assert!(F::LONGEST - F::HEADER_LENGTH <= Packet::SUMMED) };
    let network = outcome.network();
    let ([kind, code], mtu) = if outcome.is(Verdict::AnswerTimeExceeded) {
        (F::TIME_EXCEEDED, 0)
    } else if outcome.is(Verdict::AnswerTooBig) {
        (F::TOO_BIG, outcome.mtu())
    } else {
        (F::PORT_UNREACHABLE, 0)
    };
    // In the last 16 bits in ICMP (RFC 1191), in 32 in ICMPv6.
    let [mtu_high, mtu_low] = mtu.to_be_bytes();
    let present = F::end(packet, network)?.checked_sub(network)?;
    let room = F::HEADER_LENGTH + size_of::<Icmp>();
    let quoted = present.min(F::LONGEST - room);
    packet.grow(room)?;
    packet.move_link_layer(room, network)?;
    reply::turn_around(packet)?;
    let length = size_of::<Icmp>() + quoted;
    let pseudo_header = F::write_header(packet, network, network + room, F::PROTOCOL, length)?;
    let message = network + F::HEADER_LENGTH;
    packet.write(message, [kind, code, 0, 0, 0, 0, mtu_high, mtu_low])?;
    let sum = if F::HAS_PSEUDO_HEADER { pseudo_header } else { 0 };
    let checksum = Be16::new(checksum(sum + packet.sum(message, length)));
    packet.write(message + offset_of!(Icmp, checksum), checksum)?;
    reply::end_frame(packet, message + length)
}
