//! *ports*: services on several ports and addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lab::packet::{ACK, Flags, Packet, RST, SYN};
use lb_common::{
    FlowKey4, NO_LEASE, PortsOwner, Service, ServiceKey, Verdict, flow_state, lease_state, protocol,
};

use crate::world::{
    LEASE, REALS, TCP4, TCP6, UDP4, VIP, VIP6, World, address, client, client6, key4, lease, service,
    service_key,
};

/// A further address, which another lease guards.
const OTHER_VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 101);
const OTHER_LEASE: u32 = LEASE + 1;
/// A service of its own, beside those of the world.
const WIDE: u32 = 4;
const WIDE_REALS: [u32; 2] = [21, 22];

fn to(ip: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into(), port)
}

fn segment(client_port: u16, to: SocketAddr, flags: Flags) -> Vec<u8> {
    let from = if to.is_ipv4() {
        client(client_port)
    } else {
        client6(client_port)
    };
    Packet::tcp(from, to, flags).build()
}

/// A service with `key` and two real servers, which take turns.
fn put_wide(world: &mut World, key: ServiceKey) {
    for slot in WIDE_REALS {
        world.put_real(slot, WIDE);
    }
    let service = Service {
        index: WIDE,
        ring_offset: 10_000,
        ring_length: 2,
        lease: LEASE,
        ..Service::default()
    };
    world.dataplane.put_service(key, service, &WIDE_REALS);
}

fn owner(lease: u32) -> PortsOwner {
    PortsOwner { service: WIDE, lease }
}

/// TCP on the ports 8000 to 8063 of the virtual address, as one block.
fn range() -> World {
    let mut world = World::new();
    let key = ServiceKey {
        last_port: 8_063,
        ..service_key(VIP.into(), 8_000, protocol::TCP)
    };
    put_wide(&mut world, key);
    world.dataplane.put_ports(key, 10, owner(LEASE));
    world
}

/// TCP on every port of the virtual address `ip`.
fn every_port(ip: IpAddr) -> World {
    let mut world = World::new();
    let key = ServiceKey {
        last_port: u16::MAX,
        ..service_key(ip, 0, protocol::TCP)
    };
    put_wide(&mut world, key);
    world.dataplane.put_ports(key, 0, owner(LEASE));
    world
}

/// TCP on port 80 of a further address than the one of [`TCP4`].
fn group() -> World {
    let mut world = World::new();
    world
        .dataplane
        .put_address(address(OTHER_VIP.into()), OTHER_LEASE);
    let key = service_key(OTHER_VIP.into(), 80, protocol::TCP);
    let owner = PortsOwner {
        service: TCP4,
        lease: OTHER_LEASE,
    };
    world.dataplane.put_ports(key, 16, owner);
    world
}

/// One port after another, with one schedule; and each connection keeps its real server.
#[test]
fn a_range_of_ports_is_one_service() {
    let mut world = range();
    for (port, slot) in (8_000..8_064).zip(WIDE_REALS.into_iter().cycle()) {
        let to = to(VIP, port);
        world.expect_forwarded(&segment(1, to, SYN), Verdict::ForwardNew, slot);
        for flags in [ACK, ACK, RST] {
            world.expect_forwarded(&segment(1, to, flags), Verdict::ForwardFlow, slot);
        }
    }
    for port in [7_999, 8_064] {
        world.expect(&segment(1, to(VIP, port), SYN), Verdict::PassNoService);
    }
    let other_protocol = Packet::udp(client(1), to(VIP, 8_000)).build();
    world.expect(&other_protocol, Verdict::PassNoService);
    let counted = world.dataplane.service_counters(WIDE);
    assert_eq!((counted.connections, counted.packets), (64, 256));
}

#[test]
fn every_port_of_an_address_may_be_one_service() {
    for (ip, narrow, slot) in [
        (VIP.into(), TCP4, REALS[0]),
        (VIP6.into(), TCP6, World::slot(TCP6, 0)),
    ] {
        let mut world = every_port(ip);
        for (port, slot) in [1, 22, 443, 65_535]
            .into_iter()
            .zip(WIDE_REALS.into_iter().cycle())
        {
            world.expect_forwarded(&segment(7, to(ip, port), SYN), Verdict::ForwardNew, slot);
            world.expect_forwarded(&segment(7, to(ip, port), ACK), Verdict::ForwardFlow, slot);
        }
        // What has a service of its own is that one's.
        world.expect_forwarded(&segment(7, to(ip, 80), SYN), Verdict::ForwardNew, slot);
        world.expect_forwarded(&segment(7, to(ip, 80), ACK), Verdict::ForwardFlow, slot);
        assert_eq!(world.dataplane.service_counters(WIDE).packets, 8);
        assert_eq!(world.dataplane.service_counters(narrow).packets, 2);
    }
}

