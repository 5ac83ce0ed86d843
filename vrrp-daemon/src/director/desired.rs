//! What the maps should hold.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use lb_common::{
    Address, AddressEntry, Interface, NO_LEASE, Peer, Policy, PortsOwner, Prefix, Real, ServiceKey,
    Thresholds, TunnelSourceKey, VirtualRouterEntry, VirtualRouterKey, interface_flags, maps, real_flags,
    service_flags,
};

use super::{
    Interfaces, LeaseSlots, Member, Neighbour, Neighbours, Phase, Plane, PortsPrefix, Quarantine, Share,
    Shortage, Windows, flags_of, map_address, policy, ports_prefixes, service_key, virtual_router_entry,
    virtual_router_key, virtual_router_key_below,
};
use crate::health::Health;
use crate::model::{
    Configuration, Forwarding, LeaseSlot, Protocol, RealHandle, RealServer, RealServerId, RealSlot,
    Scheduler, ServiceAddress, Tunnel, VirtualService,
};

/// All that decides what the maps should hold.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// What is configured.
    pub configuration: &'a Configuration,
    /// The health of the real servers that have a check. One that is missing is [`Health::Unknown`].
    pub health: &'a HashMap<RealServerId, Health>,
    /// The neighbours that are resolved.
    pub neighbours: &'a Neighbours,
    /// The addresses of real servers that are this node's own.
    pub own: &'a BTreeSet<IpAddr>,
    /// The interfaces that exist.
    pub interfaces: &'a Interfaces,
    /// The lease slots that were assigned for this configuration.
    pub leases: &'a LeaseSlots,
    /// Which free slots may be given away.
    pub quarantine: &'a Quarantine,
    /// How far the motions of rings have got.
    pub windows: &'a Windows,
}

/// All that is known of a real server: what the status shows and what the maps follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealServerView<'a> {
    /// What its checks say: without one it is up.
    pub health: Health,
    /// How it is reached, if that is known.
    pub way: Option<Way<'a>>,
    /// What follows.
    pub share: Share,
}

/// How a real server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way<'a> {
    /// It is this node itself.
    Local,
    /// By a network, in this way.
    Neighbour(&'a Neighbour, Forwarding),
}

impl Inputs<'_> {
    /// What is known of a real server of `service`.
    #[must_use]
    pub fn view(&self, service: &VirtualService, real_server: &RealServer) -> RealServerView<'_> {
        let id = RealServerId {
            service: service.address,
            address: real_server.address,
        };
        let health = if real_server.checks.is_empty() {
            Health::Up
        } else {
            self.health.get(&id).copied().unwrap_or_default()
        };
        let address = real_server.address.ip();
        let way = match self.own.contains(&address) {
            true => Some(Way::Local),
            false => {
                let neighbour = self.neighbours.get(&address);
                neighbour
                    .filter(|neighbour| neighbour.serves(real_server.forwarding))
                    .map(|neighbour| Way::Neighbour(neighbour, real_server.forwarding))
            }
        };
        RealServerView {
            health,
            way,
            share: Share::new(service.scheduler, real_server, health, way.is_some()),
        }
    }
}

/// How a virtual service should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredService {
    /// [`lb_common::Service::index`].
    pub index: u32,
    /// [`lb_common::Service::lease`].
    pub lease: u32,
    /// Who chooses among them.
    pub scheduler: Scheduler,
    /// [`lb_common::Service::flags`].
    pub flags: u32,
    /// [`ServiceAddress::protocol`](crate::model::ServiceAddress::protocol).
    pub protocol: Protocol,
    /// Whether it has a Maglev ring beside its schedule.
    pub has_maglev: bool,
    /// How far the motion of that ring has got.
    pub window: Phase,
    /// [`lb_common::Service::new_flow_limit`].
    pub new_flow_limit: u32,
    /// The real servers, as [`schedule`](super::schedule()) takes them. Unrolling that, and where in the ring array it
    /// goes, is the planner's business.
    pub members: Vec<Member>,
}

