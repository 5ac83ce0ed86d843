//! Who may use the services.

use crate::Address;

/// The addresses that begin with the same bits: a key of [`crate::maps::ACCESS`], as the kernel's tries have them
/// (`struct bpf_lpm_trie_key` of `include/uapi/linux/bpf.h`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    /// How many bits: for IPv4, 96 more than people write.
    pub length: u32,
    /// The bits, and zeros after them.
    pub address: Address,
}

const _: () = assert!(size_of::<Prefix>() == 20);

/// Values of [`crate::maps::ACCESS`]: what the addresses may do that have no longer prefix there. Without any, they are
/// [`access::OPEN`].
pub mod access {
    /// Anything.
    pub const OPEN: u32 = 0;
    /// Nothing: no packet of theirs reaches a service.
    pub const BLOCKED: u32 = 1;
    /// Go on with the connections that they have. They can begin none.
    pub const CLOSED: u32 = 2;
}
