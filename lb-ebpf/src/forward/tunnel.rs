//! A tunnel: the packet goes inside of another one to the real server's own address, which may be behind a router.
//!
//! IP in IP (RFC 2003, RFC 2473), in each of the four combinations of versions; or with a UDP header and one of GUE
//! between the two (draft-ietf-intarea-gue, as `ip_vs_gue_encap` in `net/netfilter/ipvs/ip_vs_xmit.c` builds it), which
//! spreads connections over the server's queues. As IPVS does, the outer header has the inner one's traffic class,
//! congestion marks and hop limit, after one hop, and no UDP checksum. It is never fragmented on its way: a packet that
//! is too long is answered with how long it may be, whether its sender has forbidden fragments or not.

use core::mem::offset_of;

use lb_common::{
    Address, Real, TunnelSourceKey, Verdict,
    checksum::{checksum, sum_of},
    protocol,
};

use super::leave;
use crate::{
    family::{Family, V4, V6},
    flow::Target,
    headers::{Gue, Ipv4, Ipv6, Udp, ether_type, ethernet},
    maps::{self, Key},
    outcome::Outcome,
    packet::{Be16, Be32, Packet},
};

/// What differs between the versions of the packet inside.
pub(crate) trait Tunnelled: Family {
    /// Its number as a next header.
    const PROTOCOL: u8;
    /// What every path takes: nobody is told to send less.
    const SMALLEST_MTU: usize;

    /// The traffic class with the congestion marks, and the hop limit.
    fn marks(packet: &Packet, network: usize) -> Option<[u8; 2]>;
    /// A number that connections differ in.
    fn entropy(packet: &Packet, network: usize) -> Option<u32>;
}

impl Tunnelled for V4 {
    const PROTOCOL: u8 = protocol::IPV4;
    const SMALLEST_MTU: usize = 68;

    #[inline(always)]
    fn marks(packet: &Packet, network: usize) -> Option<[u8; 2]> {
        let ip: Ipv4 = packet.read(network)?;
        Some([ip.type_of_service, ip.time_to_live])
    }

    #[inline(always)]
    fn entropy(packet: &Packet, network: usize) -> Option<u32> {
        let ip: Ipv4 = packet.read(network)?;
        let client = u32::from_be_bytes(ip.source);
        // Fragments of a packet go the same way, and only the first one has ports.
        if ip.flags_and_offset.get() & (Ipv4::MORE_FRAGMENTS | Ipv4::OFFSET_MASK) != 0 {
            return Some(client);
        }
        let transport = network + usize::from(ip.version_and_length & 0xf) * 4;
        Some(client ^ packet.read::<Be32>(transport)?.get())
    }
}

impl Tunnelled for V6 {
    const PROTOCOL: u8 = protocol::IPV6;
    const SMALLEST_MTU: usize = 1280;

    #[inline(always)]
    fn marks(packet: &Packet, network: usize) -> Option<[u8; 2]> {
        let ip: Ipv6 = packet.read(network)?;
        Some([(ip.version_and_flow.get() >> 20) as u8, ip.hop_limit])
    }

    #[inline(always)]
    fn entropy(packet: &Packet, network: usize) -> Option<u32> {
        let client: Be32 = packet.read(network + Self::SOURCE + 12)?;
        let next_header: u8 = packet.read(network + offset_of!(Ipv6, next_header))?;
        if next_header != protocol::TCP && next_header != protocol::UDP {
            return Some(client.get());
        }
        let ports: Be32 = packet.read(network + size_of::<Ipv6>())?;
        Some(client.get() ^ ports.get())
    }
}

/// Sends the packet through the tunnel to its real server, and counts it.
#[inline(never)]
pub(super) fn send<F: Tunnelled>(packet: &mut Packet, outcome: Outcome, target: Target) -> Outcome {
    let network = outcome.network();
    let Some(length) = F::length(packet, network) else {
        return Outcome::drop(Verdict::DropMalformed);
    };
    let fits = usize::from(target.real.mtu).saturating_sub(room(target.real));
    if length as usize > fits {
        return too_big::<F>(outcome, length as usize, fits);
    }
    if F::hop(packet, network).is_none() {
        return Outcome::drop(Verdict::DropHopLimit);
    }
    if encapsulate::<F>(packet, network, target.real, length as usize).is_none() {
        return Outcome::drop(Verdict::DropUnresolved);
    }
    maps::count_forwarded(target.real.service, target.slot, length);
    leave(packet, target.real, outcome)
}

/// How much longer the packet becomes.
#[inline(always)]
const fn room(real: &Real) -> usize {
    let network = match real.address.to_v4() {
        Some(_) => size_of::<Ipv4>(),
        None => size_of::<Ipv6>(),
    };
    network + beyond_network(real)
}

/// What is between the outer header and the packet inside.
#[inline(always)]
const fn beyond_network(real: &Real) -> usize {
    match real.tunnel_port {
        0 => 0,
        _ => size_of::<Udp>() + size_of::<Gue>(),
    }
}