#[test]
fn the_narrowest_range_has_a_port() {
    let mut world = every_port(VIP.into());
    let range = service_key(VIP.into(), 8_000, protocol::TCP);
    let narrower = PortsOwner {
        service: TCP4,
        lease: LEASE,
    };
    world.dataplane.put_ports(range, 13, narrower);
    for (port, slot) in [
        (7_999, WIDE_REALS[0]),
        (8_000, REALS[0]),
        (8_007, REALS[0]),
        (8_008, WIDE_REALS[1]),
    ] {
        world.expect_forwarded(&segment(1, to(VIP, port), SYN), Verdict::ForwardNew, slot);
        world.expect_forwarded(&segment(1, to(VIP, port), ACK), Verdict::ForwardFlow, slot);
    }
}

/// Each address has its own lease, also where a connection is known.
#[test]
fn several_addresses_are_one_service_and_each_has_its_lease() {
    let mut world = group();
    let other = to(OTHER_VIP, 80);
    // No lease is in the other slot: this node is its backup.
    world.expect(&segment(1, other, SYN), Verdict::PassNotMaster);
    world
        .dataplane
        .put_lease(OTHER_LEASE, lease(lease_state::HELD, 0));
    for flags in [SYN, ACK] {
        let verdict = if flags == SYN {
            Verdict::ForwardNew
        } else {
            Verdict::ForwardFlow
        };
        world.expect_forwarded(&segment(1, other, flags), verdict, REALS[0]);
        world.expect_forwarded(&segment(1, service(), flags), verdict, REALS[0]);
    }
    let counted = world.dataplane.service_counters(TCP4);
    assert_eq!((counted.connections, counted.packets), (2, 4));

    world
        .dataplane
        .put_lease(OTHER_LEASE, lease(lease_state::VACANT, 0));
    world.expect(&segment(1, other, ACK), Verdict::PassNotMaster);
    world.expect_forwarded(&segment(1, service(), ACK), Verdict::ForwardFlow, REALS[0]);
}

#[test]
fn what_cannot_go_on_in_a_service_on_several_ports_is_reset() {
    let mut world = range();
    let to = to(VIP, 8_001);
    let fate = world.dataplane.send(&segment(1, to, ACK));
    assert_eq!(fate.verdict, Verdict::ResetUnknownFlow);
    world.expect_forwarded(&segment(1, to, SYN), Verdict::ForwardNew, WIDE_REALS[0]);
    world.expect_forwarded(&segment(1, to, ACK), Verdict::ForwardFlow, WIDE_REALS[0]);
    let flow = FlowKey4 {
        virtual_port: 8_001,
        ..key4(1)
    };
    let word = world.dataplane.flow(&flow).expect("it is remembered");
    assert_eq!(
        (word.state(), word.slot()),
        (flow_state::ESTABLISHED, WIDE_REALS[0])
    );
    world.change_real(WIDE_REALS[0], |real| real.flags = 0);
    let fate = world.dataplane.send(&segment(1, to, ACK));
    assert_eq!(fate.verdict, Verdict::ResetRealServerGone);
}

/// A word that names the real server of another service is nobody's here: the packet's connection is placed by a hash and
/// not remembered.
#[test]
fn a_word_of_another_service_is_foreign_to_a_service_on_several_ports() {
    let mut world = range();
    let to = to(VIP, 8_002);
    let flow = FlowKey4 {
        virtual_port: 8_002,
        ..key4(9)
    };
    world.dataplane.put_flow(
        &flow,
        flow_state::ESTABLISHED,
        World::slot(UDP4, 0),
        lab::dataplane::boot_now(),
    );
    world.expect_forwarded(&segment(9, to, SYN), Verdict::ForwardPlaced, WIDE_REALS[1]);
    let word = world
        .dataplane
        .flow(&flow)
        .expect("the other one is not disturbed");
    assert_eq!(
        (word.state(), word.slot()),
        (flow_state::ESTABLISHED, World::slot(UDP4, 0))
    );
}

/// Between two steps of a change: the ports are said to be of a service that is not there yet.
#[test]
fn ports_of_no_service_are_passed() {
    let mut world = World::new();
    let key = service_key(Ipv6Addr::LOCALHOST.into(), 0, protocol::TCP);
    world.dataplane.put_ports(
        ServiceKey {
            address: address(VIP.into()),
            port: 9_000,
            ..key
        },
        16,
        PortsOwner {
            service: 99,
            lease: NO_LEASE,
        },
    );
    world.expect(&segment(1, to(VIP, 9_000), SYN), Verdict::PassNoService);
}
