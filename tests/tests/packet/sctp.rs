//! *sctp*: what opens an association, what ends it, and what becomes of the rest.

use std::net::{IpAddr, SocketAddr};

use lab::packet::{Packet, icmp};
use lb_common::{
    FlowKey4, FlowKey6, NO_LEASE, Service, Verdict, flow_state, policy_flags, protocol, real_flags,
};

use crate::world::{LEASE, VIP, VIP6, World, client, client6, key4, key6, service, service_key, service6};

const DATA: u8 = 0;
const INIT: u8 = 1;
const SACK: u8 = 3;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const SHUTDOWN_ACK: u8 = 8;
const ERROR: u8 = 9;
const COOKIE_ECHO: u8 = 10;
const SHUTDOWN_COMPLETE: u8 = 14;
/// Of an extension: a dynamic change of addresses (RFC 5061).
const ASCONF: u8 = 0xc1;

/// Services of their own, on the ports of the TCP ones.
const SCTP4: u32 = 4;
const SCTP6: u32 = 5;
/// Two real servers of each.
const REALS: [[u32; 2]; 2] = [[21, 22], [31, 32]];

/// TCP's world, and the same under SCTP, where two real servers take turns.
fn world() -> World {
    let mut world = World::new();
    for ((index, ip), reals) in [(SCTP4, IpAddr::V4(VIP)), (SCTP6, IpAddr::V6(VIP6))]
        .into_iter()
        .zip(REALS)
    {
        for slot in reals {
            world.put_real(slot, index);
        }
        let service = Service {
            index,
            ring_offset: 10_000 + 100 * index,
            ring_length: 2,
            lease: LEASE,
            ..Service::default()
        };
        let key = service_key(ip, service_port(), protocol::SCTP);
        world.dataplane.put_service(key, service, &reals);
    }
    world
}

fn service_port() -> u16 {
    service().port()
}

/// The common header, and a chunk of this type. (Nobody on the way looks at the checksum.)
fn header(from: SocketAddr, to: SocketAddr, chunk_type: u8) -> Vec<u8> {
    let mut bytes = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    bytes.extend([0xab; 8]);
    bytes.extend([chunk_type, 0, 0, 20]);
    bytes.extend([7; 16]);
    bytes
}

fn packet(from: SocketAddr, to: SocketAddr, chunk_type: u8) -> Packet {
    Packet::other(from.ip(), to.ip(), protocol::SCTP, header(from, to, chunk_type))
}

fn chunk(port: u16, chunk_type: u8) -> Vec<u8> {
    packet(client(port), service(), chunk_type).build()
}

fn chunk6(port: u16, chunk_type: u8) -> Vec<u8> {
    packet(client6(port), service6(), chunk_type).build()
}

fn flow(port: u16) -> FlowKey4 {
    FlowKey4 {
        protocol: u32::from(protocol::SCTP),
        ..key4(port)
    }
}

fn state(world: &mut World, port: u16) -> Option<u64> {
    world.dataplane.flow(&flow(port)).map(|word| word.state())
}

#[test]
fn an_association_keeps_its_server_from_init_to_its_end() {
    for end in [
        &[SHUTDOWN, SACK, SHUTDOWN_ACK][..],
        &[SHUTDOWN_ACK, SHUTDOWN_COMPLETE],
        &[SHUTDOWN_COMPLETE],
        &[ABORT],
    ] {
        let mut world = world();
        let [first, second] = REALS[0];
        world.expect_forwarded(&chunk(1, INIT), Verdict::ForwardNew, first);
        assert_eq!(state(&mut world, 1), Some(flow_state::NASCENT));
        // Sent again, for the first one was lost.
        world.expect_forwarded(&chunk(1, INIT), Verdict::ForwardFlow, first);
        assert_eq!(state(&mut world, 1), Some(flow_state::NASCENT));
        for chunk_type in [COOKIE_ECHO, DATA, SACK, ERROR, ASCONF, 0xff, 15] {
            world.expect_forwarded(&chunk(1, chunk_type), Verdict::ForwardFlow, first);
            assert_eq!(
                state(&mut world, 1),
                Some(flow_state::ESTABLISHED),
                "{chunk_type}"
            );
        }
        for chunk_type in end {
            world.expect_forwarded(&chunk(1, *chunk_type), Verdict::ForwardFlow, first);
            assert_eq!(state(&mut world, 1), Some(flow_state::CLOSING), "{chunk_type}");
        }
        // The same ports, and another association.
        world.expect_forwarded(&chunk(1, INIT), Verdict::ForwardNew, second);
        assert_eq!(state(&mut world, 1), Some(flow_state::NASCENT));
        let counted = world.dataplane.service_counters(SCTP4);
        assert_eq!(counted.connections, 2);
    }
}

