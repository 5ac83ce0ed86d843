//! From what the maps hold to what they should hold.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use lb_common::{Real, Service, ServiceKey, VirtualRouterKey, maps, real_flags};

use super::slices::FreeSlices;
use super::{Desired, Operation, Plane, Shortage, schedule, service_address};

/// What to do, in this order, and what cannot be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The operations. Empty when everything is as it should be, but for the shortages.
    pub operations: Vec<Operation>,
    /// What does not fit. If there were operations too, they may have made room: plan again when they are done.
    pub shortages: Vec<Shortage>,
}

/// Makes plans. It remembers where in the ring array it last wrote, and the schedules that it has worked out, so that a
/// change costs no more than what changed; a planner without memories makes plans that are as good.
#[derive(Clone, Debug)]
pub struct Planner {
    ring_cursor: u32,
    ring_capacity: u32,
    unrolled: HashMap<ServiceKey, Unrolled>,
}

/// A schedule that was worked out, and what from.
#[derive(Clone, Debug, Default)]
struct Unrolled {
    members: Vec<(u32, u16)>,
    ring: Vec<u32>,
}

impl Unrolled {
    /// The schedule of these members.
    fn of(&mut self, members: &[(u32, u16)]) -> &[u32] {
        if self.members != members {
            self.members = members.to_vec();
            self.ring = schedule(members);
        }
        &self.ring
    }
}

impl Default for Planner {
    fn default() -> Self {
        Self::new()
    }
}

impl Planner {
    /// A planner for maps with the capacities of [`lb_common::maps`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_ring_capacity(maps::RINGS.capacity)
    }

    /// A planner for a ring array of this many slots.
    pub(super) fn with_ring_capacity(ring_capacity: u32) -> Self {
        Self {
            ring_cursor: 0,
            ring_capacity,
            unrolled: HashMap::new(),
        }
    }

    /// The operations that make `actual` what `desired` was computed to be from it.
    ///
    /// Their order keeps every state in between consistent: interfaces, virtual routers and addresses first; then real servers
    /// that are usable; then new schedules, in slices that nobody names; then the services, each of which changes over
    /// to its new schedule in one update; and only after them the real servers that are not usable any more, the
    /// addresses, virtual routers and interfaces that go. So no packet meets a schedule that names a server which cannot serve it.
    ///
    /// Where there is no room for a new schedule, the old one stays in force: what it names may then be down, but no
    /// slot that it names is given to anybody else.
    pub fn plan(&mut self, actual: &Plane, desired: &Desired) -> Plan {
        let mut plan = Plan {
            operations: Vec::new(),
            shortages: desired.shortages.clone(),
        };
        plan.put_interfaces(actual, desired);
        plan.put_virtual_routers(actual, desired);
        plan.put_addresses(actual, desired);
        plan.put_reals(actual, desired, Real::is_usable);
        let kept = self.change_schedules(actual, desired, &mut plan);
        plan.remove_services(actual, desired);
        plan.put_reals(actual, desired, |real| !real.is_usable());
        plan.free_reals(actual, desired, &kept);
        plan.remove_addresses(actual, desired);
        plan.remove_virtual_routers(actual, desired);
        plan.remove_interfaces(actual, desired);
        plan
    }

    /// Writes new schedules and changes the services over. Returns the slots that schedules which had to stay name.
    fn change_schedules(&mut self, actual: &Plane, desired: &Desired, plan: &mut Plan) -> HashSet<u32> {
        self.unrolled.retain(|key, _| desired.services.contains_key(key));
        let mut kept = HashSet::new();
        let mut free = None;
        let mut services = Vec::new();
        for (key, service) in &desired.services {
            let ring = self.unrolled.entry(*key).or_default().of(&service.members);
            let present = actual.services.get(key);
            let schedule = actual.schedule(key);
            let in_force = schedule
                .and(present)
                .map_or((0, 0), |present| (present.ring_offset, present.ring_length));
            let (ring_offset, ring_length) = if schedule == Some(ring) {
                in_force
            } else if ring.is_empty() {
                (0, 0)
            } else {
                let free = free.get_or_insert_with(|| {
                    FreeSlices::new(slices_in_force(actual), self.ring_cursor, self.ring_capacity)
                });
                let length = u32::try_from(ring.len()).unwrap_or(u32::MAX);
                if let Some(offset) = free.allocate(length) {
                    self.ring_cursor = offset + length;
                    plan.operations.push(Operation::WriteRing {
                        offset,
                        slots: ring.to_vec(),
                    });
                    (offset, length)
                } else {
                    plan.shortages
                        .extend(service_address(*key).map(|service| Shortage::Rings {
                            service,
                            length: ring.len(),
                        }));
                    kept.extend(schedule.into_iter().flatten());
                    in_force
                }
            };
            let value = Service {
                index: service.index,
                ring_offset,
                ring_length,
                lease: service.lease,
            };
            if present.is_none_or(|present| present.index != value.index) {
                services.push(Operation::ClearServiceCounters { index: value.index });
            }
            if present != Some(&value) {
                services.push(Operation::PutService {
                    key: *key,
                    service: value,
                });
            }
        }
        plan.operations.append(&mut services);
        kept
    }
}

