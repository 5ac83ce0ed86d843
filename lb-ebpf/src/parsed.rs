//! What *parse* finds a packet to be.

use lb_common::Verdict;

use crate::{
    family::{Family, V6},
    headers::tcp_flags,
    outcome::Outcome,
    packet::Packet,
};

/// What a packet of one IP version is.
pub(crate) enum Parsed<F: Family> {
    /// A packet of a TCP, UDP or SCTP connection, or an ICMP error about one.
    Connection(Headers<F>),
    /// A fragment other than the first of such a packet: the protocol, and the packet's identification.
    Fragment(u8, u32),
    /// A neighbour solicitation, with the offset of the address that it asks for.
    Question(usize),
    /// A VRRP message, with its offset and its end.
    Advertisement(usize, usize),
    /// An ICMP error to an address that is not virtual: a packet was too long for the path. With its offset.
    TooBig(usize),
    /// Anything else.
    Other,
    /// A transport header cut short.
    Truncated,
    /// Not a valid IP packet.
    Malformed,
}

/// What the story needs to know of a packet.
pub(crate) struct Headers<F: Family> {
    /// The connection.
    pub(crate) key: F::Key,
    /// What the packet does in it.
    pub(crate) segment: Segment,
    /// Where the IP header begins.
    pub(crate) network: usize,
    /// Where the transport header begins.
    pub(crate) transport: usize,
    /// The time to live, or hop limit.
    pub(crate) hop_limit: u8,
    /// Whether other fragments of the packet follow.
    pub(crate) is_first_fragment: bool,
}

/// What a packet does in its connection. (A number, for [`Headers::forgotten`].)
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment(u64);

impl Segment {
    /// A TCP segment that opens a connection: SYN alone.
    pub(crate) const OPEN: Self = Self(0);
    /// A UDP datagram.
    pub(crate) const DATAGRAM: Self = Self(1);
    /// A TCP segment of an open connection.
    pub(crate) const DATA: Self = Self(2);
    /// A TCP segment with FIN.
    pub(crate) const FINISH: Self = Self(3);
    /// A TCP segment with RST.
    pub(crate) const RESET: Self = Self(4);
    /// A TCP segment that no client of a service sends: SYN with ACK or FIN.
    pub(crate) const STRAY: Self = Self(5);
    /// An ICMP error about the connection.
    pub(crate) const ERROR: Self = Self(6);

    /// The number.
    #[inline(always)]
    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    /// The one with this number.
    #[inline(always)]
    pub(crate) const fn numbered(number: u64) -> Self {
        Self(number)
    }

    /// What a TCP segment with these flags does.
    #[inline(always)]
    pub(crate) const fn of(flags: u8) -> Self {
        if flags & tcp_flags::RST != 0 {
            Self::RESET
        } else if flags & tcp_flags::SYN != 0 {
            if flags & (tcp_flags::ACK | tcp_flags::FIN) == 0 {
                Self::OPEN
            } else {
                Self::STRAY
            }
        } else if flags & tcp_flags::FIN != 0 {
            Self::FINISH
        } else {
            Self::DATA
        }
    }

    /// Whether a connection may begin with it.
    #[inline(always)]
    pub(crate) const fn opens(self) -> bool {
        self.0 <= Self::DATAGRAM.0
    }
}

impl<F: Family> Headers<F> {
    /// The end of a packet of a connection that nobody remembers, for now.
    #[inline(always)]
    pub(crate) fn begin(&self, verdict: Verdict) -> Outcome {
        Outcome::begin(
            verdict,
            self.network,
            self.transport,
            F::protocol(&self.key),
            self.segment,
            self.is_first_fragment,
        )
    }

    /// The end of a packet of a connection that has shown that it goes on, for now.
    #[inline(always)]
    pub(crate) fn name(&self, outcome: Outcome) -> Outcome {
        outcome.named(self.network, self.transport, F::protocol(&self.key))
    }

    /// The end of a packet that can go nowhere, for now.
    #[inline(always)]
    pub(crate) fn answer(&self, verdict: Verdict) -> Outcome {
        Outcome::answer(verdict, self.network, self.transport, F::protocol(&self.key))
    }
}

impl Headers<V6> {
    /// The same, of which the verifier does not know what was found on which way: it would follow the rest of the story
    /// for each number of VLAN tags and of extension headers, and for each kind of segment.
    #[inline(always)]
    pub(crate) fn forgotten(self, packet: &Packet) -> Self {
        Self {
            segment: Segment(packet.forget(self.segment.0)),
            network: packet.forget_offset(self.network),
            ..self
        }
    }
}
