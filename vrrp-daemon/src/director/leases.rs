//! Which lease slot belongs to which virtual router.

use std::collections::{HashMap, HashSet};

use lb_common::{NO_LEASE, maps};

use super::{Interfaces, Plane, Shortage, virtual_router_key};
use crate::model::{LeaseSlot, VirtualRouterName, VrrpInstance};

/// The slots of [`lb_common::maps::LEASES`] that belong to the virtual routers of a configuration.
///
/// The loop that renews leases and the loop that plans must agree on them: they are assigned once for each
/// configuration, and both use the same value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseSlots {
    slots: HashMap<VirtualRouterName, LeaseSlot>,
    fresh: Vec<LeaseSlot>,
}

impl LeaseSlots {
    /// The slots for the virtual routers of a new configuration. A virtual router keeps the slot that it has here
    /// (before a reload; at the start, nothing: [`LeaseSlots::default`]) or in the pinned maps (after a restart), so
    /// that its lease outlives both. Others get a slot that nothing names.
    ///
    /// # Errors
    /// [`Shortage::Leases`] when there are more virtual routers than slots.
    pub fn assign(
        &self,
        actual: &Plane,
        instances: &[VrrpInstance],
        interfaces: &Interfaces,
    ) -> Result<Self, Shortage> {
        let held: HashSet<u32> = self.slots.values().map(|slot| slot.get()).collect();
        let mut slots = HashMap::with_capacity(instances.len());
        let mut given: HashSet<u32> = HashSet::new();
        for instance in instances {
            let name = instance.router_name();
            let own = self.slots.get(&name).map(|slot| slot.get()).or_else(|| {
                let key = virtual_router_key(instance, interfaces.get(&instance.interface)?);
                let pinned = actual.virtual_routers.get(&key)?.lease;
                (pinned < maps::LEASES.capacity && !held.contains(&pinned)).then_some(pinned)
            });
            if let Some(slot) = own
                && given.insert(slot)
            {
                slots.insert(name, LeaseSlot::new(slot));
            }
        }

        let named: HashSet<u32> = held
            .into_iter()
            .chain(actual.virtual_routers.values().map(|entry| entry.lease))
            .chain(actual.addresses.values().map(|entry| entry.lease))
            .chain(actual.services.values().map(|service| service.lease))
            .filter(|lease| *lease != NO_LEASE)
            .chain(given)
            .collect();
        let mut free = (0..maps::LEASES.capacity)
            .filter(|slot| !named.contains(slot))
            .map(LeaseSlot::new);
        let mut fresh = Vec::new();
        for instance in instances {
            let name = instance.router_name();
            if slots.contains_key(&name) {
                continue;
            }
            let slot = free.next().ok_or_else(|| Shortage::Leases {
                instance: instance.name.clone(),
            })?;
            fresh.push(slot);
            slots.insert(name, slot);
        }
        Ok(Self { slots, fresh })
    }

    /// The slot of an instance of the configuration that the slots were assigned for.
    #[must_use]
    pub fn slot(&self, instance: &VrrpInstance) -> Option<LeaseSlot> {
        self.slots.get(&instance.router_name()).copied()
    }

    /// The slots that were given to virtual routers which had none before. What they hold is somebody else's: it must
    /// be vacated before a plan names them.
    #[must_use]
    pub fn fresh(&self) -> &[LeaseSlot] {
        &self.fresh
    }
}