/// What the maps should hold: the other side of a [`Plane`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// The virtual services.
    pub services: BTreeMap<ServiceKey, DesiredService>,
    /// What else belongs to the services: their further addresses, and the ports of those that have several.
    pub ports: BTreeMap<PortsPrefix, PortsOwner>,
    /// What becomes of segments of connections that cannot go on.
    pub policy: Policy,
    /// The real servers, by slot; all other slots should be free.
    pub reals: BTreeMap<RealSlot, Real>,
    /// The virtual addresses: those of virtual routers, and those of services that no virtual router guards.
    pub addresses: BTreeMap<Address, AddressEntry>,
    /// The virtual routers.
    pub virtual_routers: HashMap<VirtualRouterKey, VirtualRouterEntry>,
    /// The interfaces of the data plane, by their index; all other slots should be empty.
    pub interfaces: BTreeMap<u32, Interface>,
    /// The addresses of this node that tunnels begin at.
    pub tunnel_sources: BTreeMap<TunnelSourceKey, Address>,
    /// The other real servers of services that this node is a real server of.
    pub peers: BTreeSet<Peer>,
    /// Who may use the services.
    pub access: BTreeMap<Prefix, u32>,
    /// What does not fit.
    pub shortages: Vec<Shortage>,
}

impl Desired {
    /// What the maps should hold, given what they hold now: whatever is there already keeps its slot, so that a plan
    /// moves nothing that did not change, even if the plan is another daemon's.
    ///
    /// A real server that takes a free slot raises its generation. A slot is free only after it has been seen without
    /// [`real_flags::CONFIGURED`] in `actual` (no schedule names it any more then) and has left the [`Quarantine`] (no
    /// connection does).
    #[must_use]
    pub fn new(inputs: &Inputs<'_>, actual: &Plane) -> Self {
        let mut desired = Self {
            policy: policy(&inputs.configuration.dataplane),
            ..Self::default()
        };
        desired.add_interfaces(inputs);
        desired.add_access(&inputs.configuration.dataplane.access);
        let leases = desired.add_virtual_routers(inputs);
        let services = &inputs.configuration.virtual_services;
        let mut slots = Slots::new(actual, actual.indices(services), inputs.quarantine);
        let mut further = Vec::new();
        for service in services {
            // An address whose virtual router has no lease is not ours to serve; the shortage has been told.
            let lease_of = |address: ServiceAddress| match leases.get(&address.ip) {
                None => Some(NO_LEASE),
                Some(lease) => lease.map(LeaseSlot::get),
            };
            let Some(lease) = lease_of(service.address) else {
                continue;
            };
            let Some(index) = desired.add_service(inputs, service, lease, &mut slots) else {
                continue;
            };
            for address in service.addresses() {
                let Some(lease) = lease_of(address) else {
                    continue;
                };
                // An address that no virtual router guards is among ours only by its services. The program must know
                // it: what is malformed, or a fragment that follows none, has no port to find a service by.
                let entry = AddressEntry { lease };
                desired.addresses.entry(map_address(address.ip)).or_insert(entry);
                if address != service.address || address.ports.only().is_none() {
                    let service = index;
                    further.push((address, PortsOwner { service, lease }));
                }
            }
        }
        desired.add_ports(further);
        desired.mark_peers();
        desired
    }

    /// Keeps as many peers as there is room for, and says on which interfaces there are some.
    fn mark_peers(&mut self) {
        let capacity = maps::PEERS.capacity as usize;
        if self.peers.len() > capacity {
            let count = self.peers.len() - capacity;
            self.shortages.push(Shortage::Peers { count });
            self.peers = self.peers.iter().take(capacity).copied().collect();
        }
        for peer in &self.peers {
            if let Some(interface) = self.interfaces.get_mut(&peer.interface) {
                interface.flags |= interface_flags::HAS_PEERS;
            }
        }
    }

    /// Adds what belongs to services beside their own ports. Of those that share a block of ports, it is the one's that
    /// has the fewest.
    fn add_ports(&mut self, mut owners: Vec<(ServiceAddress, PortsOwner)>) {
        owners.sort_by_key(|(address, _)| Reverse(address.ports.width()));
        for (address, owner) in owners {
            self.ports
                .extend(ports_prefixes(address).map(|prefix| (prefix, owner)));
        }
    }

    /// Adds the interfaces that the program may be attached to. One whose index is beyond the map is no shortage: there
    /// the program takes every frame for its own.
    fn add_interfaces(&mut self, inputs: &Inputs<'_>) {
        for name in inputs.configuration.interfaces() {
            if let Some(known) = inputs.interfaces.get(name)
                && let Some(mac) = known.mac
                && known.index < maps::INTERFACES.capacity
            {
                let interface = Interface {
                    mac,
                    flags: interface_flags::KNOWN,
                };
                self.interfaces.insert(known.index, interface);
            }
        }
    }

