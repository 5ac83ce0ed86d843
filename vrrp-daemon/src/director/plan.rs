//! From what the maps hold to what they should hold.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use lb_common::{Real, RingWord, Service, ServiceKey, VirtualRouterKey, maps};

use super::slices::{self, FreeSlices, Halves};
use super::{Desired, DesiredService, Member, Operation, Plane, Shortage, placement, schedule};
use crate::model::shares::{self, ScheduleLimit, TURNS_PER_REAL_SERVER};
use crate::model::{RealSlot, Scheduler};

/// There is a schedule for every service, whatever the configuration: each real server has its turns, and each service
/// an element to spare.
const _: () = assert!(
    TURNS_PER_REAL_SERVER * maps::REALS.capacity as usize
        + RingWord::SLOTS as usize * maps::SERVICES.capacity as usize
        <= shares::room(maps::RING_SLOTS)
);

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
    scheduler: Option<Scheduler>,
    members: Vec<Member>,
    limit: usize,
    ring: Vec<RealSlot>,
}

impl Unrolled {
    /// Works the schedule of this service out, unless that is done.
    fn update(&mut self, service: &DesiredService, limit: usize) {
        let scheduler = Some(service.scheduler);
        if self.members != service.members || self.scheduler != scheduler || self.limit != limit {
            self.scheduler = scheduler;
            self.members.clone_from(&service.members);
            self.limit = limit;
            self.ring = schedule(service.scheduler, &service.members, limit);
        }
    }
}

/// Where the schedule of a service goes.
#[derive(Clone, Copy)]
enum Place {
    /// It is here, or is empty and needs no place.
    Kept(u32),
    /// Here, where no schedule is in force by then.
    New(u32),
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
        Self::with_ring_capacity(maps::RING_SLOTS)
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
    /// Their order keeps every state in between consistent: peers, interfaces, virtual routers and addresses first; then
    /// real servers that are usable; then what belongs to services beside their own keys, which is nobody's until the
    /// service is there; then new schedules, in slices that nobody names; then the services, each of which changes over
    /// to its new schedule in one update; and only after them the real servers that are not usable any more, the
    /// addresses, virtual routers, interfaces and peers that go. So no packet meets a schedule that names a server which
    /// cannot serve it.
    pub fn plan(&mut self, actual: &Plane, desired: &Desired) -> Plan {
        let mut plan = Plan {
            operations: Vec::new(),
            shortages: desired.shortages.clone(),
        };
        plan.put_peers(actual, desired);
        plan.put_interfaces(actual, desired);
        plan.put_virtual_routers(actual, desired);
        plan.put_addresses(actual, desired);
        plan.put_reals(actual, desired, Real::is_usable);
        plan.put_ports(actual, desired);
        self.change_schedules(actual, desired, &mut plan);
        plan.remove_ports(actual, desired);
        plan.remove_services(actual, desired);
        plan.put_reals(actual, desired, |real| !real.is_usable());
        plan.free_reals(actual, desired);
        plan.remove_addresses(actual, desired);
        plan.remove_virtual_routers(actual, desired);
        plan.remove_interfaces(actual, desired);
        plan.remove_peers(actual, desired);
        plan
    }

    /// Writes new schedules and changes the services over.
    fn change_schedules(&mut self, actual: &Plane, desired: &Desired, plan: &mut Plan) {
        self.unroll(desired);
        let indices: HashSet<u32> = actual.services.values().map(|service| service.index).collect();
        let places = self
            .fill_gaps(actual, desired)
            .unwrap_or_else(|| self.move_all(actual, desired, plan));
        let mut services = Vec::new();
        for ((key, service), place) in desired.services.iter().zip(places) {
            let ring = &self.unrolled[key].ring;
            let (Place::Kept(ring_offset) | Place::New(ring_offset)) = place;
            if let Place::New(offset) = place {
                plan.operations.push(Operation::WriteRing {
                    offset,
                    slots: ring.clone(),
                });
            }
            let value = Service {
                index: service.index,
                ring_offset,
                ring_length: length(ring),
                lease: service.lease,
                placement: placement(service.scheduler),
                flags: service.flags,
            };
            let present = actual.services.get(key);
            let is_new = match present {
                Some(present) => present.index != value.index,
                None => !indices.contains(&value.index),
            };
            if is_new {
                services.push(Operation::ClearServiceCounters { index: value.index });
            }
            if matches!(place, Place::New(_)) || present != Some(&value) {
                services.push(Operation::PutService {
                    key: *key,
                    service: value,
                });
            }
        }
        plan.operations.append(&mut services);
    }

    /// Works the schedules of all services out.
    fn unroll(&mut self, desired: &Desired) {
        self.unrolled.retain(|key, _| desired.services.contains_key(key));
        let services = &desired.services;
        let real_servers = services.values().map(|service| service.members.len()).sum();
        let limit = ScheduleLimit::new(self.ring_capacity, services.len(), real_servers);
        for (key, service) in services {
            let limit = limit.turns(service.members.len());
            self.unrolled.entry(*key).or_default().update(service, limit);
        }
    }

