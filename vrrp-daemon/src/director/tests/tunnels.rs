//! Real servers that are reached through tunnels.

use std::net::{IpAddr, Ipv4Addr};

use lb_common::TunnelSourceKey;

use super::*;
use crate::model::{Forwarding, Tunnel};

const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const KEY: TunnelSourceKey = TunnelSourceKey {
    interface: 2,
    ip_version: 4,
};

/// Of three real servers, the second is behind a gateway, and reached like this.
fn behind_a_gateway(forwarding: Forwarding) -> World {
    let mut service = service(0, WeightedRoundRobin, &[(1, 3), (2, 2), (3, 1)]);
    service.real_servers[1].forwarding = forwarding;
    let mut world = World::new(vec![service]);
    let gateway = Neighbour {
        is_gateway: true,
        source: Some(OWN),
        mtu: 1400,
        ..neighbour(9)
    };
    world.neighbours.insert(real_address(2), gateway);
    world
}

#[test]
fn a_tunnel_leads_through_a_gateway_and_direct_routing_does_not() {
    let mut world = behind_a_gateway(Forwarding::DirectRouting);
    world.settle();
    assert_eq!(world.schedule(0), [1, 1, 3, 1]);
    assert!(world.plane.tunnel_sources.is_empty());

    for (tunnel, port) in [(Tunnel::IpInIp, 0), (Tunnel::Gue { port: 6080 }, 6080)] {
        let mut world = behind_a_gateway(Forwarding::Tunnel(tunnel));
        world.settle();
        assert_eq!(world.schedule(0), [1, 2, 1, 3, 2, 1]);
        let real = world.plane.real(SLOT_1);
        assert_eq!(real.flags, real_flags::USABLE | real_flags::TUNNEL);
        assert_eq!((real.tunnel_port, real.mtu), (port, 1400));
        assert_eq!(real.destination_mac, neighbour(9).destination_mac);
        assert_eq!(world.plane.tunnel_sources, [(KEY, map_address(OWN))].into());
        let others = world.plane.real(RealSlot::new(0));
        assert_eq!(others.flags, real_flags::USABLE);
    }
}

#[test]
fn where_tunnels_begin_is_known_before_the_first_and_until_after_the_last() {
    let mut world = behind_a_gateway(Forwarding::Tunnel(Tunnel::IpInIp));
    let operations = world.settle();
    let position = |operations: &[Operation], wanted: &dyn Fn(&Operation) -> bool| {
        operations.iter().position(wanted).expect("it is in the plan")
    };
    let is_real = |operation: &Operation| matches!(operation, Operation::PutReal { slot: SLOT_1, .. });
    let begins = |operation: &Operation| matches!(operation, Operation::PutTunnelSource { .. });
    assert!(position(&operations, &begins) < position(&operations, &is_real));

    world.configuration.virtual_services[0].real_servers[1].forwarding = Forwarding::DirectRouting;
    let operations = world.settle();
    let ends = |operation: &Operation| matches!(operation, Operation::RemoveTunnelSource { key: KEY });
    assert!(position(&operations, &is_real) < position(&operations, &ends));
    assert!(world.plane.tunnel_sources.is_empty());
}

/// The way got narrower, or wider: one write.
#[test]
fn another_mtu_is_one_write() {
    let mut world = behind_a_gateway(Forwarding::Tunnel(Tunnel::IpInIp));
    world.settle();
    let neighbour = world.neighbours[&real_address(2)];
    world.neighbours.insert(
        real_address(2),
        Neighbour {
            mtu: 1300,
            ..neighbour
        },
    );
    let operations = world.settle();
    assert!(
        matches!(operations.as_slice(), [Operation::PutReal { slot: SLOT_1, real }] if real.mtu == 1300),
        "{operations:#?}"
    );
}

#[test]
fn no_frame_of_a_gateway_is_taken_for_a_directors() {
    let mut world = behind_a_gateway(Forwarding::Tunnel(Tunnel::IpInIp));
    world.own.insert(real_address(1));
    world.settle();
    let peers: Vec<_> = world.plane.peers.iter().map(|peer| peer.mac).collect();
    assert_eq!(peers, [neighbour(1).destination_mac]);
}
