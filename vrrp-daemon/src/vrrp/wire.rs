//! Advertisements as they travel: RFC 3768 section 5 (version 2, IPv4 only) and RFC 9568 section 5 (version 3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_common::checksum::{checksum, sum_of, sum_of_slice};
use lb_common::protocol;

use crate::model::{AddressFamily, Interval, Password, Priority, Version, VirtualRouterId};

mod datagram;

pub use datagram::Datagram;

/// The group that all routers of a family listen to (RFC 9568, sections 5.1.1.2 and 5.1.2.2).
#[must_use]
pub const fn multicast_group(family: AddressFamily) -> IpAddr {
    match family {
        AddressFamily::Ipv4 => IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18)),
        AddressFamily::Ipv6 => IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12)),
    }
}

/// The only type of message there is (RFC 9568, section 5.2.2).
const ADVERTISEMENT: u8 = 1;

/// What proves that a packet was not routed here (RFC 9568, sections 5.1.1.3 and 5.1.2.3).
const HOP_LIMIT: u8 = 255;

/// The length of what precedes the addresses.
const FIXED: usize = 8;

/// The length of version 2's authentication data, which is there in every message (RFC 3768, section 5.3.10).
const AUTHENTICATION_DATA: usize = 8;

/// Values of version 2's authentication type (RFC 2338, section 5.3.6; RFC 3768 reserves all but the first).
const NO_AUTHENTICATION: u8 = 0;
const SIMPLE_PASSWORD: u8 = 1;

/// One VRRP advertisement, of either version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// The version of the protocol.
    pub version: Version,
    /// The virtual router that it is about.
    pub virtual_router_id: VirtualRouterId,
    /// The sender's priority; [`Priority::RESIGN`] from a master that stops.
    pub priority: Priority,
    /// How often the sender advertises: whole seconds in version 2, at most [`Interval::V3_MAXIMUM`] in version 3.
    pub interval: Interval,
    /// The password (version 2 with authentication type 1 only).
    pub password: Option<Password>,
    /// The addresses of the virtual router; at most 255 of them travel.
    pub addresses: Vec<IpAddr>,
}

/// Why a packet is no advertisement that anyone may act on (RFC 9568, section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not sent to the group of all VRRP routers. Keepalived drops unicast on a multicast instance as well.
    #[error("sent to {0} instead of the multicast group")]
    Destination(IpAddr),
    /// The packet passed a router, or pretends not to come from this network.
    #[error("hop limit (TTL) {0} instead of 255")]
    HopLimit(u8),
    /// Neither version 2 nor version 3.
    #[error("VRRP version {0}")]
    Version(u8),
    /// Not an advertisement.
    #[error("message type {0} instead of 1")]
    Type(u8),
    /// The message is shorter than its own fields demand.
    #[error("{length} bytes where {needed} are needed")]
    Length {
        /// The bytes that are there.
        length: usize,
        /// The bytes that the message needs.
        needed: usize,
    },
    /// The checksum is wrong, in either of its forms.
    #[error("wrong checksum")]
    Checksum,
    /// Virtual router identifier 0.
    #[error("virtual router identifier 0")]
    VirtualRouterId,
    /// Interval 0, on which a backup could never wait (RFC 9568, erratum 8301).
    #[error("advertisement interval 0")]
    Interval,
    /// No address, which version 3 forbids (RFC 9568, section 5.2.5).
    #[error("no virtual address")]
    Addresses,
    /// An authentication type of version 2 that is neither none nor a password.
    #[error("authentication type {0}")]
    AuthenticationType(u8),
}