    /// Adds the virtual routers and their addresses. Returns the lease of each address; where two instances have the
    /// same address, the first one's.
    fn add_virtual_routers(&mut self, inputs: &Inputs<'_>) -> HashMap<IpAddr, Option<LeaseSlot>> {
        let mut leases = HashMap::new();
        for instance in &inputs.configuration.vrrp_instances {
            let lease = inputs.leases.slot(instance);
            for virtual_address in &instance.virtual_addresses {
                leases.entry(virtual_address.address.addr()).or_insert(lease);
            }
            let Some(lease) = lease else {
                self.shortages.push(Shortage::Leases {
                    instance: instance.name.clone(),
                });
                continue;
            };
            if let Some(interface) = inputs.interfaces.get(&instance.interface) {
                let below = virtual_router_key_below(instance, interface);
                let keys = below.into_iter().chain([virtual_router_key(instance, interface)]);
                let entry = virtual_router_entry(instance, lease);
                self.virtual_routers.extend(keys.map(|key| (key, entry)));
            }
        }
        self.addresses = leases
            .iter()
            .filter_map(|(address, lease)| {
                Some((
                    map_address(*address),
                    AddressEntry {
                        lease: (*lease)?.get(),
                    },
                ))
            })
            .collect();
        leases
    }

    /// Notes where a tunnel begins, if there is one. All of one interface begin at the same address: the first one's.
    fn add_tunnel(&mut self, neighbour: &Neighbour, forwarding: Forwarding, real_server: IpAddr) {
        if let (Forwarding::Tunnel(_), Some(source)) = (forwarding, neighbour.source) {
            let key = TunnelSourceKey {
                interface: neighbour.interface,
                ip_version: if real_server.is_ipv4() { 4 } else { 6 },
            };
            self.tunnel_sources.entry(key).or_insert(map_address(source));
        }
    }

    /// Adds a service. Returns its index, if there is one left.
    fn add_service(
        &mut self,
        inputs: &Inputs<'_>,
        service: &VirtualService,
        lease: u32,
        slots: &mut Slots<'_>,
    ) -> Option<u32> {
        let Some(index) = slots.service(service.address) else {
            self.shortages.push(Shortage::Services {
                service: service.address,
            });
            return None;
        };
        let mut members = Vec::with_capacity(service.real_servers.len());
        let mut left_out = 0;
        let mut flags = 0;
        let mut others = Vec::new();
        for real_server in &service.real_servers {
            let Some(RealHandle { slot, generation }) = slots.real(index, real_server.address) else {
                left_out += 1;
                continue;
            };
            let view = inputs.view(service, real_server);
            match view.way {
                Some(Way::Local) if view.health == Health::Up => flags |= service_flags::LOCAL,
                Some(Way::Neighbour(neighbour, forwarding)) => {
                    // A gateway's address would be that of many.
                    others.extend((!neighbour.is_gateway).then_some(Peer {
                        interface: neighbour.interface,
                        mac: neighbour.destination_mac,
                        _reserved: [0; 2],
                    }));
                    self.add_tunnel(neighbour, forwarding, real_server.address.ip());
                }
                Some(Way::Local) | None => {}
            }
            let share = service.scheduler.share(real_server.weight).get();
            let mut real = Real {
                address: map_address(real_server.address.ip()),
                port: real_server.address.port(),
                weight: share,
                generation,
                service: index,
                flags: real_flags::CONFIGURED,
                thresholds: Thresholds::new(real_server.upper_threshold, real_server.lower_threshold),
                ..Real::default()
            };
            if service.scheduler.counts() || real.thresholds.are_set() {
                real.flags |= real_flags::COUNTED;
            }
            self.reals.insert(slot, with_state(real, view.health, view.way));
            members.push(Member {
                address: real_server.address,
                slot,
                share,
                serves: view.share.is_scheduled(),
            });
        }
        if left_out > 0 {
            let (service, count) = (service.address, left_out);
            self.shortages.push(if slots.are_held {
                Shortage::ClearedSlots { service, count }
            } else {
                Shortage::RealServers { service, count }
            });
        }
        let mut real_servers = service.real_servers.iter();
        if real_servers.any(|real_server| inputs.own.contains(&real_server.address.ip())) {
            self.peers.extend(others);
        }
        self.services.insert(
            service_key(service.address),
            DesiredService {
                index,
                lease,
                scheduler: service.scheduler,
                flags: flags | flags_of(service),
                protocol: service.address.protocol,
                has_maglev: false,
                window: inputs.windows.phase(&service_key(service.address)),
                new_flow_limit: service.new_flow_limit.unwrap_or_default(),
                members,
            },
        );
        Some(index)
    }
}

