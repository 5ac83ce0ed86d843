//! *forward/tunnel*: packets go inside of others to real servers that may be behind a router.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{Ipv4Header, Ipv6Header};
use lab::dataplane::{Action, Fate, INGRESS};
use lab::packet::{ACK, CUSTOMER_TAG, FIN_ACK, Packet, SERVICE_TAG, SYN, icmp};
use lb_common::{Real, TunnelSourceKey, Verdict, protocol, real_flags};

use crate::unreachable::assert_error;
use crate::world::{
    CLIENT, OTHER_INTERFACE, OWN_MAC, REALS, TCP4, TCP6, UDP4, UDP6, VIP, World, address, client, client6,
    datagram_service, datagram_service6, mac, one_hop_less, service, service6,
};

/// The real server, behind a router, and the director's own address, of each IP version.
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);
const SERVER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x11);
const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OWN6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const GUE: u16 = 6080;
const MTU: u16 = 1500;

const TOO_BIG: [(u8, u8); 2] = [(3, 4), (2, 0)];

/// A tunnel to the first real server of each service.
fn tunnels(server: IpAddr, port: u16) -> World {
    let mut world = World::new();
    for interface in [INGRESS, OTHER_INTERFACE] {
        for (ip_version, source) in [(4, IpAddr::V4(OWN)), (6, IpAddr::V6(OWN6))] {
            let key = TunnelSourceKey {
                interface,
                ip_version,
            };
            world.dataplane.put_tunnel_source(key, address(source));
        }
    }
    for index in [TCP4, UDP4, TCP6, UDP6] {
        change(&mut world, World::slot(index, 0), |real| {
            real.flags |= real_flags::TUNNEL;
            real.address = address(server);
            real.tunnel_port = port;
            real.mtu = MTU;
        });
    }
    world
}

fn change(world: &mut World, slot: u32, change: impl FnOnce(&mut Real)) {
    world.change_real(slot, change);
}

fn ways() -> [(IpAddr, u16); 4] {
    [
        (SERVER.into(), 0),
        (SERVER6.into(), 0),
        (SERVER.into(), GUE),
        (SERVER6.into(), GUE),
    ]
}

/// How much longer a packet becomes.
fn room((server, port): (IpAddr, u16)) -> usize {
    (if server.is_ipv4() { 20 } else { 40 }) + (if port == 0 { 0 } else { 12 })
}

/// Where the IP header begins.
fn network(frame: &[u8]) -> usize {
    let tags = frame[12..]
        .chunks(4)
        .take_while(|tag| tag[..2] != [8, 0] && tag[..2] != [0x86, 0xdd]);
    14 + 4 * tags.count()
}

/// What must have become of `frame`: nothing but a hop less, inside of a packet to the real server. Returns the source
/// port of a tunnel by UDP.
#[track_caller]
fn assert_tunnelled(fate: &Fate, frame: &[u8], way: (IpAddr, u16), verdict: Verdict, slot: u32) -> u16 {
    assert_eq!((fate.verdict, fate.action), (verdict, Action::Transmit));
    assert_eq!(fate.frame[..6], mac(slot));
    assert_eq!(fate.frame[6..12], OWN_MAC);
    let network = network(frame);
    assert_eq!(fate.frame[12..network - 2], frame[12..network - 2], "tags stay");
    let inner = &one_hop_less(frame)[network..];
    let (marks, hops) = match inner[0] >> 4 {
        4 => (inner[1], inner[8]),
        _ => (inner[0] << 4 | inner[1] >> 4, inner[7]),
    };
    let is_v4 = inner[0] >> 4 == 4;
    let length = match is_v4 {
        true => usize::from(u16::from_be_bytes([inner[2], inner[3]])),
        false => 40 + usize::from(u16::from_be_bytes([inner[4], inner[5]])),
    };
    let ether_type = &fate.frame[network - 2..network];
    let outer = &fate.frame[network..];
    let (next, rest) = match way.0 {
        IpAddr::V4(server) => {
            assert_eq!(ether_type, [8, 0]);
            let (header, rest) = Ipv4Header::from_slice(outer).unwrap();
            assert_eq!(
                (header.source, header.destination),
                (OWN.octets(), server.octets())
            );
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            assert!(header.dont_fragment && !header.more_fragments);
            assert_eq!((outer[1], header.time_to_live), (marks, hops));
            assert_eq!(usize::from(header.total_len), length + room(way));
            (header.protocol.0, rest)
        }
        IpAddr::V6(server) => {
            assert_eq!(ether_type, [0x86, 0xdd]);
            let (header, rest) = Ipv6Header::from_slice(outer).unwrap();
            assert_eq!(
                (header.source, header.destination),
                (OWN6.octets(), server.octets())
            );
            assert_eq!((header.traffic_class, header.hop_limit), (marks, hops));
            assert_eq!(usize::from(header.payload_length), length + room(way) - 40);
            (header.next_header.0, rest)
        }
    };
    let number = if is_v4 { protocol::IPV4 } else { protocol::IPV6 };
    if way.1 == 0 {
        assert_eq!(next, number);
        assert!(rest == inner, "the packet is inside");
        return 0;
    }
    assert_eq!(next, protocol::UDP);
    let half = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
    assert_eq!((half(2), usize::from(half(4)), half(6)), (way.1, length + 12, 0));
    assert_eq!(rest[8..12], [0, number, 0, 0], "GUE");
    assert!(&rest[12..] == inner, "the packet is inside");
    assert!(half(0) >= 0xc000);
    half(0)
}

