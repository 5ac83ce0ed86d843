//! What the administrator has decided for all services together.

/// What becomes of segments of connections that cannot go on as they are: the value of [`crate::maps::POLICY`]. All
/// zeros is the default.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Bits of [`policy_flags`].
    pub flags: u32,
    /// Zero.
    pub _reserved: u32,
}

const _: () = assert!(size_of::<Policy>() == 8);

/// Bits of [`Policy::flags`].
pub mod policy_flags {
    /// Any TCP segment of a connection that nobody remembers opens one, but for a reset: IPVS's `sloppy_tcp`.
    pub const SLOPPY_TCP: u32 = 1;
    /// TCP connections whose real server is down wait for it: IPVS without `expire_nodest_conn`.
    pub const KEEP_NODEST_CONN: u32 = 1 << 1;
}
