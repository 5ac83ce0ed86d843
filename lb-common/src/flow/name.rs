//! Who a connection is, for people and for other directors.

/// The client of a connection: the value of [`crate::maps::FLOW_NAMES`], whose slots are those of the words of
/// [`crate::maps::FLOWS`], bucket after bucket. The virtual service is that of the real server in the word.
///
/// The program writes it when a connection shows its second packet, so that a flood of first ones writes none, and
/// never reads it. It is not written in one piece, and may be an earlier connection's: it is right only if the hash of
/// what it says leads to its word.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowName {
    /// The client's address; an IPv4 address mapped into IPv6.
    pub client_address: crate::Address,
    /// The client's port, in host order.
    pub client_port: u16,
    /// The port that it sends to, in host order.
    pub virtual_port: u16,
    /// Zero.
    pub _reserved: u32,
}

const _: () = assert!(size_of::<FlowName>() == 24);
