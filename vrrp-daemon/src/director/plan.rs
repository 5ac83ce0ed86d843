//! From what the maps hold to what they should hold.

use lb_common::{Real, RingWord, VirtualRouterKey, maps};

use super::rings::Rings;
use super::{Desired, Operation, Plane, Shortage};
use crate::model::shares::{self, TURNS_PER_REAL_SERVER};

/// There is a schedule and a Maglev ring for every service, whatever the configuration: each real server has its turns,
/// and each service an element to spare.
const _: () = assert!(
    TURNS_PER_REAL_SERVER * maps::REALS.capacity as usize
        + RingWord::SLOTS as usize * maps::SERVICES.capacity as usize
        <= shares::room(maps::RING_SLOTS)
        && shares::least_maglev_room(maps::SERVICES.capacity as usize, maps::REALS.capacity as usize)
            <= shares::maglev_room(maps::RING_SLOTS)
);

/// What to do, in this order, and what cannot be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The operations. Empty when everything is as it should be, but for the shortages.
    pub operations: Vec<Operation>,
    /// What does not fit. If there were operations too, they may have made room: plan again when they are done.
    pub shortages: Vec<Shortage>,
}

/// Makes plans. It remembers where in the ring array it last wrote, and the rings that it has worked out, so that a change
/// costs no more than what changed; a planner without memories makes plans that are as good.
#[derive(Clone, Debug)]
pub struct Planner {
    rings: Rings,
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
            rings: Rings::new(ring_capacity),
        }
    }

    /// The operations that make `actual` what `desired` was computed to be from it.
    ///
    /// Their order keeps every state in between consistent: the policy, where tunnels begin, peers, lists, interfaces,
    /// virtual routers and addresses first; then real servers that are usable; then what belongs to services beside their
    /// own keys, which is nobody's until the service is there; then new schedules, in slices that nobody names; then the
    /// services, each of which changes over to its new schedule in one update; and only after them the real servers that
    /// are not usable any more, the addresses, virtual routers, interfaces, lists, peers and beginnings of tunnels that
    /// go. So no packet meets a schedule that names a server which cannot serve it.
    pub fn plan(&mut self, actual: &Plane, desired: &Desired) -> Plan {
        let mut plan = Plan {
            operations: Vec::new(),
            shortages: desired.shortages.clone(),
        };
        plan.put_tunnel_sources(actual, desired);
        plan.put_peers(actual, desired);
        plan.put_policy(actual, desired);
        plan.put_access(actual, desired);
        plan.put_interfaces(actual, desired);
        plan.put_virtual_routers(actual, desired);
        plan.put_addresses(actual, desired);
        plan.put_reals(actual, desired, Real::is_usable);
        plan.put_ports(actual, desired);
        self.rings.change(actual, desired, &mut plan.operations);
        plan.remove_ports(actual, desired);
        plan.remove_services(actual, desired);
        plan.put_reals(actual, desired, |real| !real.is_usable());
        plan.free_reals(actual, desired);
        plan.remove_addresses(actual, desired);
        plan.remove_virtual_routers(actual, desired);
        plan.remove_interfaces(actual, desired);
        plan.remove_access(actual, desired);
        plan.remove_peers(actual, desired);
        plan.remove_tunnel_sources(actual, desired);
        plan
    }
}

impl Plan {
    fn put_tunnel_sources(&mut self, actual: &Plane, desired: &Desired) {
        for (key, source) in &desired.tunnel_sources {
            if actual.tunnel_sources.get(key) != Some(source) {
                let (key, source) = (*key, *source);
                self.operations.push(Operation::PutTunnelSource { key, source });
            }
        }
    }

    fn remove_tunnel_sources(&mut self, actual: &Plane, desired: &Desired) {
        let gone = actual
            .tunnel_sources
            .keys()
            .filter(|key| !desired.tunnel_sources.contains_key(key));
        self.operations
            .extend(gone.map(|key| Operation::RemoveTunnelSource { key: *key }));
    }

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

    fn put_policy(&mut self, actual: &Plane, desired: &Desired) {
        if actual.policy != desired.policy {
            self.operations.push(Operation::PutPolicy {
                policy: desired.policy,
            });
        }
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
