//! The extension headers of IPv6 (RFC 8200, section 4), and what is behind them.

use crate::{
    headers::{Extension, Ipv6Fragment, extension},
    packet::Packet,
};

/// How many hop-by-hop, routing, destination-options and fragment headers are looked behind.
const EXTENSIONS: usize = 4;

/// What comes after an IPv6 header.
pub(crate) struct Chain {
    /// What is behind the extension headers.
    pub(crate) next_header: u8,
    /// Where that begins.
    pub(crate) transport: usize,
    /// The last fragment header's offset and flag: 0 without one.
    fragment: u16,
    /// The identification in it.
    pub(crate) identification: u32,
}

impl Chain {
    /// Whether this is a fragment other than the first. Then nothing is known to be at `transport`.
    #[inline(always)]
    pub(crate) const fn is_later_fragment(&self) -> bool {
        self.fragment & Ipv6Fragment::OFFSET_MASK != 0
    }

    /// Whether this is the first of several fragments, unless it is a later one.
    #[inline(always)]
    pub(crate) const fn is_first_fragment(&self) -> bool {
        self.fragment & Ipv6Fragment::MORE_FRAGMENTS != 0
    }
}

/// Looks behind the extension headers that begin at `start`, the first of which is `next_header`; `None` if the packet
/// ends in them.
#[inline(always)]
pub(crate) fn follow(packet: &Packet, next_header: u8, start: usize) -> Option<Chain> {
    let mut chain = Chain {
        next_header,
        transport: start,
        fragment: 0,
        identification: 0,
    };
    for _extension in 0..EXTENSIONS {
        match chain.next_header {
            extension::HOP_BY_HOP | extension::ROUTING | extension::DESTINATION_OPTIONS => {
                let header: Extension = packet.read(chain.transport)?;
                chain.next_header = header.next_header;
                chain.transport += (usize::from(header.length) + 1) * 8;
            }
            extension::FRAGMENT => {
                let header: Ipv6Fragment = packet.read(chain.transport)?;
                chain.next_header = header.next_header;
                chain.transport += size_of::<Ipv6Fragment>();
                chain.fragment = header.offset_and_more.get();
                chain.identification = header.identification.get();
                if chain.is_later_fragment() {
                    break;
                }
            }
            _ => break,
        }
    }
    // Else the verifier would follow all that comes for each number and order of headers.
    Some(Chain {
        next_header: packet.forget(u64::from(chain.next_header)) as u8,
        transport: packet.forget_offset(chain.transport),
        fragment: packet.forget(u64::from(chain.fragment)) as u16,
        identification: packet.forget(u64::from(chain.identification)) as u32,
    })
}
