//! Addresses and protocol numbers.

/// An IPv6 address, or an IPv4 address mapped into one (RFC 4291, section 2.5.5.2), in network order.
#[repr(C, align(4))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The sixteen bytes, in network order.
    pub bytes: [u8; 16],
}

const _: () = assert!(size_of::<Address>() == 16);

impl Address {
    /// The IPv4-mapped form of the address `octets`.
    #[inline(always)]
    #[must_use]
    pub const fn v4(octets: [u8; 4]) -> Self {
        let [a, b, c, d] = octets;
        Self {
            bytes: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d],
        }
    }

    /// The IPv6 address `octets`.
    #[inline(always)]
    #[must_use]
    pub const fn v6(octets: [u8; 16]) -> Self {
        Self { bytes: octets }
    }
}

/// IP protocol numbers (IANA, "Assigned Internet Protocol Numbers").
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// Transmission Control Protocol.
    pub const TCP: u8 = 6;
    /// User Datagram Protocol.
    pub const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// Virtual Router Redundancy Protocol.
    pub const VRRP: u8 = 112;
}