impl Advertisement {
    /// Reads an advertisement. What follows the message, such as the padding of a short Ethernet frame, is ignored.
    ///
    /// Whether version, password and interval are those of the virtual router that it is about, only that one can tell.
    ///
    /// # Errors
    /// The first rule of RFC 9568 section 7.1 (RFC 3768 section 7.1) that the datagram breaks.
    pub fn parse(datagram: &Datagram<'_>) -> Result<Self, Error> {
        let family = AddressFamily::of(datagram.source);
        if datagram.destination != multicast_group(family) {
            return Err(Error::Destination(datagram.destination));
        }
        if datagram.hop_limit != HOP_LIMIT {
            return Err(Error::HopLimit(datagram.hop_limit));
        }
        Self::parse_message(datagram.payload, datagram.source)
    }

    fn parse_message(payload: &[u8], source: IpAddr) -> Result<Self, Error> {
        let family = AddressFamily::of(source);
        let short = |needed| Error::Length {
            length: payload.len(),
            needed,
        };
        let fixed: &[u8; FIXED] = payload.first_chunk().ok_or(short(FIXED))?;
        let version = match (fixed[0] >> 4, family) {
            (2, AddressFamily::Ipv4) => Version::V2,
            (3, _) => Version::V3,
            (other, _) => return Err(Error::Version(other)),
        };
        if fixed[0] & 0x0f != ADVERTISEMENT {
            return Err(Error::Type(fixed[0] & 0x0f));
        }

        let addresses_end = FIXED + address_length(family) * usize::from(fixed[3]);
        let needed = match version {
            Version::V2 => addresses_end + AUTHENTICATION_DATA,
            Version::V3 => addresses_end,
        };
        let message = payload.get(..needed).ok_or(short(needed))?;
        if !checksum_holds(version, message, source) {
            return Err(Error::Checksum);
        }

        let virtual_router_id = VirtualRouterId::new(fixed[1]).ok_or(Error::VirtualRouterId)?;
        let (addresses, trailer) = message[FIXED..].split_at(addresses_end - FIXED);
        let (interval, password) = match version {
            Version::V2 => (Interval::from_seconds(fixed[5]), password(fixed[4], trailer)?),
            // The four reserved bits are ignored (RFC 9568, section 5.2.6).
            Version::V3 => {
                let centiseconds = u16::from_be_bytes([fixed[4] & 0x0f, fixed[5]]);
                (Interval::from_centiseconds(centiseconds), None)
            }
        };
        let interval = interval.map_err(|_| Error::Interval)?;
        if addresses.is_empty() && version == Version::V3 {
            return Err(Error::Addresses);
        }
        Ok(Self {
            version,
            virtual_router_id,
            priority: Priority::new(fixed[2]),
            interval,
            password,
            addresses: addresses_of(addresses, family),
        })
    }

    /// The VRRP message, as it is sent from `source` to the [`multicast_group`] of its family. Addresses of the other
    /// family do not travel.
    ///
    /// Version 3's checksum covers the pseudo-header too, as Keepalived's does. RFC 9568 section 5.2.8 leaves the
    /// pseudo-header out for IPv4; receivers that insist on that are rarer than Keepalived's default.
    #[must_use]
    pub fn emit(&self, source: IpAddr) -> Vec<u8> {
        let count = u8::try_from(self.addresses.len()).unwrap_or(u8::MAX);
        let mut message = vec![
            self.version.number() << 4 | ADVERTISEMENT,
            self.virtual_router_id.get(),
            self.priority.get(),
            count,
        ];
        match self.version {
            Version::V2 => {
                let authentication = match self.password {
                    Some(_) => SIMPLE_PASSWORD,
                    None => NO_AUTHENTICATION,
                };
                let seconds = self.interval.centiseconds().div_ceil(100);
                message.extend([authentication, u8::try_from(seconds).unwrap_or(u8::MAX)]);
            }
            Version::V3 => message.extend(
                self.interval
                    .min(Interval::V3_MAXIMUM)
                    .centiseconds()
                    .to_be_bytes(),
            ),
        }
        message.extend([0, 0]);
        for address in self.addresses.iter().take(usize::from(count)) {
            match address {
                IpAddr::V4(address) => message.extend(address.octets()),
                IpAddr::V6(address) => message.extend(address.octets()),
            }
        }
        if self.version == Version::V2 {
            message.extend(
                self.password
                    .as_ref()
                    .map_or(&[0; AUTHENTICATION_DATA], Password::bytes),
            );
        }
        seal(&mut message, self.version, source);
        message
    }
}

