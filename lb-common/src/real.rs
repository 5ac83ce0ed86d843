//! Real servers.

use crate::{Address, Thresholds};

/// A real server of one virtual service: a slot of [`crate::maps::REALS`].
///
/// The same machine behind two services takes two slots: health, weight and counters are the service's own.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Real {
    /// The server's own address.
    pub address: Address,
    /// How often this slot was given to another real server: a fragment that remembers another generation belongs to
    /// a server that is gone. (A connection remembers none: the daemon forgets it before the slot has another owner.)
    /// Starts at 1; a slot never used has 0.
    pub generation: u32,
    /// [`crate::Service::index`] of the service.
    pub service: u32,
    /// The server's own port; with direct routing the service's.
    pub port: u16,
    /// Its share of new connections, for schedulers that weigh them with what it has already; 0 for none.
    pub weight: u16,
    /// Bits of [`real_flags`].
    pub flags: u16,
    /// The longest IP packet that the way to the server takes.
    pub mtu: u16,
    /// The interface that the server is reached by.
    pub interface: u32,
    /// The server's link-layer address; meaningful with [`real_flags::RESOLVED`].
    pub destination_mac: [u8; 6],
    /// The link-layer address of `interface`.
    pub source_mac: [u8; 6],
    /// How many connections it may have.
    pub thresholds: Thresholds,
    /// The UDP port that the server expects a tunnel at ([`real_flags::TUNNEL`]): GUE; 0: IP in IP.
    pub tunnel_port: u16,
    /// Zero.
    pub _reserved: [u16; 3],
}

const _: () = assert!(size_of::<Real>() == 64);

/// Where a tunnel begins: a key of [`crate::maps::TUNNEL_SOURCES`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TunnelSourceKey {
    /// The interface that leads to the real server.
    pub interface: u32,
    /// 4 or 6: of the real server's own address.
    pub ip_version: u32,
}

const _: () = assert!(size_of::<TunnelSourceKey>() == 8);

/// Bits of [`Real::flags`].
pub mod real_flags {
    /// The slot belongs to a configured real server.
    pub const CONFIGURED: u16 = 1;
    /// Health checks have not failed: flows of this server may go on.
    pub const UP: u16 = 1 << 1;
    /// The link-layer address is known, or none is needed.
    pub const RESOLVED: u16 = 1 << 2;
    /// The director itself is the real server: packets are passed to the kernel's network stack.
    pub const LOCAL: u16 = 1 << 3;
    /// Packets go to the server's own address inside of others.
    pub const TUNNEL: u16 = 1 << 4;
    /// Its connections are counted in [`crate::maps::LOADS`]: its scheduler asks for that, or it has a threshold.
    pub const COUNTED: u16 = 1 << 8;
    /// Connections may go on.
    pub const LIVING: u16 = CONFIGURED | UP;
    /// Packets can be forwarded.
    pub const USABLE: u16 = LIVING | RESOLVED;
    /// What is not reached by direct routing.
    pub const OTHERWISE: u16 = LOCAL | TUNNEL;
}

impl Real {
    /// Whether the slot belongs to a configured real server.
    #[inline(always)]
    #[must_use]
    pub const fn is_configured(&self) -> bool {
        self.flags & real_flags::CONFIGURED != 0
    }

    /// Whether connections that belong to this slot may go on: a real server is configured here and healthy.
    #[inline(always)]
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.flags & real_flags::LIVING == real_flags::LIVING
    }

    /// Whether packets reach the server by direct routing: nothing but link-layer addresses changes.
    #[inline(always)]
    #[must_use]
    pub const fn is_direct(&self) -> bool {
        self.flags & real_flags::OTHERWISE == 0
    }

    /// Whether its connections are counted.
    #[inline(always)]
    #[must_use]
    pub const fn is_counted(&self) -> bool {
        self.flags & real_flags::COUNTED != 0
    }

    /// Whether a packet can be forwarded to this slot now: it is up, and its link-layer address is known.
    #[inline(always)]
    #[must_use]
    pub const fn is_usable(&self) -> bool {
        self.flags & real_flags::USABLE == real_flags::USABLE
    }
}
