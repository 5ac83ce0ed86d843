//! *parse* and *forward*: what is ours, in every wrapping, and what is malformed.

use std::net::{IpAddr, Ipv4Addr};

use etherparse::{NetHeaders, PacketHeaders};
use lab::dataplane::Action;
use lab::packet::{ACK, CUSTOMER_TAG, Packet, SERVICE_TAG, SYN};
use lb_common::Verdict;

use crate::world::{
    CLIENT, CLIENT6, DATAGRAM_PORT, OTHER_INTERFACE, OWN_MAC, PORT, REALS, TCP4, TCP6, UDP4, UDP6, VIP, VIP6,
    World, client, client6, datagram_service, datagram_service6, mac, one_hop_less, service, service6,
};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION_OPTIONS: u8 = 60;
/// Eight bytes of padding, the first of the header not counted.
const OPTIONS: [u8; 7] = [0, 1, 4, 0, 0, 0, 0];

/// One packet for each service, in every wrapping, with the slot of the service's real server.
fn ours() -> Vec<(&'static str, Packet, u32)> {
    let tcp4 = World::slot(TCP4, 0);
    let tcp6 = World::slot(TCP6, 0);
    let syn4 = || Packet::tcp(client(1), service(), SYN);
    let syn6 = || Packet::tcp(client6(1), service6(), SYN);
    vec![
        ("TCP over IPv4", syn4(), tcp4),
        ("TCP over IPv6", syn6(), tcp6),
        (
            "UDP over IPv4",
            Packet::udp(client(1), datagram_service()).payload(b"question"),
            World::slot(UDP4, 0),
        ),
        (
            "UDP over IPv6",
            Packet::udp(client6(1), datagram_service6()).payload(b"question"),
            World::slot(UDP6, 0),
        ),
        ("802.1Q", syn4().tagged(CUSTOMER_TAG, 7), tcp4),
        ("802.1ad", syn4().tagged(SERVICE_TAG, 7), tcp4),
        (
            "802.1ad around 802.1Q",
            syn4().tagged(SERVICE_TAG, 7).tagged(CUSTOMER_TAG, 0x600a),
            tcp4,
        ),
        (
            "IPv6 in two tags",
            syn6().tagged(CUSTOMER_TAG, 7).tagged(CUSTOMER_TAG, 8),
            tcp6,
        ),
        ("IPv4 options", syn4().options(&[1, 1, 1, 0]), tcp4),
        ("the most IPv4 options", syn4().options(&[1; 40]), tcp4),
        ("Ethernet padding", syn4().padded(6), tcp4),
        ("Ethernet padding, IPv6", syn6().padded(11), tcp6),
        (
            "a hop-by-hop header",
            syn6().extension(HOP_BY_HOP, &OPTIONS),
            tcp6,
        ),
        (
            "four extension headers",
            syn6()
                .extension(HOP_BY_HOP, &OPTIONS)
                .extension(DESTINATION_OPTIONS, &[1; 15])
                .extension(ROUTING, &OPTIONS)
                .extension(DESTINATION_OPTIONS, &OPTIONS),
            tcp6,
        ),
        (
            "an atomic fragment (RFC 6946)",
            syn6().fragment(0, false, 77),
            tcp6,
        ),
        ("a hop limit of two", syn4().hop_limit(2), tcp4),
        ("data", syn4().payload(&[7; 1400]), tcp4),
    ]
}

#[test]
fn packets_of_a_service_change_nothing_but_a_hop_and_two_link_layer_addresses() {
    for (what, packet, slot) in ours() {
        let mut world = World::new();
        let frame = packet.build();
        println!("{what}");
        world.expect_forwarded(&frame, Verdict::ForwardNew, slot);
        let counted = world.dataplane.real_counters(slot);
        assert_eq!(
            (counted.connections, counted.packets, counted.bytes),
            (1, 1, ip_length(&frame))
        );
        assert_eq!(world.dataplane.service_counters(slot / 100), counted);
    }
}

#[test]
fn a_packet_cut_short_anywhere_is_malformed_and_never_forwarded() {
    for (what, packet, _) in ours() {
        let mut world = World::new();
        let frame = packet.build();
        // The frame's end is the packet's, but for padding and for UDP's and TCP's data.
        let header_end = frame.len() - packet_padding(what);
        for length in 14..header_end {
            let cut = &frame[..length];
            let fate = world.dataplane.send(cut);
            assert!(
                matches!(fate.verdict, Verdict::DropMalformed | Verdict::PassNotIp),
                "{what}, cut to {length} bytes: {:?}",
                fate.verdict
            );
            assert!(fate.frame == cut);
            // Before the IP header is reached there is nothing to judge.
            if fate.verdict == Verdict::PassNotIp {
                assert!(length < 22, "{what}, cut to {length} bytes");
            }
        }
    }
}

/// What IPVS counts: the IP packet, without link-layer header, tags and padding.
fn ip_length(frame: &[u8]) -> u64 {
    let packet = PacketHeaders::from_ethernet_slice(frame).expect("a valid frame");
    match packet.net.expect("an IP packet") {
        NetHeaders::Ipv4(ip, _) => ip.total_len.into(),
        NetHeaders::Ipv6(ip, _) => 40 + u64::from(ip.payload_length),
        NetHeaders::Arp(_) => panic!("not IP"),
    }
}

fn packet_padding(what: &str) -> usize {
    match what {
        "Ethernet padding" => 6,
        "Ethernet padding, IPv6" => 11,
        _ => 0,
    }
}