/// A message that no router acts on, for its virtual router identifier is 0 (RFC 9568, section 5.2.3): whether it
/// leaves tells whether advertisements do. Keepalived and lbd ignore it without a word (but Keepalived says a line for
/// each unknown identifier where it is told `log_unknown_vrids`). In all else it is an advertisement, so that what
/// keeps those from leaving keeps this.
pub(super) fn probe(advertisement: &Advertisement, source: IpAddr) -> Vec<u8> {
    let mut message = advertisement.emit(source);
    message[1] = 0;
    message[CHECKSUM].fill(0);
    seal(&mut message, advertisement.version, source);
    message
}

/// Where a message has its checksum.
const CHECKSUM: std::ops::Range<usize> = 6..FIXED;

/// Writes the checksum into a message that has zeros in its place.
fn seal(message: &mut [u8], version: Version, source: IpAddr) {
    let sum = match version {
        Version::V2 => sum_of_slice(message),
        Version::V3 => sum_of_slice(message) + pseudo_header(source, message.len()),
    };
    message[CHECKSUM].copy_from_slice(&checksum(sum).to_be_bytes());
}

/// The length of an address.
const fn address_length(family: AddressFamily) -> usize {
    match family {
        AddressFamily::Ipv4 => 4,
        AddressFamily::Ipv6 => 16,
    }
}

fn addresses_of(bytes: &[u8], family: AddressFamily) -> Vec<IpAddr> {
    match family {
        AddressFamily::Ipv4 => {
            let (addresses, _) = bytes.as_chunks::<4>();
            addresses
                .iter()
                .map(|octets| Ipv4Addr::from(*octets).into())
                .collect()
        }
        AddressFamily::Ipv6 => {
            let (addresses, _) = bytes.as_chunks::<16>();
            addresses
                .iter()
                .map(|octets| Ipv6Addr::from(*octets).into())
                .collect()
        }
    }
}

/// The password of a version 2 message.
fn password(authentication_type: u8, data: &[u8]) -> Result<Option<Password>, Error> {
    match authentication_type {
        NO_AUTHENTICATION => Ok(None),
        SIMPLE_PASSWORD => {
            let bytes = data.first_chunk().ok_or(Error::Length {
                length: data.len(),
                needed: AUTHENTICATION_DATA,
            })?;
            Ok(Some(Password::from_bytes(*bytes)))
        }
        other => Err(Error::AuthenticationType(other)),
    }
}

/// Version 2 sums the message (RFC 3768, section 5.3.8). For version 3 over IPv4 both readings are accepted: the
/// message alone (RFC 9568, section 5.2.8) and the message with the pseudo-header (Keepalived); over IPv6 the
/// pseudo-header belongs to it.
fn checksum_holds(version: Version, message: &[u8], source: IpAddr) -> bool {
    let sum = sum_of_slice(message);
    source.is_ipv4() && checksum(sum) == 0
        || version == Version::V3 && checksum(sum + pseudo_header(source, message.len())) == 0
}

/// The sum of the pseudo-header of a message of `length` bytes from `source` to the [`multicast_group`] of its family
/// (RFC 9293, section 3.1; RFC 8200, section 8.1).
fn pseudo_header(source: IpAddr, length: usize) -> u32 {
    let address = |address| match address {
        IpAddr::V4(address) => sum_of(&address.octets()),
        IpAddr::V6(address) => sum_of(&address.octets()),
    };
    let destination = multicast_group(AddressFamily::of(source));
    // A message has at most 8 + 255 * 16 bytes.
    address(source) + address(destination) + u32::from(protocol::VRRP) + length as u32
}

#[cfg(test)]
mod tests;