#[test]
fn so_it_does_in_ipv6_and_tcp_on_the_same_port_is_another_service() {
    let mut world = world();
    let [first, second] = REALS[1];
    world.expect_forwarded(&chunk6(1, INIT), Verdict::ForwardNew, first);
    world.expect_forwarded(&chunk6(2, INIT), Verdict::ForwardNew, second);
    for chunk_type in [COOKIE_ECHO, DATA, SHUTDOWN] {
        world.expect_forwarded(&chunk6(1, chunk_type), Verdict::ForwardFlow, first);
    }
    let key = FlowKey6 {
        protocol: u32::from(protocol::SCTP),
        ..key6(1)
    };
    assert!(world.dataplane.flow(&key).is_some());
    assert!(world.dataplane.flow(&key6(1)).is_none());
    let segment = Packet::tcp(client6(1), service6(), lab::packet::SYN).build();
    world.expect_forwarded(&segment, Verdict::ForwardNew, World::slot(crate::world::TCP6, 0));
}

/// As IPVS: an ABORT would need a checksum over all of the packet. What is sloppy of TCP is not of SCTP.
#[test]
fn what_is_unknown_is_dropped() {
    let mut world = world();
    for flags in [0, policy_flags::SLOPPY_TCP] {
        world.dataplane.put_policy(flags);
        for chunk_type in [DATA, COOKIE_ECHO, SHUTDOWN, ABORT, ASCONF] {
            world.expect(&chunk(1, chunk_type), Verdict::DropStray);
            world.expect(&chunk6(1, chunk_type), Verdict::DropStray);
        }
    }
    assert_eq!(state(&mut world, 1), None);
}

#[test]
fn an_association_whose_server_is_gone_begins_anew_with_init() {
    let mut world = world();
    let [first, second] = REALS[0];
    world.expect_forwarded(&chunk(1, INIT), Verdict::ForwardNew, first);
    world.expect_forwarded(&chunk(1, COOKIE_ECHO), Verdict::ForwardFlow, first);
    world.change_real(first, |real| real.flags &= !real_flags::UP);
    world.expect(&chunk(1, DATA), Verdict::DropStray);
    assert_eq!(state(&mut world, 1), None);
    world.expect_forwarded(&chunk(1, INIT), Verdict::ForwardNew, second);
}

#[test]
fn a_service_without_a_server_answers_init_by_icmp() {
    let mut world = world();
    let service = Service {
        index: SCTP4,
        lease: NO_LEASE,
        ..Service::default()
    };
    let key = service_key(VIP.into(), service_port(), protocol::SCTP);
    world.dataplane.put_service(key, service, &[]);
    let fate = world.dataplane.send(&chunk(1, INIT));
    assert_eq!(fate.verdict, Verdict::AnswerUnreachable);
}

#[test]
fn errors_and_fragments_follow_their_association() {
    let mut world = world();
    let [first, _] = REALS[0];
    let big = |more, offset| {
        packet(client(1), service(), INIT)
            .payload(&[1; 1400])
            .fragment(offset, more, 7)
            .build()
    };
    world.expect_forwarded(&big(true, 0), Verdict::ForwardNew, first);
    world.expect_forwarded(&big(false, 180), Verdict::ForwardFragment, first);
    let quoted = packet(service(), client(1), DATA).build();
    let too_big = icmp(3, 4, [0, 0, 5, 0x78], &quoted[14..]);
    let error = Packet::other(client(0).ip(), IpAddr::V4(VIP), 1, too_big).build();
    world.expect_forwarded(&error, Verdict::ForwardIcmpError, first);
}

#[test]
fn a_header_cut_short_is_malformed() {
    let mut world = world();
    let whole = header(client(1), service(), INIT);
    for length in 0..16 {
        let frame = Packet::other(
            client(1).ip(),
            service().ip(),
            protocol::SCTP,
            whole[..length].to_vec(),
        )
        .build();
        world.expect(&frame, Verdict::DropMalformed);
    }
    let shortest = Packet::other(
        client(1).ip(),
        service().ip(),
        protocol::SCTP,
        whole[..16].to_vec(),
    )
    .build();
    world.expect_forwarded(&shortest, Verdict::ForwardNew, REALS[0][0]);
}