/// Cuts the IP packet, not only the frame: the total length is consistent, the transport header is not whole.
#[test]
fn a_transport_header_cut_short_by_the_ip_packet_is_malformed() {
    let mut world = World::new();
    let tcp4 = Packet::tcp(client(1), service(), SYN).build();
    for length in 20..40_u16 {
        let mut frame = tcp4.clone();
        frame[16..18].copy_from_slice(&length.to_be_bytes());
        world.expect(&frame, Verdict::DropMalformed);
        frame.truncate(14 + usize::from(length));
        world.expect(&frame, Verdict::DropMalformed);
    }
    let udp6 = Packet::udp(client6(1), datagram_service6()).build();
    for length in 0..8_u16 {
        let mut frame = udp6.clone();
        frame[18..20].copy_from_slice(&length.to_be_bytes());
        world.expect(&frame, Verdict::DropMalformed);
    }
}

#[test]
fn contradicting_lengths_and_versions_are_malformed() {
    let mut world = World::new();
    let tcp4 = Packet::tcp(client(1), service(), SYN).build();
    let tcp6 = Packet::tcp(client6(1), service6(), SYN).build();
    let cases: [(&str, &[u8], usize, u8); 9] = [
        ("version 5", &tcp4, 14, 0x55),
        ("header length 16", &tcp4, 14, 0x44),
        ("header longer than the packet", &tcp4, 14, 0x4f),
        ("total length beyond the frame", &tcp4, 17, 41),
        ("total length within the header", &tcp4, 17, 19),
        ("TCP header length 16", &tcp4, 46, 0x40),
        ("TCP header longer than the packet", &tcp4, 46, 0x60),
        ("version 4 in IPv6", &tcp6, 14, 0x40),
        ("payload beyond the frame", &tcp6, 19, 21),
    ];
    for (what, frame, at, byte) in cases {
        println!("{what}");
        let mut frame = frame.to_vec();
        frame[at] = byte;
        world.expect(&frame, Verdict::DropMalformed);
    }
}

#[test]
fn what_is_not_for_a_service_passes() {
    let mut world = World::new();
    let elsewhere = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 101));
    let to = |ip: IpAddr, port| std::net::SocketAddr::new(ip, port);
    let cases = [
        (
            Packet::tcp(client(1), to(elsewhere, PORT), SYN),
            Verdict::PassNotOurs,
        ),
        (
            Packet::udp(client(1), to(elsewhere, DATAGRAM_PORT)),
            Verdict::PassNotOurs,
        ),
        (
            Packet::tcp(client(1), to(IpAddr::V4(VIP), 22), SYN),
            Verdict::PassNoService,
        ),
        (
            Packet::tcp(client(1), to(IpAddr::V4(VIP), DATAGRAM_PORT), SYN),
            Verdict::PassNoService,
        ),
        (Packet::udp(client(1), service()), Verdict::PassNoService),
        (
            Packet::tcp(client6(1), to(IpAddr::V6(VIP6), 22), SYN),
            Verdict::PassNoService,
        ),
        (
            Packet::other(IpAddr::V4(CLIENT), IpAddr::V4(VIP), 47, vec![0; 8]),
            Verdict::PassNoService,
        ),
        (
            Packet::other(IpAddr::V6(CLIENT6), IpAddr::V6(VIP6), 50, vec![0; 8]),
            Verdict::PassNoService,
        ),
        (
            Packet::other(IpAddr::V4(CLIENT), elsewhere, 47, vec![0; 8]),
            Verdict::PassNotOurs,
        ),
        // More extension headers than anybody sends: not looked behind.
        (
            (0..5).fold(Packet::tcp(client6(1), service6(), SYN), |packet, _| {
                packet.extension(DESTINATION_OPTIONS, &OPTIONS)
            }),
            Verdict::PassNoService,
        ),
        (
            Packet::tcp(client(1), service(), SYN)
                .tagged(SERVICE_TAG, 1)
                .tagged(CUSTOMER_TAG, 2)
                .tagged(CUSTOMER_TAG, 3),
            Verdict::PassNotIp,
        ),
    ];
    for (packet, verdict) in cases {
        println!("{packet:?}");
        world.expect(&packet.build(), verdict);
    }
    let mut spanning_tree = vec![0x01, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 39];
    spanning_tree.extend([0x42; 39]);
    world.expect(&spanning_tree, Verdict::PassNotIp);
}

#[test]
fn a_short_transport_header_elsewhere_is_the_kernels_business() {
    let mut world = World::new();
    let elsewhere = "10.0.0.101:80".parse().unwrap();
    let mut frame = Packet::tcp(client(1), elsewhere, ACK).build();
    frame[46] = 0x40;
    world.expect(&frame, Verdict::PassNotOurs);
}

#[test]
fn a_real_server_behind_another_interface_is_redirected_to() {
    let mut world = World::new();
    world.change_real(REALS[0], |real| real.interface = OTHER_INTERFACE);
    let frame = Packet::tcp(client(1), service(), SYN).build();
    let fate = world.dataplane.send(&frame);
    assert_eq!(
        (fate.verdict, fate.action),
        (Verdict::ForwardNew, Action::Redirect)
    );
    assert_eq!(fate.frame[..6], mac(REALS[0]));
    assert_eq!(fate.frame[6..12], OWN_MAC);
    assert_eq!(fate.frame[12..], one_hop_less(&frame)[12..]);
}
