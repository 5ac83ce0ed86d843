//! Advertisements as they travel: RFC 3768 section 5 (version 2) and RFC 9568 section 5 (version 3), over IPv4.

use std::net::Ipv4Addr;

use lb_common::protocol;

use crate::model::{Interval, Password, Priority, Version, VirtualRouterId};

/// The group that all routers listen to (RFC 9568, section 5.1.1.2).
pub const MULTICAST_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// The only type of message there is (RFC 9568, section 5.2.2).
const ADVERTISEMENT: u8 = 1;

/// What proves that a packet was not routed here (RFC 9568, section 5.1.1.3).
const TTL: u8 = 255;

/// Internetwork control, as Keepalived marks its advertisements.
const TYPE_OF_SERVICE: u8 = 0xc0;

/// The length of an IPv4 header without options.
const IP_HEADER: usize = 20;

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
    pub addresses: Vec<Ipv4Addr>,
}

/// An advertisement with what its IP header says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The sender's primary address.
    pub source: Ipv4Addr,
    /// What it advertises.
    pub advertisement: Advertisement,
}

/// Why a packet is no advertisement that anyone may act on (RFC 9568, section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The packet ends before its IP header does, or its IP header contradicts the packet.
    #[error("not a whole IPv4 packet")]
    Packet,
    /// Not protocol 112; 51 is Keepalived's authentication type AH.
    #[error("IP protocol {0} instead of 112")]
    Protocol(u8),
    /// Not sent to 224.0.0.18. Keepalived drops unicast on a multicast instance as well.
    #[error("sent to {0} instead of 224.0.0.18")]
    Destination(Ipv4Addr),
    /// The packet passed a router, or pretends not to come from this network.
    #[error("TTL {0} instead of 255")]
    Ttl(u8),
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
    /// Reads an advertisement from a whole IPv4 packet, header included, as a raw socket delivers it. What follows
    /// the message, such as the padding of a short Ethernet frame, is ignored.
    ///
    /// Whether version, password and interval are those of the virtual router that it is about, only
    /// [`VirtualRouter::received`](super::VirtualRouter::received) can tell.
    ///
    /// # Errors
    /// The first rule of RFC 9568 section 7.1 (RFC 3768 section 7.1) that the packet breaks.
    pub fn parse(ip_packet: &[u8]) -> Result<Received, Error> {
        let header: &[u8; IP_HEADER] = ip_packet.first_chunk().ok_or(Error::Packet)?;
        let header_length = usize::from(header[0] & 0x0f) * 4;
        let total_length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] >> 4 != 4 || header_length < IP_HEADER {
            return Err(Error::Packet);
        }
        let payload = ip_packet.get(header_length..total_length).ok_or(Error::Packet)?;
        let source = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
        let destination = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
        if header[9] != protocol::VRRP {
            return Err(Error::Protocol(header[9]));
        }
        if destination != MULTICAST_GROUP {
            return Err(Error::Destination(destination));
        }
        if header[8] != TTL {
            return Err(Error::Ttl(header[8]));
        }
        let advertisement = Self::parse_message(payload, source)?;
        Ok(Received {
            source,
            advertisement,
        })
    }

    fn parse_message(payload: &[u8], source: Ipv4Addr) -> Result<Self, Error> {
        let short = |needed| Error::Length {
            length: payload.len(),
            needed,
        };
        let fixed: &[u8; FIXED] = payload.first_chunk().ok_or(short(FIXED))?;
        let version = match fixed[0] >> 4 {
            2 => Version::V2,
            3 => Version::V3,
            other => return Err(Error::Version(other)),
        };
        if fixed[0] & 0x0f != ADVERTISEMENT {
            return Err(Error::Type(fixed[0] & 0x0f));
        }

        let addresses_end = FIXED + 4 * usize::from(fixed[3]);
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
            addresses: addresses
                .as_chunks()
                .0
                .iter()
                .map(|octets: &[u8; 4]| Ipv4Addr::from(*octets))
                .collect(),
        })
    }

    /// The VRRP message, as it is sent from `source` to [`MULTICAST_GROUP`].
    ///
    /// Version 3's checksum covers the pseudo-header too, as Keepalived's does. RFC 9568 section 5.2.8 leaves the
    /// pseudo-header out for IPv4; receivers that insist on that are rarer than Keepalived's default.
    #[must_use]
    pub fn emit(&self, source: Ipv4Addr) -> Vec<u8> {
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
            message.extend(address.octets());
        }
        if self.version == Version::V2 {
            message.extend(
                self.password
                    .as_ref()
                    .map_or(&[0; AUTHENTICATION_DATA], Password::bytes),
            );
        }
        let sum = match self.version {
            Version::V2 => sum(&message),
            Version::V3 => sum(&message) + pseudo_header_sum(source, message.len()),
        };
        message[6..FIXED].copy_from_slice(&(!fold(sum)).to_be_bytes());
        message
    }

    /// The whole IPv4 packet, for a socket with `IP_HDRINCL`: TOS 0xc0, TTL 255 and no flags, as Keepalived sends it.
    /// The identification is 0, which makes the kernel choose one (raw(7)).
    #[must_use]
    pub fn packet(&self, source: Ipv4Addr) -> Vec<u8> {
        let message = self.emit(source);
        // At most 20 + 8 + 255 * 4 + 8 bytes.
        let total_length = u16::try_from(IP_HEADER + message.len()).unwrap_or(u16::MAX);
        let mut packet = vec![0x45, TYPE_OF_SERVICE];
        packet.extend(total_length.to_be_bytes());
        packet.extend([0, 0, 0, 0, TTL, protocol::VRRP, 0, 0]);
        packet.extend(source.octets());
        packet.extend(MULTICAST_GROUP.octets());
        let checksum = !fold(sum(&packet));
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        packet.extend(message);
        packet
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

/// Version 2 sums the message (RFC 3768, section 5.3.8). For version 3 both readings are accepted: the message alone
/// (RFC 9568, section 5.2.8) and the message with the IPv4 pseudo-header (Keepalived).
fn checksum_holds(version: Version, message: &[u8], source: Ipv4Addr) -> bool {
    let message_sum = sum(message);
    fold(message_sum) == u16::MAX
        || version == Version::V3 && fold(message_sum + pseudo_header_sum(source, message.len())) == u16::MAX
}

/// The sum of the pseudo-header from `source` to [`MULTICAST_GROUP`] (RFC 9293, section 3.1).
fn pseudo_header_sum(source: Ipv4Addr, length: usize) -> u64 {
    sum(&source.octets()) + sum(&MULTICAST_GROUP.octets()) + u64::from(protocol::VRRP) + length as u64
}

/// The sum of the big-endian 16-bit words of `bytes`, before the carries are folded in (RFC 1071).
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks();
    let odd = rest.first().map_or(0, |last| u64::from(*last) << 8);
    words
        .iter()
        .map(|word| u64::from(u16::from_be_bytes(*word)))
        .sum::<u64>()
        + odd
}

/// Folds the carries of `sum` into 16 bits.
fn fold(mut sum: u64) -> u16 {
    while sum > u64::from(u16::MAX) {
        sum = (sum & u64::from(u16::MAX)) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests;
