//! Services that have several addresses, or several ports.

use std::net::{IpAddr, Ipv4Addr};

use lb_common::{NO_LEASE, PortsOwner, ServicePorts};

use super::*;
use crate::model::{Ports, Protocol, ServiceAddress, VirtualService};

fn on(last: u8, ports: Ports) -> ServiceAddress {
    ServiceAddress {
        ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)),
        ports,
        ..virtual_address(0)
    }
}

fn range(first: u16, last: u16) -> Ports {
    Ports::range(first, last).expect("the first is not after the last")
}

/// A service with these addresses, the lowest of which comes first, and two real servers.
fn service_on(addresses: &[ServiceAddress]) -> VirtualService {
    VirtualService {
        address: addresses[0],
        further_addresses: addresses[1..].to_vec(),
        real_servers: service(0, WeightedRoundRobin, &[(1, 1), (2, 1)]).real_servers,
        ..service(0, WeightedRoundRobin, &[])
    }
}

/// A world with these services, in force. (That all that was up is still up, the planner does not know.)
fn world_of(services: Vec<VirtualService>) -> World {
    let mut world = World::new(services);
    carry_out(&mut world);
    world
}

/// Plans, and carries all of that out; then nothing is left to do.
fn carry_out(world: &mut World) -> Vec<Operation> {
    let desired = Desired::new(&world.inputs(), &world.plane);
    let plan = world.planner.plan(&world.plane, &desired);
    assert_eq!(plan.shortages, []);
    for operation in &plan.operations {
        world.plane.apply(operation);
    }
    let desired = Desired::new(&world.inputs(), &world.plane);
    assert_eq!(world.planner.plan(&world.plane, &desired), Plan::default());
    plan.operations
}

/// Whose a port is, as the program finds out.
fn owner(world: &World, last: u8, port: u16) -> Option<PortsOwner> {
    let address = map_address(on(last, Ports::ALL).ip);
    let of_port = world.plane.ports.iter().filter(|(prefix, _)| {
        let free = ServicePorts::ONE_PORT - prefix.bits;
        let first = u16::from_be_bytes(prefix.ports.port);
        prefix.ports.address == address && u32::from(first) >> free == u32::from(port) >> free
    });
    let longest = of_port.max_by_key(|(prefix, _)| prefix.bits);
    longest.map(|(_, owner)| *owner)
}

fn index(world: &World, service: &VirtualService) -> u32 {
    world.plane.services[&service_key(service.address)].index
}

#[test]
fn a_port_is_the_narrowest_services() {
    let every = service_on(&[on(3, Ports::ALL)]);
    let wide = service_on(&[on(3, range(8_000, 9_000))]);
    // Its first block is one of the wide one's.
    let narrow = service_on(&[on(3, range(8_000, 8_010))]);
    for services in [
        [every.clone(), wide.clone(), narrow.clone()],
        [narrow.clone(), wide.clone(), every.clone()],
    ] {
        let world = world_of(services.to_vec());
        for (port, service) in [
            (0, &every),
            (7_999, &every),
            (8_000, &narrow),
            (8_010, &narrow),
            (8_011, &wide),
            (9_000, &wide),
            (9_001, &every),
            (u16::MAX, &every),
        ] {
            let found = owner(&world, 3, port).map(|owner| owner.service);
            assert_eq!(found, Some(index(&world, service)), "{port}");
        }
        assert_eq!(owner(&world, 4, 80), None);
    }
}

#[test]
fn a_service_on_one_port_of_one_address_needs_no_further_entry() {
    let world = three_servers();
    assert!(world.plane.ports.is_empty());
}

