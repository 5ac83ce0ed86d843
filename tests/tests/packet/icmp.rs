//! *icmp*: errors about our connections reach the real server that they concern.

use std::net::{IpAddr, Ipv4Addr};

use lab::packet::{ACK, Packet, SYN, icmp};
use lb_common::{Verdict, real_flags};

use crate::world::{
    REALS, TCP6, UDP4, VIP, VIP6, World, client, client6, datagram_service, key4, service, service6,
};

const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// What the real server sent to the client, without the link-layer header.
fn answer(port: u16) -> Vec<u8> {
    Packet::tcp(service(), client(port), ACK)
        .payload(&[7; 1400])
        .build()[14..]
        .to_vec()
}

/// A router's "fragmentation needed" (RFC 1191) about `quoted`.
fn too_big(quoted: &[u8]) -> Packet {
    let message = icmp(
        3,
        4,
        [0, 0, 1400_u16.to_be_bytes()[0], 1400_u16.to_be_bytes()[1]],
        quoted,
    );
    Packet::other(ROUTER, IpAddr::V4(VIP), 1, message)
}

/// A router's "packet too big" (RFC 4443, section 3.2) about `quoted`.
fn too_big6(quoted: &[u8]) -> Packet {
    let message = icmp(2, 0, 1400_u32.to_be_bytes(), quoted);
    Packet::other("2001:db8::1".parse().unwrap(), IpAddr::V6(VIP6), 58, message)
}

#[test]
fn an_error_about_a_connection_goes_to_its_real_server() {
    let mut world = World::new();
    world.send(&Packet::tcp(client(1), service(), SYN));
    let nascent = world.dataplane.flow(&key4(1));
    // Nascent, and then established; the whole packet quoted, and eight bytes of its payload.
    for flags in [SYN, ACK] {
        world.send(&Packet::tcp(client(1), service(), flags));
        for quoted in [&answer(1)[..], &answer(1)[..28]] {
            world.expect_forwarded(&too_big(quoted).build(), Verdict::ForwardIcmpError, REALS[0]);
        }
        if flags == SYN {
            assert_eq!(world.dataplane.flow(&key4(1)), nascent);
        }
    }
    let with_options = Packet::tcp(service(), client(1), ACK).options(&[1; 12]).build();
    world.expect_forwarded(
        &too_big(&with_options[14..]).build(),
        Verdict::ForwardIcmpError,
        REALS[0],
    );
}

#[test]
fn so_does_one_about_a_datagram_and_one_in_ipv6() {
    let mut world = World::new();
    world.send(&Packet::udp(client(1), datagram_service()));
    let quoted = Packet::udp(datagram_service(), client(1)).build();
    let unreachable = icmp(3, 3, [0; 4], &quoted[14..]);
    let packet = Packet::other(client(0).ip(), IpAddr::V4(VIP), 1, unreachable);
    world.expect_forwarded(&packet.build(), Verdict::ForwardIcmpError, World::slot(UDP4, 0));

    world.send(&Packet::tcp(client6(1), service6(), SYN));
    let quoted = Packet::tcp(service6(), client6(1), ACK)
        .payload(&[7; 1200])
        .build();
    let packet = too_big6(&quoted[14..]);
    world.expect_forwarded(&packet.build(), Verdict::ForwardIcmpError, World::slot(TCP6, 0));
}

#[test]
fn an_error_about_a_fragment_or_with_extension_headers_in_ipv6_finds_its_connection() {
    let mut world = World::new();
    world.send(&Packet::tcp(client6(1), service6(), SYN));
    let answer = || Packet::tcp(service6(), client6(1), ACK).payload(&[7; 600]);
    let options = [0, 1, 4, 0, 0, 0, 0];
    let found = [
        answer().fragment(0, true, 77),
        answer().extension(60, &options),
        answer().extension(0, &options).fragment(0, true, 77),
    ];
    for packet in found {
        println!("{packet:?}");
        let error = too_big6(&packet.build()[14..]);
        world.expect_forwarded(&error.build(), Verdict::ForwardIcmpError, World::slot(TCP6, 0));
    }
    // A later fragment tells no ports.
    let later = answer().fragment(8, false, 77);
    world.expect(&too_big6(&later.build()[14..]).build(), Verdict::PassNoService);
}

#[test]
fn an_error_about_anything_else_is_the_kernels() {
    let mut world = World::new();
    world.send(&Packet::tcp(client(1), service(), SYN));
    world.send(&Packet::tcp(client6(1), service6(), SYN));
    let other_service = Packet::tcp("10.0.0.100:22".parse().unwrap(), client(1), ACK).build();
    let other_source = Packet::tcp("10.0.0.7:80".parse().unwrap(), client(1), ACK).build();
    let later_fragment = Packet::udp(service(), client(1))
        .fragment(8, false, 1)
        .payload(&[0; 16])
        .build();
    let echo = icmp(8, 0, [0; 4], &answer(1));
    for packet in [
        too_big(&answer(2)),
        too_big(&other_service[14..]),
        too_big(&other_source[14..]),
        too_big(&later_fragment[14..]),
        Packet::other(ROUTER, IpAddr::V4(VIP), 1, echo),
        too_big6(&Packet::tcp(service6(), client6(2), ACK).build()[14..]),
    ] {
        println!("{packet:?}");
        world.expect(&packet.build(), Verdict::PassNoService);
    }
    // However short the quotation is.
    let answer = answer(1);
    for length in 0..24 {
        world.expect(&too_big(&answer[..length]).build(), Verdict::PassNoService);
    }
    world.change_real(REALS[0], |real| real.flags &= !real_flags::UP);
    world.expect(&too_big(&answer).build(), Verdict::PassNoService);
}
