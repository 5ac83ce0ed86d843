//! What a virtual router is configured with, in the RFCs' words (RFC 3768, RFC 5798, RFC 9568).

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use ipnet::IpNet;

/// A number that its field cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("out of range")]
pub struct OutOfRange;

/// The identifier of a virtual router (VRID), 1 to 255 (RFC 9568, section 5.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VirtualRouterId(NonZeroU8);

impl VirtualRouterId {
    /// The identifier `id`, if it is not 0.
    #[must_use]
    pub const fn new(id: u8) -> Option<Self> {
        match NonZeroU8::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for VirtualRouterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The family of a virtual router's addresses: all are of one (RFC 9568, section 1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AddressFamily {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl AddressFamily {
    /// The family of `address`.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// The version of the Internet Protocol: 4 or 6.
    #[must_use]
    pub const fn ip_version(self) -> u8 {
        match self {
            Self::Ipv4 => 4,
            Self::Ipv6 => 6,
        }
    }
}

/// What names a virtual router on this node, across reloads and while its interface is away. On one interface two
/// virtual routers may share an identifier, if one is of IPv4 and the other of IPv6 (RFC 9568, section 1.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VirtualRouterName {
    /// The name of the interface that its advertisements are sent and heard on.
    pub interface: String,
    /// The identifier.
    pub virtual_router_id: VirtualRouterId,
    /// The family of its addresses.
    pub family: AddressFamily,
}

/// The priority of a router in the election (RFC 9568, section 5.2.4): 255 for the owner of the addresses, 1 to 254
/// for others, and 0 on the wire only, from a master that resigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Priority(u8);

impl Priority {
    /// What a master that resigns sends.
    pub const RESIGN: Self = Self(0);
    /// The default of RFC 9568, section 6.1.
    pub const DEFAULT: Self = Self(100);
    /// The router that has the virtual addresses as its own.
    pub const OWNER: Self = Self(255);

    /// The priority `priority`.
    #[must_use]
    pub const fn new(priority: u8) -> Self {
        Self(priority)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The version of the protocol that a virtual router speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// RFC 3768: IPv4, whole seconds, perhaps a password.
    V2,
    /// RFC 5798 and RFC 9568: centiseconds.
    V3,
}

impl Version {
    /// The version of number `number`, if there is one.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            2 => Some(Self::V2),
            3 => Some(Self::V3),
            _ => None,
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

/// An advertisement interval: whole centiseconds from 0.01 s to 255 s, never 0.
///
/// Version 2 counts seconds (RFC 3768, section 5.3.7) and version 3 centiseconds (RFC 9568, section 5.2.7): this type
/// is made from either by name, so that the two cannot be mixed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Interval {
    centiseconds: u16,
}

impl Interval {
    /// The longest interval of version 3, whose field has 12 bits: 40.95 s.
    pub const V3_MAXIMUM: Self = Self { centiseconds: 4_095 };

    /// An interval of version 2.
    ///
    /// # Errors
    /// [`OutOfRange`] for 0.
    pub const fn from_seconds(seconds: u8) -> Result<Self, OutOfRange> {
        if seconds == 0 {
            Err(OutOfRange)
        } else {
            Ok(Self {
                centiseconds: seconds as u16 * 100,
            })
        }
    }

    /// An interval of version 3.
    ///
    /// # Errors
    /// [`OutOfRange`] for 0 and for what 12 bits cannot hold.
    pub const fn from_centiseconds(centiseconds: u16) -> Result<Self, OutOfRange> {
        if centiseconds == 0 || centiseconds > Self::V3_MAXIMUM.centiseconds {
            Err(OutOfRange)
        } else {
            Ok(Self { centiseconds })
        }
    }

    /// The interval in the whole seconds of version 2, if it has such a form.
    #[must_use]
    pub const fn seconds(self) -> Option<u8> {
        if self.centiseconds.is_multiple_of(100) {
            Some((self.centiseconds / 100) as u8)
        } else {
            None
        }
    }

    /// The interval in the centiseconds of version 3; above [`Self::V3_MAXIMUM`] only for an interval of version 2.
    #[must_use]
    pub const fn centiseconds(self) -> u16 {
        self.centiseconds
    }

    /// The interval as a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.centiseconds as u64 * 10)
    }
}

/// A virtual address as it is added to an interface.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VirtualAddress {
    /// The address with its prefix length.
    pub address: IpNet,
    /// The interface that gets it, if not the instance's own.
    pub device: Option<String>,
    /// The label of the address (`eth0:1`; IPv4 only).
    pub label: Option<String>,
}

/// A password of version 2 as it travels: eight bytes, filled up with zeros (RFC 2338, section 5.3.6.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Password([u8; 8]);

impl Password {
    /// What `password` becomes on the wire: its first eight bytes.
    #[must_use]
    pub fn new(password: &str) -> Self {
        let mut bytes = [0; 8];
        for (slot, byte) in bytes.iter_mut().zip(password.bytes()) {
            *slot = byte;
        }
        Self(bytes)
    }

    /// The password that came as these eight bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The eight bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(…)")
    }
}

/// One virtual router as this node takes part in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VrrpInstance {
    /// The name in status and logs.
    pub name: String,
    /// The interface that advertisements are sent and heard on.
    pub interface: String,
    /// The identifier, the same on all routers.
    pub virtual_router_id: VirtualRouterId,
    /// The version of the protocol.
    pub version: Version,
    /// The configured priority, never 0.
    pub priority: Priority,
    /// The advertisement interval; whole seconds in version 2, at most [`Interval::V3_MAXIMUM`] in version 3.
    pub advert_int: Interval,
    /// Take over from a living master of lower priority.
    pub preempt: bool,
    /// The password of version 2, if one is used.
    pub password: Option<Password>,
    /// Let the right to the addresses run out when this daemon dies or freezes. Without it a dead daemon's node goes
    /// on answering, as with Keepalived.
    pub lease: bool,
    /// The addresses that the master has, in the order that they are advertised in. Never empty.
    pub virtual_addresses: Vec<VirtualAddress>,
}

impl VrrpInstance {
    /// What names the virtual router.
    #[must_use]
    pub fn router_name(&self) -> VirtualRouterName {
        VirtualRouterName {
            interface: self.interface.clone(),
            virtual_router_id: self.virtual_router_id,
            family: self.family(),
        }
    }

    /// The virtual addresses, each with the name of the interface that it belongs on.
    pub fn places(&self) -> impl Iterator<Item = (&VirtualAddress, &str)> {
        let addresses = self.virtual_addresses.iter();
        addresses.map(|address| (address, address.device.as_deref().unwrap_or(&self.interface)))
    }

    /// The family of the virtual router: that of its addresses, of which there is at least one.
    #[must_use]
    pub fn family(&self) -> AddressFamily {
        let first = self.virtual_addresses.first();
        first.map_or(AddressFamily::Ipv4, |address| {
            AddressFamily::of(address.address.addr())
        })
    }
}