#[test]
fn packets_go_inside_of_others_in_every_combination_of_versions() {
    for way in ways() {
        println!("{way:?}");
        let mut world = tunnels(way.0, way.1);
        let packets = [
            (Packet::tcp(client(1), service(), SYN), TCP4),
            (Packet::tcp(client(2), service(), SYN).options(&[1; 40]), TCP4),
            (
                Packet::tcp(client(3), service(), SYN).tagged(CUSTOMER_TAG, 7),
                TCP4,
            ),
            (Packet::tcp(client(4), service(), SYN).padded(6), TCP4),
            (
                Packet::udp(client(1), datagram_service()).payload(&[7; 999]),
                UDP4,
            ),
            (Packet::tcp(client6(1), service6(), SYN), TCP6),
            (
                Packet::udp(client6(1), datagram_service6())
                    .payload(&[7; 998])
                    .tagged(SERVICE_TAG, 7)
                    .tagged(CUSTOMER_TAG, 8),
                UDP6,
            ),
        ];
        for (packet, index) in packets {
            let frame = packet.build();
            let slot = World::slot(index, 0);
            let fate = world.dataplane.send(&frame);
            assert_tunnelled(&fate, &frame, way, Verdict::ForwardNew, slot);
        }
    }
}

#[test]
fn a_connection_goes_on_in_its_tunnel_and_is_counted_and_named() {
    for way in ways() {
        let mut world = tunnels(way.0, way.1);
        let mut ports = Vec::new();
        let mut bytes = 0;
        for flags in [SYN, ACK, ACK, FIN_ACK] {
            let frame = Packet::tcp(client(4711), service(), flags).build();
            bytes += frame.len() as u64 - 14;
            let verdict = if flags == SYN {
                Verdict::ForwardNew
            } else {
                Verdict::ForwardFlow
            };
            let fate = world.dataplane.send(&frame);
            ports.push(assert_tunnelled(&fate, &frame, way, verdict, REALS[0]));
        }
        ports.dedup();
        assert_eq!(ports.len(), 1, "a connection stays in order");
        let counted = world.dataplane.real_counters(REALS[0]);
        assert_eq!(
            (counted.connections, counted.packets, counted.bytes),
            (1, 4, bytes)
        );
        let name = world.dataplane.flow_name(&crate::world::key4(4711)).unwrap();
        assert_eq!(name.client_port, 4711);
    }
}

#[test]
fn connections_are_spread_over_the_source_ports_of_gue() {
    let way = (SERVER.into(), GUE);
    let mut world = tunnels(way.0, way.1);
    let mut ports: Vec<u16> = (1..=100)
        .map(|port| {
            let frame = Packet::tcp(client(port), service(), SYN).build();
            let fate = world.dataplane.send(&frame);
            assert_tunnelled(&fate, &frame, way, Verdict::ForwardNew, REALS[0])
        })
        .collect();
    ports.sort_unstable();
    ports.dedup();
    assert!(ports.len() > 90, "{ports:?}");
}

