//! Addresses and protocol numbers.

/// An IPv6 address, or an IPv4 address mapped into one (RFC 4291, section 2.5.5.2), in network order.
#[repr(C, align(4))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The sixteen bytes, in network order.
    pub bytes: [u8; 16],
}

const _: () = assert!(size_of::<Address>() == 16);

/// How many bits [`crate::maps::ADDRESS_FILTER`] has: of ten thousand addresses, one in seven others would pass it.
pub const FILTER_BITS: u32 = 1 << 16;

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

    /// The number of this address in [`crate::maps::ADDRESS_FILTER`], below [`FILTER_BITS`]. Other addresses have the
    /// same.
    #[inline(always)]
    #[must_use]
    pub const fn filter_bit(&self) -> u32 {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = self.bytes;
        let high = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
        let low = u64::from_ne_bytes([i, j, k, l, m, n, o, p]);
        ((high ^ low).wrapping_mul(crate::SPREAD) >> (64 - FILTER_BITS.ilog2())) as u32
    }

    /// The IPv4 address that is mapped into this one, if one is.
    #[inline(always)]
    #[must_use]
    pub const fn to_v4(&self) -> Option<[u8; 4]> {
        match self.bytes {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => Some([a, b, c, d]),
            _ => None,
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
    /// IPv4 inside of another packet (RFC 2003).
    pub const IPV4: u8 = 4;
    /// Transmission Control Protocol.
    pub const TCP: u8 = 6;
    /// User Datagram Protocol.
    pub const UDP: u8 = 17;
    /// IPv6 inside of another packet (RFC 2473).
    pub const IPV6: u8 = 41;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// Stream Control Transmission Protocol.
    pub const SCTP: u8 = 132;
    /// Virtual Router Redundancy Protocol.
    pub const VRRP: u8 = 112;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_addresses_have_bits_of_their_own() {
        let mut bits = [false; FILTER_BITS as usize];
        let mut shared = 0;
        for host in 0..=255 {
            let mut v6 = [0; 16];
            (v6[0], v6[15]) = (0xfd, host);
            for address in [
                Address::v4([10, 0, 0, host]),
                Address::v4([10, 0, host, 1]),
                Address::v6(v6),
            ] {
                let bit = &mut bits[address.filter_bit() as usize];
                shared += u32::from(*bit);
                *bit = true;
            }
        }
        // 10.0.0.1 is there twice; of 768 numbers drawn out of 65536, four or five would be equal to another.
        assert!(shared <= 10, "{shared}");
    }
}
