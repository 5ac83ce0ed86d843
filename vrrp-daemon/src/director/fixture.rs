//! A small world for tests: maps that operations are carried out on, watched at every step.

mod connections;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use lb_common::{NO_LEASE, RingWord, real_flags};

use super::*;
use crate::health::Health;
use crate::model::{
    AccessLists, Attach, Check, CheckKind, CheckTiming, Configuration, Dataplane, FlowTimeouts, Forwarding,
    Interval, Node, Ports, Priority, Protocol, RealHandle, RealServer, RealServerId, RealSlot, Scheduler,
    ServiceAddress, Version, VirtualAddress, VirtualRouterId, VirtualService, VrrpInstance, Weight, XdpMode,
};
use connections::Connections;

/// The address of the service number `number`; odd ones are served under UDP.
pub(super) fn virtual_address(number: u16) -> ServiceAddress {
    ServiceAddress {
        ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3)),
        ports: Ports::one(80 + number),
        protocol: if number.is_multiple_of(2) {
            Protocol::Tcp
        } else {
            Protocol::Udp
        },
    }
}

/// The address of the real server number `number`.
pub(super) fn real_address(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, 1, high, low))
}

/// The name of the real server number `real` of the service number `service`.
pub(super) fn real_server(service: u16, real: u16) -> RealServerId {
    let service = virtual_address(service);
    RealServerId {
        service,
        address: SocketAddr::new(real_address(real), service.ports.first()),
    }
}

/// A service whose real servers have these numbers and weights, all with a check.
pub(super) fn service(number: u16, scheduler: Scheduler, real_servers: &[(u16, u16)]) -> VirtualService {
    VirtualService {
        address: virtual_address(number),
        further_addresses: Vec::new(),
        group: None,
        one_packet: false,
        scheduler,
        new_flow_limit: Some(VirtualService::NEW_FLOW_LIMIT),
        real_servers: real_servers
            .iter()
            .map(|(real, weight)| RealServer {
                address: real_server(number, *real).address,
                forwarding: Forwarding::DirectRouting,
                weight: Weight::new(*weight),
                upper_threshold: 0,
                lower_threshold: 0,
                checks: vec![Check {
                    timing: CheckTiming {
                        delay_loop: Duration::from_secs(6),
                        retry: 0,
                        delay_before_retry: Duration::from_secs(1),
                        rise: 1,
                    },
                    kind: CheckKind::Tcp {
                        target: SocketAddr::new(real_address(*real), 80),
                        connect_timeout: Duration::from_secs(1),
                    },
                }],
            })
            .collect(),
    }
}

/// An instance on `eth0` with the address 10.0.0.`last`.
pub(super) fn instance(virtual_router_id: u8, last: u8) -> VrrpInstance {
    VrrpInstance {
        name: format!("VI_{virtual_router_id}"),
        interface: "eth0".to_owned(),
        virtual_router_id: VirtualRouterId::new(virtual_router_id).expect("not 0"),
        version: Version::V2,
        priority: Priority::DEFAULT,
        advert_int: Interval::from_seconds(1).expect("not 0"),
        preempt: true,
        password: None,
        lease: true,
        virtual_addresses: vec![VirtualAddress {
            address: format!("10.0.0.{last}/24").parse().expect("an address"),
            device: None,
            label: None,
        }],
    }
}

/// The interface that everything is on.
pub(super) const ETH0: NetworkInterface = NetworkInterface {
    index: 2,
    mac: Some([2, 0, 0, 0, 0, 1]),
    up: true,
    vlan: None,
};

pub(super) fn neighbour(last: u8) -> Neighbour {
    Neighbour {
        interface: 2,
        source_mac: [2, 0, 0, 0, 0, 1],
        destination_mac: [2, 0, 0, 0, 1, last],
        is_gateway: false,
        source: None,
        mtu: 1500,
    }
}

