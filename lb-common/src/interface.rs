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

/// Bits of [`Interface::flags`].
pub mod interface_flags {
    /// The interface belongs to the data plane, and its address is known.
    pub const KNOWN: u16 = 1;
}
