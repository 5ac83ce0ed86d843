//! Fragmented packets and what is remembered of them.

use crate::Address;

/// What all fragments of a packet have in common (RFC 791, section 3.2; RFC 8200, section 4.5): the key of
/// [`crate::maps::FRAGMENTS`].
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    /// The client's address.
    pub source: Address,
    /// The virtual IP address.
    pub destination: Address,
    /// The packet's identification, in host order.
    pub identification: u32,
    /// One of [`crate::protocol`]: TCP, UDP or SCTP.
    pub protocol: u32,
}

const _: () = assert!(size_of::<FragmentKey>() == 40);

/// Where the first fragment of a packet went: the value of [`crate::maps::FRAGMENTS`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// The slot in [`crate::maps::REALS`].
    pub real: u32,
    /// [`crate::Real::generation`] of that slot then.
    pub generation: u32,
    /// When the first fragment arrived (nanoseconds of `CLOCK_BOOTTIME`).
    pub seen_at: u64,
    /// [`crate::Service::lease`] of the packet's service.
    pub lease: u32,
    /// Zero.
    pub _reserved: u32,
}

const _: () = assert!(size_of::<Fragment>() == 24);
