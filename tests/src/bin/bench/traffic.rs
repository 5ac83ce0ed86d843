//! The packets that are measured, and who sends them to whom.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lab::packet::{ACK, Flags, Packet, SYN};

/// Addresses that follow each other: IPv4's, or the last 32 bits of IPv6's, in host order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

impl Range {
    /// One address.
    pub(crate) const fn one(first: u32) -> Self {
        Self { first, count: 1 }
    }

    /// The first of these, or the first after `count` of them: half of the range.
    pub(crate) const fn half(self, second: bool) -> Self {
        let count = self.count / 2;
        Self {
            first: if second { self.first + count } else { self.first },
            count,
        }
    }
}

/// Clients whose connections are known.
pub(crate) const fn clients(count: u32) -> Range {
    Range {
        first: 100 << 24,
        count,
    }
}

/// Sixteen million clients that nobody has seen.
pub(crate) const STRANGERS: Range = Range {
    first: 101 << 24,
    count: 1 << 24,
};

/// Sixteen million more.
pub(crate) const MORE_STRANGERS: Range = Range {
    first: 102 << 24,
    count: 1 << 24,
};

/// The virtual address.
pub(crate) const VIP: Range = Range::one(u32::from_be_bytes([10, 0, 0, 100]));
/// The IPv6 one, `fd00::100`.
pub(crate) const VIP6: Range = Range::one(0x100);
/// An address that is not virtual.
const ELSEWHERE: Range = Range::one(u32::from_be_bytes([10, 0, 0, 1]));

/// As many virtual addresses.
pub(crate) const fn vips(count: u32) -> Range {
    Range {
        first: u32::from_be_bytes([10, 100, 0, 0]),
        count,
    }
}

/// The port of TCP services.
pub(crate) const HTTP: u16 = 80;
/// The port of UDP services.
pub(crate) const DNS: u16 = 53;

/// How a packet is made another client's, which takes time of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Ipv4,
    Ipv6,
    /// It is not.
    Arp,
}

/// In which order clients and virtual addresses take their turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As they follow each other.
    Sequential,
    /// Neighbours far from each other: what was remembered one after the other is in one cache line in some tables.
    Scattered,
}

/// A packet, each repetition of which is the next client's to the next virtual address.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    pub(crate) frame: Vec<u8>,
    pub(crate) family: Family,
    pub(crate) order: Order,
    pub(crate) clients: Range,
    pub(crate) vips: Range,
}

const CLIENT_PORT: u16 = 40_000;

impl Traffic {
    fn ipv4(
        packet: impl Fn(SocketAddr, SocketAddr) -> Packet,
        clients: Range,
        vips: Range,
        port: u16,
    ) -> Self {
        let address = |range: Range, port| SocketAddr::from((Ipv4Addr::from_bits(range.first), port));
        Self {
            frame: packet(address(clients, CLIENT_PORT), address(vips, port)).build(),
            family: Family::Ipv4,
            order: Order::Scattered,
            clients,
            vips,
        }
    }

    fn tcp(flags: Flags, clients: Range, vips: Range) -> Self {
        Self::ipv4(|from, to| Packet::tcp(from, to, flags), clients, vips, HTTP)
    }

    /// Segments of connections.
    pub(crate) fn data(clients: Range, vips: Range) -> Self {
        Self::tcp(ACK, clients, vips)
    }

    /// First segments.
    pub(crate) fn open(clients: Range, vips: Range) -> Self {
        Self {
            order: Order::Sequential,
            ..Self::tcp(SYN, clients, vips)
        }
    }

    /// Datagrams of one client.
    pub(crate) fn datagram() -> Self {
        let packet = |from, to| Packet::udp(from, to).payload(b"question");
        Self::ipv4(packet, clients(1), VIP, DNS)
    }

    /// Segments over IPv6 of one client.
    pub(crate) fn ipv6(flags: Flags) -> Self {
        let client: Ipv6Addr = Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(clients(1).first));
        let service = Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(VIP6.first));
        let socket = |address: Ipv6Addr, port| SocketAddr::new(IpAddr::V6(address), port);
        Self {
            frame: Packet::tcp(socket(client, CLIENT_PORT), socket(service, HTTP), flags).build(),
            family: Family::Ipv6,
            order: Order::Scattered,
            clients: clients(1),
            vips: VIP6,
        }
    }

    /// Segments that are not for a virtual address.
    pub(crate) fn elsewhere() -> Self {
        Self::data(clients(1), ELSEWHERE)
    }

    /// ARP requests for what is not a virtual address.
    pub(crate) fn arp() -> Self {
        Self {
            frame: lab::packet::arp_request([10, 0, 0, 9], [10, 0, 0, 1]),
            family: Family::Arp,
            order: Order::Scattered,
            clients: clients(1),
            vips: ELSEWHERE,
        }
    }

    /// The same for some clients after the other.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Self> {
        const PART: u32 = 1 << 14;
        let clients = self.clients;
        (0..clients.count).step_by(PART as usize).map(move |skipped| {
            let clients = Range {
                first: clients.first + skipped,
                count: PART.min(clients.count - skipped),
            };
            Self {
                clients,
                ..self.clone()
            }
        })
    }

    /// One half of the clients.
    pub(crate) fn half(&self, second: bool) -> Self {
        Self {
            clients: self.clients.half(second),
            ..self.clone()
        }
    }
}