/// The end of a packet of `length` bytes where `fits` would.
#[inline(always)]
fn too_big<F: Tunnelled>(outcome: Outcome, length: usize, fits: usize) -> Outcome {
    // No error answers an error, nor a fragment but the first (RFC 1122, section 3.2.2).
    let is_answerable = !outcome.is(Verdict::ForwardIcmpError) && !outcome.is(Verdict::ForwardFragment);
    let mtu = if fits < F::SMALLEST_MTU {
        F::SMALLEST_MTU
    } else {
        fits
    };
    if is_answerable && length > mtu {
        return Outcome::too_big(outcome.network(), mtu);
    }
    Outcome::drop(Verdict::DropTooBig)
}

/// Puts the packet of `length` bytes into another one.
#[inline(always)]
fn encapsulate<F: Tunnelled>(packet: &mut Packet, network: usize, real: &Real, length: usize) -> Option<()> {
    let marks = F::marks(packet, network)?;
    let entropy = F::entropy(packet, network)?;
    let room = room(real);
    packet.grow(room)?;
    packet.move_link_layer(room, network)?;
    ethernet::write(packet, real.destination_mac, real.source_mac)?;
    let beyond = beyond_network(real);
    let (ether_type, next) = match real.address.to_v4() {
        Some(destination) => {
            outer_v4::<F>(packet, network, real, destination, marks, length + beyond)?;
            (ether_type::IPV4, network + size_of::<Ipv4>())
        }
        None => {
            outer_v6::<F>(packet, network, real, marks, length + beyond)?;
            (ether_type::IPV6, network + size_of::<Ipv6>())
        }
    };
    packet.write(network - size_of::<Be16>(), Be16::new(ether_type))?;
    if real.tunnel_port == 0 {
        return Some(());
    }
    let udp = Udp {
        source_port: Be16::new(source_port(entropy)),
        destination_port: Be16::new(real.tunnel_port),
        length: Be16::new((length + beyond) as u16),
        checksum: Be16::new(0),
    };
    packet.write(next, udp)?;
    let gue = Gue {
        version_and_length: 0,
        protocol: F::PROTOCOL,
        flags: Be16::new(0),
    };
    packet.write(next + size_of::<Udp>(), gue)
}

/// Of the ephemeral ports (RFC 6335, section 6).
#[inline(always)]
const fn source_port(entropy: u32) -> u16 {
    // Knuth's multiplicative hash: the upper half depends on all bits.
    0xc000 | (entropy.wrapping_mul(0x9e37_79b9) >> 18) as u16
}

/// What comes after the outer header.
#[inline(always)]
const fn next_protocol<F: Tunnelled>(real: &Real) -> u8 {
    match real.tunnel_port {
        0 => F::PROTOCOL,
        _ => protocol::UDP,
    }
}

/// The address of this node that the tunnel begins at.
#[inline(always)]
fn source(real: &Real, ip_version: u32) -> Option<&'static Address> {
    maps::tunnel_source(&Key(TunnelSourceKey {
        interface: real.interface,
        ip_version,
    }))
}

/// Writes the outer header, in front of `length` bytes.
#[inline(always)]
fn outer_v4<F: Tunnelled>(
    packet: &mut Packet,
    at: usize,
    real: &Real,
    destination: [u8; 4],
    [type_of_service, time_to_live]: [u8; 2],
    length: usize,
) -> Option<()> {
    let source = source(real, 4)?.to_v4()?;
    let total_length = (size_of::<Ipv4>() + length) as u16;
    let protocol = next_protocol::<F>(real);
    let sum = u32::from(u16::from_be_bytes([0x45, type_of_service]))
        + u32::from(total_length)
        + u32::from(Ipv4::DONT_FRAGMENT)
        + u32::from(u16::from_be_bytes([time_to_live, protocol]))
        + sum_of(&source)
        + sum_of(&destination);
    let header = Ipv4 {
        version_and_length: 0x45,
        type_of_service,
        total_length: Be16::new(total_length),
        identification: Be16::new(0),
        flags_and_offset: Be16::new(Ipv4::DONT_FRAGMENT),
        time_to_live,
        protocol,
        checksum: Be16::new(checksum(sum)),
        source,
        destination,
    };
    packet.write(at, header)
}

/// The same of IPv6.
#[inline(always)]
fn outer_v6<F: Tunnelled>(
    packet: &mut Packet,
    at: usize,
    real: &Real,
    [traffic_class, hop_limit]: [u8; 2],
    length: usize,
) -> Option<()> {
    let source = source(real, 6)?;
    let version_and_flow = 6 << 28 | u32::from(traffic_class) << 20;
    packet.write(at, Be32::new(version_and_flow))?;
    packet.write(at + offset_of!(Ipv6, payload_length), Be16::new(length as u16))?;
    let next_header = next_protocol::<F>(real);
    packet.write(at + offset_of!(Ipv6, next_header), [next_header, hop_limit])?;
    packet.write(at + offset_of!(Ipv6, source), source.bytes)?;
    packet.write(at + offset_of!(Ipv6, destination), real.address.bytes)
}
