//! *frame*: only what was sent to this node is ours.

use std::net::{Ipv4Addr, SocketAddr};

use lab::dataplane::INGRESS;
use lab::packet::{ACK, DIRECTOR_MAC, Packet, SYN};
use lb_common::{Address, Interface, Verdict, interface_flags, lease_state};

use crate::world::{
    REALS, SECOND, TCP6, UDP4, VRID, World, client, client6, datagram_service, lease, service, service6,
};

const BROADCAST: [u8; 6] = [0xff; 6];
const MULTICAST: [u8; 6] = [0x01, 0, 0x5e, 0, 0, 100];
const ANOTHER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x03];

fn to(mac: [u8; 6], packet: &Packet) -> Vec<u8> {
    let mut frame = packet.build();
    frame[..6].copy_from_slice(&mac);
    frame
}

/// A SYN, a stray segment that would be reset, a SYN over IPv6, a later fragment, something malformed.
fn packets() -> [Packet; 5] {
    [
        Packet::tcp(client(1), service(), SYN),
        Packet::tcp(client(2), service(), ACK),
        Packet::tcp(client6(1), service6(), SYN),
        Packet::udp(client(1), datagram_service())
            .payload(&[2; 64])
            .fragment(8, false, 7),
        Packet::tcp(client(3), service(), SYN).hop_limit(1),
    ]
}

#[test]
fn frames_for_others_and_for_all_pass_and_are_answered_by_nobody() {
    let mut world = World::new();
    for mac in [BROADCAST, MULTICAST, ANOTHER] {
        for packet in packets() {
            world.expect(&to(mac, &packet), Verdict::PassOtherHost);
        }
    }
    assert_eq!(world.dataplane.service_counters(0).connections, 0);
    // Nor does a lease that has run out stop what a bridge carries to another host.
    world.lease(lease(lease_state::HELD, 6 * SECOND));
    for packet in packets() {
        world.expect(&to(ANOTHER, &packet), Verdict::PassOtherHost);
    }
}

#[test]
fn a_known_connection_goes_on_in_frames_to_us_only() {
    let mut world = World::new();
    let ack = Packet::tcp(client(1), service(), ACK);
    world.expect_forwarded(
        &Packet::tcp(client(1), service(), SYN).build(),
        Verdict::ForwardNew,
        REALS[0],
    );
    world.expect(&to(ANOTHER, &ack), Verdict::PassOtherHost);
    world.expect_forwarded(&ack.build(), Verdict::ForwardFlow, REALS[0]);
}

#[test]
fn frames_to_a_virtual_routers_own_address_are_ours() {
    let mut world = World::new();
    let syn4 = Packet::tcp(client(1), service(), SYN);
    let syn6 = Packet::tcp(client6(1), service6(), SYN);
    let virtual_router = |family, id| [0, 0, 0x5e, 0, family, id];
    world.expect_forwarded(&to(virtual_router(1, VRID), &syn4), Verdict::ForwardNew, REALS[0]);
    world.expect_forwarded(
        &to(virtual_router(2, VRID), &syn6),
        Verdict::ForwardNew,
        World::slot(TCP6, 0),
    );
    for foreign in [
        virtual_router(1, VRID + 1),
        virtual_router(3, VRID),
        [0, 1, 0x5e, 0, 1, VRID],
    ] {
        world.expect(&to(foreign, &syn4), Verdict::PassOtherHost);
    }
}

#[test]
fn on_an_interface_that_the_daemon_has_not_told_of_every_frame_is_ours() {
    let mut world = World::new();
    let datagram = Packet::udp(client(1), datagram_service());
    world.dataplane.put_interface(INGRESS, Interface::default());
    world.expect_forwarded(&to(ANOTHER, &datagram), Verdict::ForwardNew, World::slot(UDP4, 0));
    let moved = Interface {
        mac: ANOTHER,
        flags: interface_flags::KNOWN,
    };
    world.dataplane.put_interface(INGRESS, moved);
    world.expect_forwarded(
        &to(ANOTHER, &datagram),
        Verdict::ForwardFlow,
        World::slot(UDP4, 0),
    );
    world.expect(&to(DIRECTOR_MAC, &datagram), Verdict::PassOtherHost);
}

/// The filter in front of the addresses lets some others through; they are looked up.
#[test]
fn an_address_that_shares_its_bit_with_a_virtual_one_is_not_ours() {
    let mut world = World::new();
    let SocketAddr::V4(service) = service() else {
        panic!("the service is an IPv4 one");
    };
    let bit = Address::v4(service.ip().octets()).filter_bit();
    let other = (1..1 << 24)
        .map(|host| Ipv4Addr::from_bits(10 << 24 | host))
        .find(|other| other != service.ip() && Address::v4(other.octets()).filter_bit() == bit)
        .expect("there are 256 addresses for each bit");
    let syn = Packet::tcp(client(1), SocketAddr::from((other, service.port())), SYN).build();
    world.expect(&syn, Verdict::PassNotOurs);
}