#[test]
fn what_follows_a_connection_follows_it_through_the_tunnel() {
    let way = (SERVER.into(), 0);
    let mut world = tunnels(way.0, way.1);
    let slot = World::slot(UDP4, 0);
    let datagram = || Packet::udp(client(1), datagram_service());
    let first = datagram().payload(&[1; 1400]).fragment(0, true, 7).build();
    let later = datagram().payload(&[2; 600]).fragment(176, false, 7).build();
    for (frame, verdict) in [
        (&first, Verdict::ForwardNew),
        (&later, Verdict::ForwardFragment),
        (&first, Verdict::ForwardFlow),
        (&later, Verdict::ForwardFragment),
    ] {
        let fate = world.dataplane.send(frame);
        assert_tunnelled(&fate, frame, way, verdict, slot);
    }
    let answer = Packet::udp(datagram_service(), client(1)).build();
    let error = icmp(3, 1, [0; 4], &answer[14..]);
    let frame = Packet::other(CLIENT.into(), VIP.into(), protocol::ICMP, error).build();
    let fate = world.dataplane.send(&frame);
    assert_tunnelled(&fate, &frame, way, Verdict::ForwardIcmpError, slot);
}

/// A datagram that is `length` bytes long from its IP header on.
fn datagram(is_v4: bool, length: usize) -> Packet {
    match is_v4 {
        true => Packet::udp(client(1), datagram_service()).payload(&vec![7; length - 28]),
        false => Packet::udp(client6(1), datagram_service6()).payload(&vec![7; length - 48]),
    }
}

#[test]
fn a_packet_that_does_not_fit_is_answered_with_how_long_it_may_be() {
    for way in ways() {
        for is_v4 in [true, false] {
            println!("{way:?} {is_v4}");
            let mut world = tunnels(way.0, way.1);
            let slot = World::slot(if is_v4 { UDP4 } else { UDP6 }, 0);
            let fits = usize::from(MTU) - room(way);
            let frame = datagram(is_v4, fits).build();
            let fate = world.dataplane.send(&frame);
            assert_tunnelled(&fate, &frame, way, Verdict::ForwardNew, slot);

            for length in [fits + 1, usize::from(MTU)] {
                let frame = datagram(is_v4, length).build();
                let fate = world.dataplane.send(&frame);
                assert_error(&fate, &frame, Verdict::AnswerTooBig, TOO_BIG);
                let mtu = network(&frame) + if is_v4 { 20 } else { 40 } + 4;
                assert_eq!(fate.frame[mtu..mtu + 4], (fits as u32).to_be_bytes());
            }
            assert_eq!(world.dataplane.real_counters(slot).packets, 1);
        }
    }
}

/// IPv6 takes 1280 bytes everywhere: who is told less does not send less.
#[test]
fn nobody_is_told_less_than_every_path_takes() {
    let way = (SERVER.into(), 0);
    let mut world = tunnels(way.0, way.1);
    change(&mut world, World::slot(UDP6, 0), |real| real.mtu = 1280);
    let frame = datagram(false, 1300).build();
    let fate = world.dataplane.send(&frame);
    assert_error(&fate, &frame, Verdict::AnswerTooBig, TOO_BIG);
    assert_eq!(fate.frame[14 + 44..14 + 48], 1280_u32.to_be_bytes());
    world.expect(&datagram(false, 1270).build(), Verdict::DropTooBig);
}

#[test]
fn no_error_answers_an_error_or_a_later_fragment_that_is_too_long() {
    let mut world = tunnels(SERVER.into(), 0);
    let fragment = |offset, more| {
        let datagram = Packet::udp(client(1), datagram_service());
        datagram.payload(&[1; 1400]).fragment(offset, more, 7).build()
    };
    let fate = world.dataplane.send(&fragment(0, true));
    assert_eq!(fate.verdict, Verdict::ForwardNew);
    change(&mut world, World::slot(UDP4, 0), |real| real.mtu = 1400);
    world.expect(&fragment(176, false), Verdict::DropTooBig);
    let answer = Packet::udp(datagram_service(), client(1))
        .payload(&[7; 1400])
        .build();
    let error = icmp(3, 1, [0; 4], &answer[14..]);
    let frame = Packet::other(CLIENT.into(), VIP.into(), protocol::ICMP, error).build();
    world.expect(&frame, Verdict::DropTooBig);
}

