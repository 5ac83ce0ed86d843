//! Packets that were sent off and did not leave.

/// Where packets were lost after the program had sent them off: a key of [`crate::maps::LOST`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Departure {
    /// The kernel's identifier of the program that sent them; 0 where the kernel does not tell.
    pub program: u32,
    /// The interface that they arrived by.
    pub from: u32,
    /// The interface that they were to leave by.
    pub to: u32,
    /// The number of the error (`errno`); 0 where the kernel does not tell.
    pub error: u32,
}

const _: () = assert!(size_of::<Departure>() == 16);