/// The slot of a configured real server, in that state.
fn with_state(mut real: Real, health: Health, way: Option<Way<'_>>) -> Real {
    if health == Health::Up {
        real.flags |= real_flags::UP;
    }
    match way {
        Some(Way::Local) => real.flags |= real_flags::RESOLVED | real_flags::LOCAL,
        Some(Way::Neighbour(neighbour, forwarding)) => {
            real.flags |= real_flags::RESOLVED;
            if let Forwarding::Tunnel(tunnel) = forwarding {
                real.flags |= real_flags::TUNNEL;
                real.tunnel_port = match tunnel {
                    Tunnel::IpInIp => 0,
                    Tunnel::Gue { port } => port,
                };
            }
            real.mtu = neighbour.mtu;
            real.interface = neighbour.interface;
            real.source_mac = neighbour.source_mac;
            real.destination_mac = neighbour.destination_mac;
        }
        None => {}
    }
    real
}

/// Who has which slot, and which are free.
struct Slots<'a> {
    actual: &'a Plane,
    quarantine: &'a Quarantine,
    /// The indices that services have.
    indices: HashMap<ServiceAddress, u32>,
    /// Indices of services that are taken: by services, and by real servers whose service is gone and who would be
    /// adopted by the wrong one.
    taken_indices: HashSet<u32>,
    /// Indices that services of `actual` have been found to have, each by one.
    kept_indices: HashSet<u32>,
    next_index: u32,
    /// Slots of configured real servers by service index, address and port.
    reals: HashMap<(u32, Address, u16), RealSlot>,
    next_real: u32,
    /// Whether slots are free that may not be given away yet.
    are_held: bool,
}

impl<'a> Slots<'a> {
    fn new(actual: &'a Plane, indices: HashMap<ServiceAddress, u32>, quarantine: &'a Quarantine) -> Self {
        let mut taken_indices: HashSet<u32> = actual.services.values().map(|service| service.index).collect();
        let mut reals = HashMap::new();
        let mut are_held = false;
        for (slot, real) in actual.slots() {
            if real.is_configured() {
                taken_indices.insert(real.service);
                reals
                    .entry((real.service, real.address, real.port))
                    .or_insert(slot);
            } else {
                are_held |= !quarantine.releases(slot, real);
            }
        }
        Self {
            actual,
            quarantine,
            indices,
            taken_indices,
            kept_indices: HashSet::new(),
            next_index: 0,
            reals,
            next_real: 0,
            are_held,
        }
    }

    /// The index of a service: the one it has, or a free one.
    fn service(&mut self, service: ServiceAddress) -> Option<u32> {
        if let Some(index) = self.indices.get(&service)
            && *index < maps::SERVICES.capacity
            && self.kept_indices.insert(*index)
        {
            return Some(*index);
        }
        let index =
            (self.next_index..maps::SERVICES.capacity).find(|index| !self.taken_indices.contains(index))?;
        self.next_index = index + 1;
        Some(index)
    }

    /// The handle of a real server: the one it has, or a free slot with its generation raised.
    fn real(&mut self, service: u32, address: SocketAddr) -> Option<RealHandle> {
        let key = (service, map_address(address.ip()), address.port());
        if let Some(slot) = self.reals.remove(&key) {
            let generation = self.actual.real(slot).generation;
            return Some(RealHandle { slot, generation });
        }
        let mut slots = (self.next_real..maps::REALS.capacity).map(RealSlot::new);
        let slot = slots.find(|slot| self.quarantine.releases(*slot, &self.actual.real(*slot)));
        self.next_real = slot.map_or(maps::REALS.capacity, |slot| slot.get() + 1);
        let slot = slot?;
        // 0 is the generation of a slot that was never used.
        let generation = self.actual.real(slot).generation.wrapping_add(1).max(1);
        Some(RealHandle { slot, generation })
    }
}
