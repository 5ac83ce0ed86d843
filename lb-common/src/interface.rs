//! Interfaces of the data plane.

/// An interface that packets for virtual addresses may arrive on: the value of [`crate::maps::INTERFACES`], whose slot
/// is the interface's index.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its link-layer address: frames to any other are not for this node.
    pub mac: [u8; 6],
    /// Bits of [`interface_flags`].
    pub flags: u16,
}

const _: () = assert!(size_of::<Interface>() == 8);

/// Another real server of a service that this node is a real server of: a key of [`crate::maps::PEERS`].
///
/// A real server has the virtual address and sends nothing there, unless it is a director, too. So what comes from its
/// link-layer address has been balanced.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer {
    /// The interface that it is reached by.
    pub interface: u32,
    /// Its link-layer address.
    pub mac: [u8; 6],
    /// Zero.
    pub _reserved: [u8; 2],
}

const _: () = assert!(size_of::<Peer>() == 12);

/// Bits of [`Interface::flags`].
pub mod interface_flags {
    /// The interface belongs to the data plane, and its address is known.
    pub const KNOWN: u16 = 1;
    /// [`crate::maps::PEERS`] has some that are reached by it.
    pub const HAS_PEERS: u16 = 1 << 1;
    /// [`crate::maps::ACCESS`] may have addresses that are [blocked](crate::access::BLOCKED).
    pub const BLOCKS: u16 = 1 << 2;
    /// [`crate::maps::ACCESS`] may have addresses that are [closed](crate::access::CLOSED).
    pub const CLOSES: u16 = 1 << 3;
}