/// Everything that the director's loop has, and the maps.
pub(super) struct World {
    pub(super) configuration: Configuration,
    pub(super) health: HashMap<RealServerId, Health>,
    pub(super) neighbours: Neighbours,
    pub(super) own: BTreeSet<IpAddr>,
    pub(super) interfaces: Interfaces,
    pub(super) leases: LeaseSlots,
    pub(super) plane: Plane,
    pub(super) planner: Planner,
    pub(super) quarantine: Quarantine,
    pub(super) windows: Windows,
    /// Who ever was given a slot under a generation.
    owners: HashMap<RealHandle, RealServerId>,
    connections: Connections,
}

impl World {
    /// A world with these services, whose real servers are all up and resolved, and one instance with their address.
    pub(super) fn new(virtual_services: Vec<VirtualService>) -> Self {
        let mut world = Self {
            configuration: Configuration {
                node: Node {
                    router_id: None,
                    control_socket: PathBuf::new(),
                    pin_dir: PathBuf::new(),
                    state_dir: PathBuf::new(),
                },
                dataplane: Dataplane {
                    interfaces: Vec::new(),
                    xdp_mode: XdpMode::Auto,
                    attach: Attach::OnMaster,
                    flow_table_size: 1024,
                    flow_names: true,
                    flow_timeouts: FlowTimeouts::IPVS,
                    sloppy_tcp: false,
                    expire_nodest_conn: true,
                    access: AccessLists::default(),
                },
                vrrp_instances: vec![instance(51, 3)],
                virtual_services,
            },
            health: HashMap::new(),
            neighbours: Neighbours::new(),
            own: BTreeSet::new(),
            interfaces: HashMap::from([("eth0".to_owned(), ETH0)]),
            leases: LeaseSlots::default(),
            plane: Plane::default(),
            planner: Planner::new(),
            quarantine: Quarantine::default(),
            windows: Windows::default(),
            owners: HashMap::new(),
            connections: Connections::default(),
        };
        world.assign_leases();
        for service in &world.configuration.virtual_services {
            for real_server in &service.real_servers {
                let id = RealServerId {
                    service: service.address,
                    address: real_server.address,
                };
                world.health.insert(id, Health::Up);
                world.neighbours.insert(real_server.address.ip(), neighbour(1));
            }
        }
        world
    }

    pub(super) fn assign_leases(&mut self) {
        self.leases = self
            .leases
            .assign(&self.plane, &self.configuration.vrrp_instances, &self.interfaces)
            .expect("there is room");
    }

