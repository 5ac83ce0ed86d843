//! What the maps hold.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;

use lb_common::{
    Address, AddressEntry, Interface, Peer, Policy, PortsOwner, Prefix, Real, Service, ServiceKey,
    TunnelSourceKey, VirtualRouterEntry, VirtualRouterKey, real_flags,
};

use super::{
    Neighbour, Operation, PortsPrefix, ip_address, ports_prefixes, real_slot, service_address, service_key,
};
use crate::health::Health;
use crate::model::{RealHandle, RealServerId, RealSlot, ServiceAddress, VirtualService};

/// The forwarding maps, as the daemon last read or wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plane {
    /// [`lb_common::maps::SERVICES`].
    pub services: BTreeMap<ServiceKey, Service>,
    /// [`lb_common::maps::SERVICE_PORTS`].
    pub ports: BTreeMap<PortsPrefix, PortsOwner>,
    /// [`lb_common::maps::POLICY`].
    pub policy: Policy,
    /// [`lb_common::maps::RINGS`], perhaps without the slots after the last that was ever written.
    pub rings: Vec<u16>,
    /// [`lb_common::maps::REALS`], perhaps without the slots after the last that was ever used.
    pub reals: Vec<Real>,
    /// [`lb_common::maps::ADDRESSES`].
    pub addresses: BTreeMap<Address, AddressEntry>,
    /// [`lb_common::maps::VIRTUAL_ROUTERS`].
    pub virtual_routers: HashMap<VirtualRouterKey, VirtualRouterEntry>,
    /// [`lb_common::maps::INTERFACES`], without the empty slots.
    pub interfaces: BTreeMap<u32, Interface>,
    /// [`lb_common::maps::TUNNEL_SOURCES`].
    pub tunnel_sources: BTreeMap<TunnelSourceKey, Address>,
    /// [`lb_common::maps::PEERS`].
    pub peers: BTreeSet<Peer>,
    /// [`lb_common::maps::ACCESS`].
    pub access: BTreeMap<Prefix, u32>,
}

/// What pinned maps tell about a real server before anything else is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed {
    /// Whether it was up.
    pub health: Health,
    /// How it was reached, if that was known.
    pub neighbour: Option<Neighbour>,
}

impl Plane {
    /// The slot `slot` of the real servers; a slot that was never used is all zeros.
    #[must_use]
    pub fn real(&self, slot: RealSlot) -> Real {
        self.reals.get(slot.get() as usize).copied().unwrap_or_default()
    }

    /// The schedule of a service: slots of real servers. Nothing if there is no such service, or if it names a slice
    /// that is not there.
    #[must_use]
    pub fn schedule(&self, key: &ServiceKey) -> Option<Vec<RealSlot>> {
        let service = self.services.get(key)?;
        let slots = self.ring(service.ring_offset, service.ring_length)?;
        Some(slots.iter().copied().map(real_slot).collect())
    }

    /// So many slots of the rings, if they are there.
    #[must_use]
    pub fn ring(&self, offset: u32, length: u32) -> Option<&[u16]> {
        let start = offset as usize;
        self.rings.get(start..start.checked_add(length as usize)?)
    }

    /// How many slots of the schedule of `service` each of its real servers has.
    #[must_use]
    pub fn turns(&self, service: &VirtualService) -> Vec<u32> {
        let mut turns: HashMap<SocketAddr, u32> = HashMap::new();
        for slot in self.schedule(&service_key(service.address)).unwrap_or_default() {
            let real = self.real(slot);
            *turns
                .entry(SocketAddr::new(ip_address(real.address), real.port))
                .or_default() += 1;
        }
        let real_servers = service.real_servers.iter();
        real_servers
            .map(|real_server| turns.get(&real_server.address).copied().unwrap_or_default())
            .collect()
    }

    /// The slots of the real servers, in order.
    pub fn slots(&self) -> impl Iterator<Item = (RealSlot, &Real)> {
        (0..).map(RealSlot::new).zip(&self.reals)
    }

    /// The slots of the configured real servers whose connections are counted.
    pub(super) fn counted(&self) -> impl Iterator<Item = RealSlot> {
        let counted = self
            .slots()
            .filter(|(_, real)| real.is_configured() && real.is_counted());
        counted.map(|(slot, _)| slot)
    }

    /// The handles of the configured real servers: where to find their counters, and what their connections remember. A
    /// slot of a service that is not there belongs to nobody.
    #[must_use]
    pub fn handles(&self) -> HashMap<RealServerId, RealHandle> {
        self.real_servers()
            .map(|(id, slot, real)| {
                let generation = real.generation;
                (id, RealHandle { slot, generation })
            })
            .collect()
    }

