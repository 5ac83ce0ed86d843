//! *reset*: RFC 9293, section 3.10.7.1, byte for byte.

use etherparse::{NetHeaders, PacketHeaders, TransportHeader};
use lab::dataplane::{Action, Fate, boot_now};
use lab::packet::{
    ACK, CUSTOMER_TAG, DIRECTOR_MAC, FIN_ACK, Flags, GATEWAY_MAC, NONE, Packet, RST, SERVICE_TAG,
};
use lb_common::{Real, Verdict, flow_state, real_flags};

use crate::world::{REALS, World, client, client6, key4, service, service6};

const FIN: Flags = Flags { fin: true, ..NONE };

/// What a reset must say to a segment: flags beside RST, sequence and acknowledgement numbers.
#[track_caller]
fn assert_reset(fate: &Fate, verdict: Verdict, is_ack: bool, sequence: u32, acknowledgement: u32) {
    assert_eq!((fate.verdict, fate.action), (verdict, Action::Transmit));
    let packet = PacketHeaders::from_ethernet_slice(&fate.frame).expect("a valid frame");
    let Some(TransportHeader::Tcp(tcp)) = packet.transport else {
        panic!("not TCP: {packet:?}");
    };
    assert_eq!(fate.frame[..12], [GATEWAY_MAC, DIRECTOR_MAC].concat()[..]);
    assert_eq!((tcp.source_port, tcp.destination_port), (80, 4711));
    assert_eq!(
        (tcp.sequence_number, tcp.acknowledgment_number),
        (sequence, acknowledgement)
    );
    assert_eq!((tcp.rst, tcp.ack), (true, is_ack));
    assert!(!tcp.syn && !tcp.fin && !tcp.psh);
    assert!(packet.payload.slice().is_empty());
    match packet.net.expect("an IP packet") {
        NetHeaders::Ipv4(ip, _) => {
            assert_eq!(ip.source, crate::world::VIP.octets());
            assert_eq!(ip.destination, crate::world::CLIENT.octets());
            assert_eq!((ip.total_len, ip.header_len(), ip.time_to_live), (40, 20, 64));
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            assert_eq!(tcp.checksum, tcp.calc_checksum_ipv4(&ip, &[]).unwrap());
        }
        NetHeaders::Ipv6(ip, _) => {
            assert_eq!(ip.source, crate::world::VIP6.octets());
            assert_eq!(ip.destination, crate::world::CLIENT6.octets());
            assert_eq!((ip.payload_length, ip.hop_limit), (20, 64));
            assert_eq!(tcp.checksum, tcp.calc_checksum_ipv6(&ip, &[]).unwrap());
        }
        NetHeaders::Arp(_) => panic!("not IP"),
    }
}

fn segment(flags: Flags) -> Packet {
    Packet::tcp(client(4711), service(), flags)
}

fn segment6(flags: Flags) -> Packet {
    Packet::tcp(client6(4711), service6(), flags)
}

#[test]
fn an_unknown_connection_is_reset_at_its_own_sequence_number() {
    let unknown = Verdict::ResetUnknownFlow;
    let wrapped = [
        segment(ACK),
        segment(ACK).payload(&[7; 1400]),
        segment(ACK).options(&[1; 40]).payload(b"data"),
        segment(ACK).padded(6),
        segment(ACK).tagged(CUSTOMER_TAG, 7),
        segment(ACK).tagged(SERVICE_TAG, 7).tagged(CUSTOMER_TAG, 8),
        segment(FIN_ACK),
        segment6(ACK),
        segment6(ACK).payload(&[7; 1400]).tagged(CUSTOMER_TAG, 7),
        segment6(ACK).extension(60, &[1; 15]),
    ];
    for packet in wrapped {
        println!("{packet:?}");
        let fate = World::new().send(&packet.numbered(7, 0xffff_fff0));
        assert_reset(&fate, unknown, false, 0xffff_fff0, 0);
    }
}

#[test]
fn a_segment_without_acknowledgement_is_acknowledged() {
    let unknown = Verdict::ResetUnknownFlow;
    let cases = [
        (segment(NONE), 500),
        (segment(FIN), 501),
        (segment(NONE).payload(&[1; 10]), 510),
        (segment(FIN).payload(&[1; 10]).options(&[1; 8]), 511),
        (
            segment6(FIN)
                .payload(&[1; 10])
                .extension(0, &[0, 1, 4, 0, 0, 0, 0]),
            511,
        ),
    ];
    for (packet, acknowledgement) in cases {
        println!("{packet:?}");
        let fate = World::new().send(&packet.numbered(500, 99));
        assert_reset(&fate, unknown, true, 0, acknowledgement);
    }
    let fate = World::new().send(&segment(FIN).numbered(u32::MAX, 0));
    assert_reset(&fate, unknown, true, 0, 0);
}

#[test]
fn a_reset_keeps_tags_and_the_shortest_frame() {
    let mut world = World::new();
    let tagged = world.send(
        &segment(ACK)
            .tagged(SERVICE_TAG, 7)
            .tagged(CUSTOMER_TAG, 8)
            .payload(&[1; 9]),
    );
    assert_eq!(tagged.frame[12..20], [0x88, 0xa8, 0, 7, 0x81, 0, 0, 8]);
    assert_eq!(tagged.frame.len(), 14 + 8 + 40);
    let padded = world.send(&segment(ACK).padded(6));
    assert_eq!(padded.frame.len(), 60);
    assert_eq!(padded.frame[54..], [0; 6]);
    // A virtual link has no shortest frame.
    assert_eq!(world.send(&segment(ACK)).frame.len(), 54);
    assert_eq!(world.send(&segment(ACK).payload(&[7; 1000])).frame.len(), 60);
}

#[test]
fn a_connection_whose_real_server_is_gone_is_reset_once_and_forgotten() {
    let gone: [fn(&mut Real); 2] = [|real| real.flags &= !real_flags::UP, |real| real.flags = 0];
    for change in gone {
        let mut world = World::new();
        world
            .dataplane
            .put_flow(&key4(4711), flow_state::ESTABLISHED, REALS[0], boot_now());
        world.change_real(REALS[0], change);
        let fate = world.send(&segment(ACK).numbered(1, 2));
        assert_reset(&fate, Verdict::ResetRealServerGone, false, 2, 0);
        assert_eq!(world.dataplane.flow(&key4(4711)), None);
        let fate = world.send(&segment(ACK).numbered(1, 2));
        assert_reset(&fate, Verdict::ResetUnknownFlow, false, 2, 0);
    }
}

#[test]
fn a_reset_is_never_answered() {
    let mut world = World::new();
    world.expect(&segment(RST).build(), Verdict::DropStray);
    world.expect(&segment(Flags { ack: true, ..RST }).build(), Verdict::DropStray);
    world
        .dataplane
        .put_flow(&key4(4711), flow_state::ESTABLISHED, REALS[0], boot_now());
    world.change_real(REALS[0], |real| real.flags &= !real_flags::UP);
    world.expect(&segment(RST).build(), Verdict::DropStray);
    assert_eq!(world.dataplane.flow(&key4(4711)), None);
}