#[test]
fn a_service_mixes_tunnels_and_direct_routing() {
    let way = (SERVER.into(), 0);
    let mut world = tunnels(way.0, way.1);
    world.put_real(REALS[1], TCP4);
    world.schedule(TCP4, &[REALS[0], REALS[1]]);
    for flags in [SYN, ACK] {
        let verdict = if flags == SYN {
            Verdict::ForwardNew
        } else {
            Verdict::ForwardFlow
        };
        let frame = Packet::tcp(client(1), service(), flags).build();
        let fate = world.dataplane.send(&frame);
        assert_tunnelled(&fate, &frame, way, verdict, REALS[0]);
        let frame = Packet::tcp(client(2), service(), flags).build();
        world.expect_forwarded(&frame, verdict, REALS[1]);
    }
}

#[test]
fn a_tunnel_may_leave_by_another_interface_and_needs_an_address_there() {
    let mut world = tunnels(SERVER.into(), 0);
    change(&mut world, REALS[0], |real| real.interface = OTHER_INTERFACE);
    let frame = Packet::tcp(client(1), service(), SYN).build();
    let fate = world.dataplane.send(&frame);
    assert_eq!(
        (fate.verdict, fate.action),
        (Verdict::ForwardNew, Action::Redirect)
    );
    change(&mut world, REALS[0], |real| real.interface = OTHER_INTERFACE + 1);
    let fate = world.dataplane.send(&frame);
    assert_eq!(
        (fate.verdict, fate.action),
        (Verdict::DropUnresolved, Action::Drop)
    );
}

/// An ICMP error of a router on the way, which quotes `length` bytes of the packet that was too long for it.
fn too_big(tunnelled: &[u8], mtu: u16, length: usize) -> Vec<u8> {
    let outer = &tunnelled[14..];
    let quoted = &outer[..length.min(outer.len())];
    let [high, low] = mtu.to_be_bytes();
    let (router, own, number, message): (IpAddr, IpAddr, u8, Vec<u8>) = match outer[0] >> 4 {
        4 => {
            let message = icmp(3, 4, [0, 0, high, low], quoted);
            (
                Ipv4Addr::new(10, 0, 0, 61).into(),
                OWN.into(),
                protocol::ICMP,
                message,
            )
        }
        _ => {
            let message = icmp(2, 0, [0, 0, high, low], quoted);
            let router = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x61);
            (router.into(), OWN6.into(), protocol::ICMPV6, message)
        }
    };
    Packet::other(router, own, number, message).build()
}

#[test]
fn a_router_that_takes_less_is_believed_by_the_next_packet() {
    for way in ways() {
        for (is_v4, index) in [(true, UDP4), (false, UDP6)] {
            println!("{way:?} {is_v4}");
            let mut world = tunnels(way.0, way.1);
            let slot = World::slot(index, 0);
            let frame = datagram(is_v4, 1400).build();
            let tunnelled = world.dataplane.send(&frame);
            assert_tunnelled(&tunnelled, &frame, way, Verdict::ForwardNew, slot);
            world.expect(&too_big(&tunnelled.frame, 1410, 500), Verdict::PassNotOurs);
            assert_eq!(world.dataplane.real(slot).mtu, 1410);
            let fate = world.dataplane.send(&frame);
            assert_error(&fate, &frame, Verdict::AnswerTooBig, TOO_BIG);
            // Wider than is known, or narrower than any path.
            for mtu in [1499, 400, 0] {
                world.expect(&too_big(&tunnelled.frame, mtu, 500), Verdict::PassNotOurs);
                assert_eq!(world.dataplane.real(slot).mtu, 1410);
            }
        }
    }
}

#[test]
fn nobody_is_believed_who_does_not_quote_a_packet_of_a_tunnel() {
    let way = (SERVER.into(), 0);
    let mut world = tunnels(way.0, way.1);
    let slot = World::slot(UDP4, 0);
    let known = datagram(true, 1400).build();
    let tunnelled = world.dataplane.send(&known).frame;
    let mut other_server = tunnelled.clone();
    other_server[14 + 19] += 1;
    let mut other_connection = tunnelled.clone();
    other_connection[14 + 20 + 21] += 1;
    for frame in [
        too_big(&other_server, 1300, 500),
        too_big(&other_connection, 1300, 500),
        too_big(&tunnelled, 1300, 28),
        // As a connection of the director itself would be told.
        too_big(&known, 1300, 500),
    ] {
        world.expect(&frame, Verdict::PassNotOurs);
        assert_eq!(world.dataplane.real(slot).mtu, MTU);
    }
}