    /// What is known from these maps alone of the real servers of `services`, which may have been another service's. A
    /// daemon that starts with the maps of its predecessor begins with this, so that nothing changes until a check or
    /// the kernel's neighbour table says otherwise.
    #[must_use]
    pub fn seeds(&self, services: &[VirtualService]) -> HashMap<RealServerId, Seed> {
        let indices = self.indices(services).into_iter();
        self.real_servers_of(indices.map(|(address, index)| (index, address)).collect())
            .map(|(id, _, real)| {
                let seed = Seed {
                    health: if real.flags & real_flags::UP != 0 {
                        Health::Up
                    } else {
                        Health::Down
                    },
                    neighbour: (real.flags & real_flags::RESOLVED != 0 && real.is_direct()).then_some(
                        Neighbour {
                            interface: real.interface,
                            source_mac: real.source_mac,
                            destination_mac: real.destination_mac,
                            is_gateway: false,
                            source: None,
                            mtu: real.mtu,
                        },
                    ),
                };
                (id, seed)
            })
            .collect()
    }

    /// Which of `services` has which [`lb_common::Service::index`]: by its name, or, where that is new, by any of its
    /// addresses that is of a service which nobody has any more. No two have the same.
    #[must_use]
    pub fn indices(&self, services: &[VirtualService]) -> HashMap<ServiceAddress, u32> {
        let by_name = |address| Some(self.services.get(&service_key(address))?.index);
        let names = services.iter().map(|service| service.address);
        let mut indices: HashMap<ServiceAddress, u32> = names
            .filter_map(|address| Some((address, by_name(address)?)))
            .collect();
        let mut taken: HashSet<u32> = indices.values().copied().collect();
        for service in services {
            if indices.contains_key(&service.address) {
                continue;
            }
            let mut former = service.addresses().filter_map(|address| {
                let owner = ports_prefixes(address).find_map(|prefix| self.ports.get(&prefix));
                by_name(address).or(owner.map(|owner| owner.service))
            });
            if let Some(index) = former.find(|index| !taken.contains(index)) {
                taken.insert(index);
                indices.insert(service.address, index);
            }
        }
        indices
    }

    /// Repeats in this copy what an operation has done to the maps.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::PutVirtualRouter { key, entry } => {
                self.virtual_routers.insert(*key, *entry);
            }
            Operation::RemoveVirtualRouter { key } => {
                self.virtual_routers.remove(key);
            }
            Operation::PutInterface { index, interface } => {
                self.interfaces.insert(*index, *interface);
            }
            Operation::RemoveInterface { index } => {
                self.interfaces.remove(index);
            }
            Operation::PutTunnelSource { key, source } => {
                self.tunnel_sources.insert(*key, *source);
            }
            Operation::RemoveTunnelSource { key } => {
                self.tunnel_sources.remove(key);
            }
            Operation::PutPeer { peer } => {
                self.peers.insert(*peer);
            }
            Operation::RemovePeer { peer } => {
                self.peers.remove(peer);
            }
            Operation::PutAccess { prefix, access } => {
                self.access.insert(*prefix, *access);
            }
            Operation::RemoveAccess { prefix } => {
                self.access.remove(prefix);
            }
            Operation::PutAddress { address, entry } => {
                self.addresses.insert(*address, *entry);
            }
            Operation::RemoveAddress { address } => {
                self.addresses.remove(address);
            }
            Operation::PutReal { slot, real } => {
                let slot = slot.get() as usize;
                if self.reals.len() <= slot {
                    self.reals.resize(slot + 1, Real::default());
                }
                self.reals[slot] = *real;
            }
            Operation::WriteRing { offset, slots } => {
                let start = *offset as usize;
                let end = start + slots.len();
                if self.rings.len() < end {
                    self.rings.resize(end, 0);
                }
                self.rings[start..end].copy_from_slice(slots);
            }
            Operation::PutService { key, service } => {
                self.services.insert(*key, *service);
            }
            Operation::RemoveService { key } => {
                self.services.remove(key);
            }
            Operation::PutPorts { prefix, owner } => {
                self.ports.insert(*prefix, *owner);
            }
            Operation::RemovePorts { prefix } => {
                self.ports.remove(prefix);
            }
            Operation::PutPolicy { policy } => self.policy = *policy,
            // Counters are the program's: no part of this copy.
            Operation::ClearServiceCounters { .. } | Operation::ClearRealCounters { .. } => {}
        }
    }

    /// The configured slots whose service is there, with the names of the real servers in them.
    fn real_servers(&self) -> impl Iterator<Item = (RealServerId, RealSlot, &Real)> {
        let services = self.services.iter();
        let services = services.filter_map(|(key, service)| Some((service.index, service_address(*key)?)));
        self.real_servers_of(services.collect())
    }

    /// The same, where the service at an index has the name that it has in `services`.
    fn real_servers_of(
        &self,
        services: HashMap<u32, ServiceAddress>,
    ) -> impl Iterator<Item = (RealServerId, RealSlot, &Real)> {
        self.slots().filter_map(move |(slot, real)| {
            if real.flags & real_flags::CONFIGURED == 0 {
                return None;
            }
            let id = RealServerId {
                service: *services.get(&real.service)?,
                address: SocketAddr::new(ip_address(real.address), real.port),
            };
            Some((id, slot, real))
        })
    }
}