    /// Finds places for new schedules between those in force, in the half where these are. Nothing if one finds none.
    fn fill_gaps(&mut self, actual: &Plane, desired: &Desired) -> Option<Vec<Place>> {
        let in_force: Vec<_> = actual.services.values().filter_map(slice).collect();
        let home = Halves::of(self.ring_capacity).home(&in_force);
        let mut free = None;
        let mut cursor = self.ring_cursor;
        let mut places = Vec::with_capacity(desired.services.len());
        for key in desired.services.keys() {
            let ring = &self.unrolled[key].ring;
            let present = actual.services.get(key).and_then(slice);
            let is_home = present.as_ref().is_some_and(|slice| {
                home.start <= slice.start
                    && slice.end <= home.end
                    && slice.start.is_multiple_of(RingWord::SLOTS)
            });
            if ring.is_empty() {
                places.push(Place::Kept(0));
            } else if let Some(slice) = present
                && is_home
                && actual.schedule(key) == Some(ring)
            {
                places.push(Place::Kept(slice.start));
            } else {
                let offset = free
                    .get_or_insert_with(|| FreeSlices::new(in_force.clone(), cursor, home.clone()))
                    .allocate(length(ring))?;
                cursor = offset + slices::rounded_up(length(ring));
                places.push(Place::New(offset));
            }
        }
        self.ring_cursor = cursor;
        Some(places)
    }

    /// Finds places for all schedules side by side, in the half where they are not. Should some be there all the same,
    /// as after a move that stopped halfway, their services go without for the moment that the plan takes.
    fn move_all(&mut self, actual: &Plane, desired: &Desired, plan: &mut Plan) -> Vec<Place> {
        let in_force: Vec<_> = actual.services.values().filter_map(slice).collect();
        let halves = Halves::of(self.ring_capacity);
        let half = halves.other(&halves.home(&in_force));
        for (key, service) in &actual.services {
            if slice(service).is_some_and(|slice| slice.start < half.end && half.start < slice.end) {
                plan.operations.push(Operation::PutService {
                    key: *key,
                    service: Service {
                        ring_offset: 0,
                        ring_length: 0,
                        ..*service
                    },
                });
            }
        }
        self.ring_cursor = half.start;
        desired
            .services
            .keys()
            .map(|key| match length(&self.unrolled[key].ring) {
                0 => Place::Kept(0),
                length => {
                    let offset = self.ring_cursor;
                    self.ring_cursor += slices::rounded_up(length);
                    Place::New(offset)
                }
            })
            .collect()
    }
}

/// The slice of the ring array that the schedule of a service takes, if it has one.
fn slice(service: &Service) -> Option<Range<u32>> {
    (service.ring_length > 0).then(|| {
        let end = service.ring_offset.saturating_add(service.ring_length);
        service.ring_offset..slices::rounded_up(end)
    })
}

/// The length of a schedule, which the ring array is longer than.
fn length(ring: &[RealSlot]) -> u32 {
    u32::try_from(ring.len()).expect("schedules have a limit")
}

impl Plan {
    fn put_peers(&mut self, actual: &Plane, desired: &Desired) {
        let peers = desired.peers.difference(&actual.peers);
        self.operations
            .extend(peers.map(|peer| Operation::PutPeer { peer: *peer }));
    }

    fn remove_peers(&mut self, actual: &Plane, desired: &Desired) {
        let peers = actual.peers.difference(&desired.peers);
        self.operations
            .extend(peers.map(|peer| Operation::RemovePeer { peer: *peer }));
    }

    fn put_interfaces(&mut self, actual: &Plane, desired: &Desired) {
        for (index, interface) in &desired.interfaces {
            if actual.interfaces.get(index) != Some(interface) {
                self.operations.push(Operation::PutInterface {
                    index: *index,
                    interface: *interface,
                });
            }
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

    fn put_ports(&mut self, actual: &Plane, desired: &Desired) {
        for (prefix, owner) in &desired.ports {
            if actual.ports.get(prefix) != Some(owner) {
                self.operations.push(Operation::PutPorts {
                    prefix: *prefix,
                    owner: *owner,
                });
            }
        }
    }

    fn remove_ports(&mut self, actual: &Plane, desired: &Desired) {
        let gone = actual
            .ports
            .keys()
            .filter(|prefix| !desired.ports.contains_key(prefix));
        self.operations
            .extend(gone.map(|prefix| Operation::RemovePorts { prefix: *prefix }));
    }

    fn remove_services(&mut self, actual: &Plane, desired: &Desired) {
        let gone = actual
            .services
            .keys()
            .filter(|key| !desired.services.contains_key(key));
        self.operations
            .extend(gone.map(|key| Operation::RemoveService { key: *key }));
    }

    /// Takes the flags of the slots whose real servers are gone. The generation stays, so that the next owner's
    /// differs.
    fn free_reals(&mut self, actual: &Plane, desired: &Desired) {
        for (slot, present) in actual.slots() {
            if present.flags == 0 || desired.reals.contains_key(&slot) {
                continue;
            }
            let real = Real {
                generation: present.generation,
                ..Real::default()
            };
            self.operations.push(Operation::PutReal { slot, real });
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