#[test]
fn each_address_of_a_service_has_its_own_lease() {
    let group = service_on(&[
        on(3, Ports::one(80)),
        on(4, Ports::one(80)),
        on(9, Ports::one(443)),
    ]);
    let mut world = World::new(vec![group.clone()]);
    world.configuration.vrrp_instances.push(instance(52, 4));
    world.assign_leases();
    carry_out(&mut world);
    let [first, second] = [0, 1].map(|number| {
        let instance = &world.configuration.vrrp_instances[number];
        world.leases.slot(instance).expect("it has a lease").get()
    });
    assert_eq!(world.plane.services[&service_key(group.address)].lease, first);
    let service = index(&world, &group);
    assert_eq!(owner(&world, 3, 80), None, "it is the service's own key");
    let owned = |lease| Some(PortsOwner { service, lease });
    assert_eq!(owner(&world, 4, 80), owned(second));
    assert_eq!(owner(&world, 9, 443), owned(NO_LEASE));
    let leases = [3, 4, 9].map(|last| world.plane.addresses[&map_address(on(last, Ports::ALL).ip)].lease);
    assert_eq!(leases, [first, second, NO_LEASE]);
}

/// The lowest address names a service: another one is another name, and nothing else changes.
#[test]
fn a_service_that_gets_another_name_stays_what_it_is() {
    let one = |last| on(last, Ports::one(80));
    let mut world = world_of(vec![service_on(&[one(3), one(4)])]);
    let reals = world.plane.reals.clone();
    for addresses in [
        vec![one(2), one(3), one(4)],
        vec![one(3), one(4)],
        vec![one(4)],
        vec![one(1), one(4), one(5)],
    ] {
        let service = service_on(&addresses);
        let services = vec![service.clone()];
        // What was known of its real servers, the maps tell under the new name.
        let seeds = world.plane.seeds(&services);
        assert_eq!(seeds.len(), 2);
        assert!(seeds.values().all(|seed| seed.health == Health::Up));
        world.health = seeds.iter().map(|(id, seed)| (*id, seed.health)).collect();
        world.configuration.virtual_services = services;
        let operations = carry_out(&mut world);
        assert_eq!(world.plane.reals, reals, "{addresses:?}");
        assert_eq!(world.plane.services.len(), 1);
        assert_eq!(index(&world, &service), 0);
        assert_eq!(world.plane.ports.len(), addresses.len() - 1);
        let is_clearing = |operation: &Operation| {
            matches!(
                operation,
                Operation::ClearServiceCounters { .. } | Operation::ClearRealCounters { .. }
            )
        };
        assert!(!operations.iter().any(is_clearing), "{operations:?}");
    }
    // Whoever has nothing in common with it is somebody else.
    world.configuration.virtual_services = vec![service_on(&[one(7)])];
    let seeds = world.plane.seeds(&world.configuration.virtual_services);
    assert!(seeds.is_empty());
}

/// Two services that lose and win an address: each keeps its own index.
#[test]
fn nobody_gets_the_index_of_a_service_that_is_there() {
    let one = |last| on(last, Ports::one(80));
    let mut world = world_of(vec![service_on(&[one(3), one(4)]), service_on(&[one(5), one(6)])]);
    let [first, second] = [one(3), one(5)].map(|address| world.plane.services[&service_key(address)].index);
    let services = vec![
        service_on(&[one(2), one(4), one(6)]),
        service_on(&[one(3)]),
        service_on(&[one(5)]),
    ];
    let indices = world.plane.indices(&services);
    assert_eq!(indices.get(&one(3)), Some(&first));
    assert_eq!(indices.get(&one(5)), Some(&second));
    assert_eq!(indices.get(&one(2)), None);
    world.configuration.virtual_services.clear();
    carry_out(&mut world);
    assert!(world.plane.ports.is_empty() && world.plane.services.is_empty());
}

#[test]
fn keys_of_several_ports_name_their_service() {
    for (ports, protocol) in [
        (Ports::one(80), Protocol::Tcp),
        (range(8_000, 8_100), Protocol::Udp),
        (range(1, u16::MAX), Protocol::Sctp),
        (Ports::ALL, Protocol::Sctp),
    ] {
        let address = ServiceAddress {
            protocol,
            ..on(3, ports)
        };
        assert_eq!(service_address(service_key(address)), Some(address));
    }
}
