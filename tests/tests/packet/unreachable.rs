//! *unreachable*: ICMP errors to clients whose packets can go nowhere.

use std::net::IpAddr;

use etherparse::{Icmpv4Header, Icmpv6Header, NetHeaders, PacketHeaders, TransportHeader};
use lab::dataplane::{Action, Fate};
use lab::packet::{ACK, CUSTOMER_TAG, DIRECTOR_MAC, GATEWAY_MAC, Packet, SERVICE_TAG, SYN, icmp};
use lb_common::{ANSWERS_PER_SECOND, Verdict};

use crate::world::{
    CLIENT, CLIENT6, REALS, TCP4, TCP6, UDP4, UDP6, VIP, VIP6, World, client, client6, datagram_service,
    datagram_service6, run_on, service, service6,
};

/// Type and code, in IPv4 and in IPv6.
const PORT_UNREACHABLE: [(u8, u8); 2] = [(3, 3), (1, 4)];
const TIME_EXCEEDED: [(u8, u8); 2] = [(11, 0), (3, 0)];

/// What an ICMP error must say, and that it quotes `packet`.
#[track_caller]
pub(crate) fn assert_error(fate: &Fate, packet: &[u8], verdict: Verdict, [v4, v6]: [(u8, u8); 2]) {
    assert_eq!((fate.verdict, fate.action), (verdict, Action::Transmit));
    let tags = packet[12..]
        .chunks(4)
        .take_while(|tag| tag[..2] != [8, 0] && tag[..2] != [0x86, 0xdd])
        .count();
    let network = 14 + 4 * tags;
    assert_eq!(fate.frame[..12], [GATEWAY_MAC, DIRECTOR_MAC].concat()[..]);
    assert_eq!(
        fate.frame[12..network],
        packet[12..network],
        "tags and EtherType stay"
    );
    let answer = PacketHeaders::from_ethernet_slice(&fate.frame).expect("a valid frame");
    let payload = answer.payload.slice();
    // The shortest path that every host must take whole: 576 bytes in IPv4 (RFC 1812), 1280 in IPv6 (RFC 4443).
    let (type_and_code, length, longest) = match (answer.net.expect("an IP packet"), answer.transport) {
        (NetHeaders::Ipv4(ip, _), Some(TransportHeader::Icmpv4(icmp))) => {
            assert_eq!((ip.source, ip.destination), (VIP.octets(), CLIENT.octets()));
            assert_eq!(ip.time_to_live, 64);
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            let expected = Icmpv4Header::with_checksum(icmp.icmp_type.clone(), payload).checksum;
            assert_eq!(icmp.checksum, expected);
            let length = u16::from_be_bytes([packet[network + 2], packet[network + 3]]);
            (v4, length, 576 - 20 - 8)
        }
        (NetHeaders::Ipv6(ip, _), Some(TransportHeader::Icmpv6(icmp))) => {
            assert_eq!((ip.source, ip.destination), (VIP6.octets(), CLIENT6.octets()));
            assert_eq!(ip.hop_limit, 64);
            let expected = Icmpv6Header::with_checksum(icmp.icmp_type, ip.source, ip.destination, payload)
                .unwrap()
                .checksum;
            assert_eq!(icmp.checksum, expected);
            let length = 40 + u16::from_be_bytes([packet[network + 4], packet[network + 5]]);
            (v6, length, 1280 - 40 - 8)
        }
        other => panic!("no ICMP error: {other:?}"),
    };
    let message = fate.frame.len() - payload.len() - 8;
    assert_eq!((fate.frame[message], fate.frame[message + 1]), type_and_code);
    let quoted = usize::from(length).min(longest);
    assert_eq!(
        payload,
        &packet[network..network + quoted],
        "the packet as it came"
    );
}

fn openings() -> Vec<Packet> {
    vec![
        Packet::tcp(client(4711), service(), SYN),
        Packet::udp(client(4711), datagram_service()).payload(b"question"),
        Packet::udp(client(4711), datagram_service()).payload(&[7; 1400]),
        Packet::tcp(client(4711), service(), SYN).options(&[1; 40]),
        Packet::tcp(client(4711), service(), SYN).tagged(CUSTOMER_TAG, 7),
        Packet::tcp(client(4711), service(), SYN).padded(6),
        Packet::tcp(client6(4711), service6(), SYN),
        Packet::udp(client6(4711), datagram_service6()).payload(&[7; 1200]),
        Packet::tcp(client6(4711), service6(), SYN)
            .extension(0, &[0, 1, 4, 0, 0, 0, 0])
            .tagged(SERVICE_TAG, 7)
            .tagged(CUSTOMER_TAG, 8),
    ]
}

#[test]
fn a_service_without_real_servers_says_so() {
    let mut world = World::new();
    for index in [TCP4, UDP4, TCP6, UDP6] {
        world.schedule(index, &[]);
    }
    for packet in openings() {
        println!("{packet:?}");
        let frame = packet.build();
        let fate = world.dataplane.send(&frame);
        assert_error(&fate, &frame, Verdict::AnswerUnreachable, PORT_UNREACHABLE);
        assert_eq!(world.dataplane.service_counters(TCP4).connections, 0);
    }
}

