//! What names a place in the maps: two kinds of slot, which are never mixed up.

use std::fmt;

/// A slot of [`lb_common::maps::REALS`]. Whose it is, its generation tells as well: see [`RealHandle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RealSlot(u32);

impl RealSlot {
    /// The slot number `slot`.
    #[must_use]
    pub const fn new(slot: u32) -> Self {
        Self(slot)
    }

    /// The number, as the maps have it.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for RealSlot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// One real server for as long as it is configured. The next owner of the slot has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RealHandle {
    /// The slot.
    pub slot: RealSlot,
    /// [`lb_common::Real::generation`].
    pub generation: u32,
}

/// A slot of [`lb_common::maps::LEASES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseSlot(u32);

impl LeaseSlot {
    /// The slot number `slot`.
    #[must_use]
    pub const fn new(slot: u32) -> Self {
        Self(slot)
    }

    /// The number, as the maps have it.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for LeaseSlot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
