//! Interfaces of the data plane.

/// An interface that packets for virtual addresses may arrive on: the value of [`crate::maps::INTERFACES`], whose key is
/// the interface's index.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its link-layer address: frames to any other are not for this node.
    pub mac: [u8; 6],
    /// Zero.
    pub _reserved: [u8; 2],
}

const _: () = assert!(size_of::<Interface>() == 8);
