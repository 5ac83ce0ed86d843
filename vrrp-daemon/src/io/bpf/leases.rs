//! The leases: who may answer and forward for a virtual router's addresses, and until when.
#![allow(
    unsafe_code,
    reason = "single-field stores into memory shared with the kernel"
)]

use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use aya::maps::Map;
use lb_common::{Lease, lease_state, maps};

use super::Error;
use super::mapped::{MappedArray, mapped};
use crate::io::clock::boot_now;
use crate::model::LeaseSlot;

/// The table of leases, mapped into this process: renewing one is a store.
pub struct Leases {
    slots: MappedArray<Lease>,
}

impl Leases {
    pub(super) fn open(map: &Map) -> Result<Self, Error> {
        let slots = mapped(map, maps::LEASES)?;
        Ok(Self { slots })
    }

    /// What `slot` holds.
    #[must_use]
    pub fn read(&self, slot: LeaseSlot) -> Lease {
        self.slots.get(slot.get())
    }

    /// Whether this node answers or forwards by the lease in `slot`, or would if it had not run out.
    #[must_use]
    pub fn is_held(&self, slot: LeaseSlot) -> bool {
        self.slots.get(slot.get()).state != lease_state::VACANT
    }

    /// Gives the lease of a virtual router to this node from now on. Without an `interval` it never runs out.
    pub fn grant(
        &mut self,
        slot: LeaseSlot,
        interface: u32,
        virtual_router_id: u8,
        interval: Option<Duration>,
    ) {
        let interval = interval.map_or(0, |interval| {
            u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX)
        });
        let lease = Lease {
            renewed_at: boot_now(),
            interval,
            successor_at: 0,
            state: lease_state::VACANT,
            interface,
            virtual_router_id: u32::from(virtual_router_id),
            _reserved: 0,
        };
        self.slots.set(slot.get(), lease);
        self.set_state(slot, lease_state::HELD);
    }

    /// Renews the lease: our advertisement went out just now.
    pub fn renew(&mut self, slot: LeaseSlot) {
        let renewed_at = boot_now();
        // SAFETY: `element` points to a mapped, aligned `Lease`; writing one of its integers leaves it valid.
        unsafe { (&raw mut (*self.slots.element(slot.get())).renewed_at).write_volatile(renewed_at) }
    }

    /// Forwards on, and leaves answering to a successor.
    pub fn hand_over(&mut self, slot: LeaseSlot) {
        self.set_state(slot, lease_state::HANDING_OVER);
    }

    /// Gives the lease up.
    pub fn vacate(&mut self, slot: LeaseSlot) {
        self.set_state(slot, lease_state::VACANT);
    }

    fn set_state(&mut self, slot: LeaseSlot, state: u32) {
        // What the state speaks for is in memory before it: the program on another CPU sees no half-written lease.
        fence(Ordering::Release);
        // SAFETY: as in `renew`.
        unsafe { (&raw mut (*self.slots.element(slot.get())).state).write_volatile(state) }
    }
}
