//! Datagrams of the VRRP protocol, as sockets bring them.

use std::net::{IpAddr, Ipv4Addr};

use lb_common::checksum::{checksum, sum_of};
use lb_common::protocol;

use super::HOP_LIMIT;

/// The length of an IPv4 header without options.
const IP_HEADER: usize = 20;

/// Internetwork control, as Keepalived marks its advertisements.
const TYPE_OF_SERVICE: u8 = 0xc0;

/// What a socket knows of a packet of the VRRP protocol. Nothing of it has been judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The sender.
    pub source: IpAddr,
    /// What it was sent to, of the same family.
    pub destination: IpAddr,
    /// The hop limit (IPv6) or time to live (IPv4) that it arrived with.
    pub hop_limit: u8,
    /// What follows the IP header.
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Reads a whole IPv4 packet, header included, as a raw socket delivers it. None if it is no such packet: it ends
    /// before its header does, its header contradicts it, or it is not of the VRRP protocol.
    #[must_use]
    pub fn of_ipv4(packet: &'a [u8]) -> Option<Self> {
        let header: &[u8; IP_HEADER] = packet.first_chunk()?;
        let header_length = usize::from(header[0] & 0x0f) * 4;
        let total_length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] >> 4 != 4 || header_length < IP_HEADER || header[9] != protocol::VRRP {
            return None;
        }
        let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
        Some(Self {
            source: address(12).into(),
            destination: address(16).into(),
            hop_limit: header[8],
            payload: packet.get(header_length..total_length)?,
        })
    }

    /// The IPv4 header that goes before `payload`, for a socket with `IP_HDRINCL`: TOS 0xc0, TTL 255 and no flags, as
    /// Keepalived sends it. The identification is 0, which makes the kernel choose one (raw(7)).
    #[must_use]
    pub fn ipv4_header(source: Ipv4Addr, destination: Ipv4Addr, payload: &[u8]) -> [u8; IP_HEADER] {
        // At most 20 + 8 + 255 * 4 + 8 bytes.
        let [high, low] = u16::try_from(IP_HEADER + payload.len())
            .unwrap_or(u16::MAX)
            .to_be_bytes();
        let [s0, s1, s2, s3] = source.octets();
        let [d0, d1, d2, d3] = destination.octets();
        let mut header = [
            0x45,
            TYPE_OF_SERVICE,
            high,
            low,
            0,
            0,
            0,
            0,
            HOP_LIMIT,
            protocol::VRRP,
            0,
            0,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ];
        let checksum = checksum(sum_of(&header)).to_be_bytes();
        header[10..12].copy_from_slice(&checksum);
        header
    }
}
