//! What *parse* finds a packet to be.

use crate::{family::Family, headers::tcp_flags};

/// What a packet of one IP version is.
pub(crate) enum Parsed<F: Family> {
    /// A packet of a TCP or UDP connection, or an ICMP error about one.
    Connection(Headers<F>),
    /// A fragment other than the first of a TCP or UDP packet: the protocol, and the packet's identification.
    Fragment(u8, u32),
    /// A neighbour solicitation, with the offset of the address that it asks for.
    Question(usize),
    /// A VRRP message, with its offset and its end.
    Advertisement(usize, usize),
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
    /// Where the TCP or UDP header begins.
    pub(crate) transport: usize,
    /// The time to live, or hop limit.
    pub(crate) hop_limit: u8,
    /// Whether other fragments of the packet follow.
    pub(crate) is_first_fragment: bool,
    /// What identifies them; else 0. (No `Option`: the compiler would leave the number unset, and the verifier
    /// refuses to copy whatever the register holds instead.)
    pub(crate) identification: u32,
}

/// What a packet does in its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Segment {
    /// A TCP segment that opens a connection: SYN alone.
    Open,
    /// A TCP segment of an open connection.
    Data,
    /// A TCP segment with FIN.
    Finish,
    /// A TCP segment with RST.
    Reset,
    /// A TCP segment that no client of a service sends: SYN with ACK or FIN.
    Stray,
    /// A UDP datagram.
    Datagram,
    /// An ICMP error about the connection.
    Error,
}

impl Segment {
    /// What a TCP segment with these flags does.
    #[inline(always)]
    pub(crate) const fn of(flags: u8) -> Self {
        if flags & tcp_flags::RST != 0 {
            Self::Reset
        } else if flags & tcp_flags::SYN != 0 {
            if flags & (tcp_flags::ACK | tcp_flags::FIN) == 0 {
                Self::Open
            } else {
                Self::Stray
            }
        } else if flags & tcp_flags::FIN != 0 {
            Self::Finish
        } else {
            Self::Data
        }
    }

    /// Whether a connection may begin with it.
    #[inline(always)]
    pub(crate) fn opens(self) -> bool {
        matches!(self, Self::Open | Self::Datagram)
    }
}