    pub(super) fn inputs(&self) -> Inputs<'_> {
        Inputs {
            configuration: &self.configuration,
            health: &self.health,
            neighbours: &self.neighbours,
            own: &self.own,
            interfaces: &self.interfaces,
            leases: &self.leases,
            quarantine: &self.quarantine,
            windows: &self.windows,
        }
    }

    pub(super) fn set_health(&mut self, service: u16, real: u16, health: Health) {
        self.health.insert(real_server(service, real), health);
    }

    pub(super) fn slot(&self, service: u16, real: u16) -> Option<RealSlot> {
        let handles = self.plane.handles();
        Some(handles.get(&real_server(service, real))?.slot)
    }

    /// The numbers of the real servers in the schedule of a service.
    pub(super) fn schedule(&self, service: u16) -> Vec<u16> {
        let key = service_key(virtual_address(service));
        let slots = self.plane.schedule(&key).expect("the service is there");
        slots
            .iter()
            .map(|slot| {
                let [.., high, low] = self.plane.real(*slot).address.bytes;
                u16::from_be_bytes([high, low])
            })
            .collect()
    }

    /// Plans, and carries out at most `limit` operations, watching every step.
    pub(super) fn advance(&mut self, limit: usize) -> Plan {
        let desired = Desired::new(&self.inputs(), &self.plane);
        let plan = self.planner.plan(&self.plane, &desired);
        for operation in plan.operations.iter().take(limit) {
            self.watch(operation, &desired);
            self.plane.apply(operation);
            self.connections.follow(operation);
            self.schedule_connections();
            self.check_consistency();
        }
        self.windows = Windows::default();
        plan
    }

    /// The windows of all motions are over when the next plan is made, and these slots of theirs were seen in use.
    pub(super) fn end_windows(&mut self, seen: &[u32]) {
        self.windows = Windows::over(&self.plane);
        for service in self.plane.services.values().filter(|service| service.is_moving()) {
            for slot in seen {
                let bit = service.seen_elsewhere(slot % service.previous_length);
                let quarter = bit.mask.trailing_zeros() / 16;
                let place = bit.element * RingWord::SLOTS + quarter;
                self.plane.rings[place as usize] |= RingWord(bit.mask).slot(quarter);
            }
        }
    }

    /// Carries a whole plan out, after which there is nothing left to do.
    pub(super) fn settle(&mut self) -> Vec<Operation> {
        let plan = self.advance(usize::MAX);
        assert_eq!(plan.shortages, []);
        assert_eq!(
            self.advance(usize::MAX),
            Plan::default(),
            "a plan leaves nothing to do"
        );
        plan.operations
    }

    /// What must hold of an operation before it is carried out.
    fn watch(&mut self, operation: &Operation, desired: &Desired) {
        if let Operation::WriteRing { offset, slots } = operation {
            let end = offset + u32::try_from(slots.len()).expect("few slots");
            for service in self.plane.services.values() {
                assert!(
                    service.ring_length == 0
                        || service.ring_offset + service.ring_length <= *offset
                        || end <= service.ring_offset,
                    "a schedule in force is overwritten"
                );
            }
        }
        if let Operation::PutReal { slot, real } = operation
            && real.flags != 0
        {
            let wanted = desired.services.iter().map(|(key, service)| (key, service.index));
            let present = self
                .plane
                .services
                .iter()
                .map(|(key, service)| (key, service.index));
            let (key, _) = wanted
                .chain(present)
                .find(|(_, index)| *index == real.service)
                .expect("a real server has a service");
            let id = RealServerId {
                service: service_address(*key).expect("a known protocol"),
                address: SocketAddr::new(ip_address(real.address), real.port),
            };
            let handle = RealHandle {
                slot: *slot,
                generation: real.generation,
            };
            let owner = *self.owners.entry(handle).or_insert(id);
            assert_eq!(
                owner, id,
                "slot {slot} changed hands in generation {}",
                real.generation
            );
            assert!(real.generation > 0);
        }
    }

    /// What must hold at any moment, for the packet that arrives just then.
    fn check_consistency(&self) {
        let mut slices = Vec::new();
        let mut indices = HashSet::new();
        for (key, service) in &self.plane.services {
            assert!(indices.insert(service.index), "two services at {}", service.index);
            assert!(service.lease == NO_LEASE || self.plane.addresses.contains_key(&key.address));
            let named = service.slices().into_iter().filter(|(_, length)| *length > 0);
            slices.extend(named.map(|(offset, length)| (offset, offset + length)));
            let ring = |offset, length| self.plane.ring(offset, length).expect("the ring is there").iter();
            for slot in ring(service.previous_offset, service.previous_length) {
                let real = self.plane.real(real_slot(*slot));
                assert!(
                    real.is_configured(),
                    "slot {slot} held a slot of a ring and is given up"
                );
                assert_eq!(real.service, service.index, "slot {slot} is another service's");
            }
            let schedule = self.plane.schedule(key).expect("the schedule is there");
            let maglev = ring(service.maglev_offset, service.maglev_length)
                .copied()
                .map(real_slot);
            let schedule = schedule.into_iter().chain(maglev);
            for slot in schedule {
                let real = self.plane.real(slot);
                assert_eq!(real.service, service.index, "slot {slot} is another service's");
                assert_eq!(
                    real.flags & real_flags::USABLE,
                    real_flags::USABLE,
                    "slot {slot} of a schedule is not usable"
                );
            }
        }
        self.check_connections();
        for (id, handle) in self.plane.handles() {
            let owner = self.owners.get(&handle);
            assert!(
                owner.is_none_or(|owner| *owner == id),
                "{handle:?} passes for {id:?}"
            );
        }
        slices.sort_unstable();
        for pair in slices.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "schedules overlap: {pair:?}");
        }
    }
}
