//! How many connections the program has counted of each real server, mapped into this process.
#![allow(
    unsafe_code,
    reason = "numbers that are shared with the program, and changed by atomic addition"
)]

use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};

use lb_common::{Load, maps};

use super::Error;
use super::mapped::MappedArray;
use super::open_maps::OpenMaps;
use crate::model::RealSlot;

/// The connections of the real servers whose scheduler counts them. The program changes them at any time.
pub struct Loads {
    slots: MappedArray<Load>,
}

impl Loads {
    pub(super) fn open(open: &OpenMaps) -> Result<Self, Error> {
        let data = open.open(maps::LOADS)?;
        let slots =
            MappedArray::new(data.fd().as_fd(), maps::LOADS.capacity).map_err(|source| Error::Mapping {
                map: maps::LOADS.name,
                source,
            })?;
        Ok(Self { slots })
    }

    /// What was counted of the real server in `slot`, at this moment.
    #[must_use]
    pub fn of(&self, slot: RealSlot) -> Load {
        Load(self.at(slot).load(Ordering::Relaxed))
    }

    /// Adds to what was counted of the real server in `slot`, or takes away: what goes below zero wraps.
    pub fn add(&self, slot: RealSlot, change: u64) {
        self.at(slot).fetch_add(change, Ordering::Relaxed);
    }

    fn at(&self, slot: RealSlot) -> &AtomicU64 {
        let load = self.slots.element(slot.get());
        // SAFETY: `load` points to a mapped number of eight bytes, aligned, which the program changes atomically, too; it
        // lives as long as the mapping, which is ours.
        unsafe { AtomicU64::from_ptr(load.cast()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Loads {
        /// Those that no program changes.
        pub(crate) fn in_memory() -> Self {
            Self {
                slots: MappedArray::in_memory(maps::LOADS.capacity),
            }
        }
    }

    #[test]
    fn what_is_taken_away_may_be_more_than_there_is() {
        let loads = Loads::in_memory();
        let slot = RealSlot::new(7);
        loads.add(slot, Load::sum(2, 1));
        loads.add(slot, Load::sum(-3, -1));
        assert_eq!(
            (loads.of(slot).signed_active(), loads.of(slot).signed_inactive()),
            (-1, 0)
        );
        assert_eq!(loads.of(RealSlot::new(8)), Load::default());
    }
}
