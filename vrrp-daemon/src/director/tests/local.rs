//! Real servers that are this node itself.

use lb_common::{Peer, interface_flags, service_flags};

use super::*;

/// Of three real servers, the second is this node.
fn with_local() -> World {
    let mut world = three_servers();
    world.own.insert(real_address(2));
    world.neighbours.remove(&real_address(2));
    world.neighbours.insert(real_address(3), neighbour(3));
    world
}

fn peer(last: u8) -> Peer {
    Peer {
        interface: 2,
        mac: neighbour(last).destination_mac,
        _reserved: [0; 2],
    }
}

fn flags_of_service(world: &World) -> u32 {
    world.plane.services[&service_key(virtual_address(0))].flags
}

#[test]
fn this_node_needs_no_neighbour_to_be_scheduled() {
    let mut world = with_local();
    world.settle();
    assert_eq!(world.schedule(0), [1, 2, 1, 3, 2, 1]);
    let real = world.plane.real(SLOT_1);
    assert_eq!(real.flags, real_flags::USABLE | real_flags::LOCAL);
    assert_eq!(real.destination_mac, [0; 6]);
}

#[test]
fn its_service_and_the_other_real_servers_are_marked() {
    let mut world = with_local();
    world.settle();
    assert_eq!(flags_of_service(&world), service_flags::LOCAL);
    assert_eq!(world.plane.peers, [peer(1), peer(3)].into());
    let flags = |world: &World| world.plane.interfaces[&ETH0.index].flags;
    assert_eq!(flags(&world), interface_flags::KNOWN | interface_flags::HAS_PEERS);

    // What another director sends here is none of this one's business, whether the local server is well or not.
    world.set_health(0, 2, Health::Down);
    world.settle();
    assert_eq!(flags_of_service(&world), 0);
    assert_eq!(world.plane.peers, [peer(1), peer(3)].into());

    world.own.clear();
    world.settle();
    assert_eq!(world.plane.peers, [].into());
    assert_eq!(flags(&world), interface_flags::KNOWN);
}

#[test]
fn peers_are_there_before_an_interface_says_so_and_until_it_does_not() {
    let mut world = with_local();
    let position = |operations: &[Operation], wanted: fn(&Operation) -> bool| {
        operations.iter().position(wanted).expect("it is in the plan")
    };
    let operations = world.settle();
    let put = position(&operations, |operation| {
        matches!(operation, Operation::PutPeer { .. })
    });
    let marked = position(&operations, |operation| {
        matches!(operation, Operation::PutInterface { .. })
    });
    assert!(put < marked, "{operations:#?}");

    world.own.clear();
    let operations = world.settle();
    let unmarked = position(&operations, |operation| {
        matches!(operation, Operation::PutInterface { .. })
    });
    let removed = position(&operations, |operation| {
        matches!(operation, Operation::RemovePeer { .. })
    });
    assert!(unmarked < removed, "{operations:#?}");
}