/// Around the longest quotation, and whatever is left of the last word.
#[test]
fn as_much_is_quoted_as_every_path_takes() {
    let mut world = World::new();
    world.schedule(UDP4, &[]);
    world.schedule(UDP6, &[]);
    let datagram = [
        Packet::udp(client(4711), datagram_service()),
        Packet::udp(client6(4711), datagram_service6()).tagged(CUSTOMER_TAG, 7),
    ];
    let content: Vec<u8> = (0..=255).cycle().take(1452).collect();
    for (datagram, headers, longest) in [(&datagram[0], 28, 548), (&datagram[1], 48, 1232)] {
        let around = longest - headers;
        for length in (0..=9).chain(around - 9..=around + 9).chain(1440..=1452) {
            let frame = datagram.clone().payload(&content[..length]).build();
            let fate = world.dataplane.send(&frame);
            assert_error(&fate, &frame, Verdict::AnswerUnreachable, PORT_UNREACHABLE);
        }
    }
}

#[test]
fn a_packet_without_a_hop_left_says_so() {
    let mut world = World::new();
    for packet in openings() {
        for hops in [0, 1] {
            println!("{packet:?}");
            let frame = packet.clone().hop_limit(hops).build();
            let fate = world.dataplane.send(&frame);
            assert_error(&fate, &frame, Verdict::AnswerTimeExceeded, TIME_EXCEEDED);
        }
    }
    // So does one of a known connection.
    world.expect_forwarded(&openings()[0].build(), Verdict::ForwardNew, REALS[0]);
    let last = Packet::tcp(client(4711), service(), ACK).hop_limit(1).build();
    let fate = world.dataplane.send(&last);
    assert_error(&fate, &last, Verdict::AnswerTimeExceeded, TIME_EXCEEDED);
}

/// Two directors that take each other for the real server: the packet ends after as many forwardings as it had hops.
#[test]
fn a_packet_between_two_directors_does_not_go_round_for_ever() {
    let mut world = World::new();
    world.change_real(REALS[0], |real| real.destination_mac = DIRECTOR_MAC);
    let mut frame = Packet::tcp(client(1), service(), SYN).hop_limit(64).build();
    let mut forwarded = 0;
    loop {
        let fate = world.dataplane.send(&frame);
        if fate.verdict == Verdict::AnswerTimeExceeded {
            break;
        }
        frame = fate.frame;
        forwarded += 1;
        assert!(forwarded < 100);
    }
    assert_eq!(forwarded, 63);
}

#[test]
fn what_no_error_may_answer_is_dropped() {
    let mut world = World::new();
    world.send(&Packet::tcp(client(1), service(), SYN));
    let quoted = Packet::tcp(service(), client(1), ACK).build();
    let router: IpAddr = "192.0.2.1".parse().unwrap();
    let error = Packet::other(router, VIP.into(), 1, icmp(3, 4, [0; 4], &quoted[14..]));
    world.expect(&error.hop_limit(1).build(), Verdict::DropHopLimit);
    let datagram = || Packet::udp(client(1), datagram_service());
    let first = datagram().payload(&[1; 64]).fragment(0, true, 7);
    world.expect_forwarded(&first.build(), Verdict::ForwardNew, World::slot(UDP4, 0));
    let later = datagram().payload(&[2; 64]).fragment(9, false, 7).hop_limit(1);
    world.expect(&later.build(), Verdict::DropHopLimit);
}

#[test]
fn clients_that_are_no_hosts_get_no_answer() {
    let mut world = World::new();
    world.schedule(TCP4, &[]);
    for source in [
        "255.255.255.255",
        "224.0.0.1",
        "127.0.0.1",
        "0.0.0.0",
        "240.0.0.1",
    ] {
        let source = format!("{source}:1").parse().unwrap();
        for flags in [SYN, ACK] {
            world.expect(&Packet::tcp(source, service(), flags).build(), Verdict::DropStray);
        }
    }
}

/// Resets and ICMP errors come out of one purse.
#[test]
fn answers_are_limited_on_each_cpu() {
    let mut world = World::new();
    world.schedule(TCP4, &[]);
    run_on(0);
    let stray = Packet::tcp(client(1), service(), ACK).build();
    let opening = Packet::tcp(client(1), service(), SYN).build();
    let began = std::time::Instant::now();
    let sent = 3 * ANSWERS_PER_SECOND / 2;
    for _ in 0..sent {
        world.dataplane.run(&stray);
        world.dataplane.run(&opening);
    }
    let took = began.elapsed();
    let counted = world.dataplane.verdicts();
    let answered = counted[Verdict::ResetUnknownFlow as usize] + counted[Verdict::AnswerUnreachable as usize];
    let refused = counted[Verdict::DropAnswerLimit as usize];
    assert_eq!(answered + refused, 2 * sent);
    assert!(
        answered >= ANSWERS_PER_SECOND,
        "a second's worth at once: {answered}"
    );
    let earned = ANSWERS_PER_SECOND * (2 + took.as_millis() as u64 / 10) / 100;
    assert!(
        answered <= ANSWERS_PER_SECOND + earned,
        "and no more than time passes: {answered} in {took:?}"
    );
}