/// The parts of the ring array that packets read.
fn slices_in_force(actual: &Plane) -> Vec<Range<u32>> {
    actual
        .services
        .values()
        .filter(|service| service.ring_length > 0)
        .map(|service| service.ring_offset..service.ring_offset.saturating_add(service.ring_length))
        .collect()
}

impl Plan {
    /// The program takes every frame on an interface that it does not know for its own: what finds no room is no
    /// shortage, only less exact.
    fn put_interfaces(&mut self, actual: &Plane, desired: &Desired) {
        let mut room = (maps::INTERFACES.capacity as usize).saturating_sub(actual.interfaces.len());
        for (index, interface) in &desired.interfaces {
            match actual.interfaces.get(index) {
                Some(present) if present == interface => continue,
                Some(_) => {}
                None if room == 0 => continue,
                None => room -= 1,
            }
            self.operations.push(Operation::PutInterface {
                index: *index,
                interface: *interface,
            });
        }
    }

    fn remove_interfaces(&mut self, actual: &Plane, desired: &Desired) {
        let gone = actual
            .interfaces
            .keys()
            .filter(|index| !desired.interfaces.contains_key(index));
        self.operations
            .extend(gone.map(|index| Operation::RemoveInterface { index: *index }));
    }

    fn put_virtual_routers(&mut self, actual: &Plane, desired: &Desired) {
        let mut changed: Vec<_> = desired
            .virtual_routers
            .iter()
            .filter(|(key, entry)| actual.virtual_routers.get(key) != Some(entry))
            .collect();
        changed.sort_unstable_by_key(|(key, _)| order(key));
        self.operations.extend(
            changed
                .into_iter()
                .map(|(key, entry)| Operation::PutVirtualRouter {
                    key: *key,
                    entry: *entry,
                }),
        );
    }

    fn put_addresses(&mut self, actual: &Plane, desired: &Desired) {
        let mut room = (maps::ADDRESSES.capacity as usize).saturating_sub(actual.addresses.len());
        let mut left_out = 0;
        for (address, entry) in &desired.addresses {
            let present = actual.addresses.get(address);
            if present == Some(entry) {
                continue;
            }
            if present.is_none() {
                if room == 0 {
                    left_out += 1;
                    continue;
                }
                room -= 1;
            }
            self.operations.push(Operation::PutAddress {
                address: *address,
                entry: *entry,
            });
        }
        if left_out > 0 {
            self.shortages.push(Shortage::Addresses { count: left_out });
        }
    }

    fn put_reals(&mut self, actual: &Plane, desired: &Desired, chosen: impl Fn(&Real) -> bool) {
        for (slot, real) in &desired.reals {
            let present = actual.real(*slot);
            if present == *real || !chosen(real) {
                continue;
            }
            if present.generation != real.generation {
                self.operations.push(Operation::ClearRealCounters { slot: *slot });
            }
            self.operations.push(Operation::PutReal {
                slot: *slot,
                real: *real,
            });
        }
    }

    fn remove_services(&mut self, actual: &Plane, desired: &Desired) {
        let gone = actual
            .services
            .keys()
            .filter(|key| !desired.services.contains_key(key));
        self.operations
            .extend(gone.map(|key| Operation::RemoveService { key: *key }));
    }

    /// Takes the flags of the slots whose real servers are gone. The generation stays, so that the next owner's differs.
    fn free_reals(&mut self, actual: &Plane, desired: &Desired, kept: &HashSet<u32>) {
        for (slot, present) in (0..).zip(&actual.reals) {
            if present.flags == 0 || desired.reals.contains_key(&slot) {
                continue;
            }
            let real = if kept.contains(&slot) {
                // Not up, but not free either.
                Real {
                    flags: real_flags::CONFIGURED,
                    ..*present
                }
            } else {
                Real {
                    generation: present.generation,
                    ..Real::default()
                }
            };
            if real != *present {
                self.operations.push(Operation::PutReal { slot, real });
            }
        }
    }

    fn remove_addresses(&mut self, actual: &Plane, desired: &Desired) {
        let gone = actual
            .addresses
            .keys()
            .filter(|address| !desired.addresses.contains_key(address));
        self.operations
            .extend(gone.map(|address| Operation::RemoveAddress { address: *address }));
    }

    fn remove_virtual_routers(&mut self, actual: &Plane, desired: &Desired) {
        let mut gone: Vec<_> = actual
            .virtual_routers
            .keys()
            .filter(|key| !desired.virtual_routers.contains_key(key))
            .collect();
        gone.sort_unstable_by_key(|key| order(key));
        self.operations.extend(
            gone.into_iter()
                .map(|key| Operation::RemoveVirtualRouter { key: *key }),
        );
    }
}

/// An order for keys that have none, so that equal plans look equal.
const fn order(key: &VirtualRouterKey) -> (u32, u8, u8, u16) {
    (key.interface, key.virtual_router_id, key.ip_version, key.vlan)
}
