//! *flow*: what is remembered of connections, and for how long.

use std::net::SocketAddr;

use lab::dataplane::boot_now;
use lab::packet::{ACK, FIN_ACK, Flags, Packet, RST, SYN, SYN_ACK};
use lb_common::{Address, Connection, FlowName, Verdict, flow_state, real_flags};

use crate::world::{
    REALS, SECOND, TCP4, TCP6, UDP4, World, client, client6, datagram_key4, datagram_service, key4, key6,
    machine_is_up_for, service, service6,
};

/// Two real servers take turns.
fn two_servers() -> World {
    let mut world = World::new();
    world.put_real(REALS[1], TCP4);
    world.schedule(TCP4, &[REALS[0], REALS[1]]);
    world.put_real(World::slot(UDP4, 1), UDP4);
    world.schedule(UDP4, &[World::slot(UDP4, 0), World::slot(UDP4, 1)]);
    world
}

fn segment(port: u16, flags: Flags) -> Vec<u8> {
    Packet::tcp(client(port), service(), flags).build()
}

fn datagram(port: u16) -> Vec<u8> {
    Packet::udp(client(port), datagram_service()).build()
}

#[test]
fn a_connection_keeps_its_real_server() {
    let mut world = two_servers();
    for port in 1..=6 {
        let slot = REALS[usize::from(port - 1) % 2];
        world.expect_forwarded(&segment(port, SYN), Verdict::ForwardNew, slot);
    }
    for flags in [ACK, ACK, FIN_ACK, ACK, RST] {
        for port in 1..=6 {
            let slot = REALS[usize::from(port - 1) % 2];
            world.expect_forwarded(&segment(port, flags), Verdict::ForwardFlow, slot);
        }
    }
    let counted = world.dataplane.service_counters(TCP4);
    assert_eq!((counted.connections, counted.packets), (6, 36));
    assert_eq!(world.dataplane.real_counters(REALS[1]).packets, 18);
}

/// The state and the real server of a connection, if it is remembered.
fn remembered(world: &mut World, key: &impl Connection) -> Option<(u64, u32)> {
    let word = world.dataplane.flow(key)?;
    Some((word.state(), word.slot()))
}

#[test]
fn a_first_packet_is_nascent_and_the_second_establishes() {
    let mut world = World::new();
    let mut after = |flags, verdict| {
        world.expect_forwarded(&segment(1, flags), verdict, REALS[0]);
        remembered(&mut world, &key4(1))
    };
    let in_state = |state| Some((state, REALS[0]));
    assert_eq!(after(SYN, Verdict::ForwardNew), in_state(flow_state::NASCENT));
    assert_eq!(
        after(ACK, Verdict::ForwardFlow),
        in_state(flow_state::ESTABLISHED)
    );
    assert_eq!(
        after(FIN_ACK, Verdict::ForwardFlow),
        in_state(flow_state::CLOSING)
    );
    assert_eq!(after(ACK, Verdict::ForwardFlow), in_state(flow_state::CLOSING));
}

#[test]
fn ipv6_connections_are_in_the_same_table() {
    let mut world = World::new();
    let slot = World::slot(TCP6, 0);
    let frame = |flags| Packet::tcp(client6(1), service6(), flags).build();
    world.expect_forwarded(&frame(SYN), Verdict::ForwardNew, slot);
    assert_eq!(
        remembered(&mut world, &key6(1)),
        Some((flow_state::NASCENT, slot))
    );
    world.expect_forwarded(&frame(ACK), Verdict::ForwardFlow, slot);
    assert_eq!(
        remembered(&mut world, &key6(1)),
        Some((flow_state::ESTABLISHED, slot))
    );
}

#[test]
fn datagrams_follow_their_flow_and_the_second_establishes_it() {
    let mut world = two_servers();
    let [first, second] = [0, 1].map(|server| World::slot(UDP4, server));
    let key = datagram_key4(1);
    world.expect_forwarded(&datagram(1), Verdict::ForwardNew, first);
    assert_eq!(remembered(&mut world, &key), Some((flow_state::DATAGRAM, first)));
    world.expect_forwarded(&datagram(1), Verdict::ForwardFlow, first);
    assert_eq!(remembered(&mut world, &key), Some((flow_state::DATAGRAMS, first)));
    world.expect_forwarded(&datagram(2), Verdict::ForwardNew, second);
}

/// A flood of first packets writes none: only who goes on is told of by name.
#[test]
fn a_connection_has_a_name_from_its_second_packet_on() {
    let mut world = World::new();
    world.dataplane.run(&segment(4711, SYN));
    let unknown = world.dataplane.flow_name(&key4(4711)).expect("it is remembered");
    assert_eq!(unknown, FlowName::default());
    world.dataplane.run(&segment(4711, ACK));
    let name = world.dataplane.flow_name(&key4(4711)).expect("it is remembered");
    let SocketAddr::V4(client) = client(4711) else {
        panic!("an IPv4 client");
    };
    assert_eq!(name.client_address, Address::v4(client.ip().octets()));
    assert_eq!((name.client_port, name.virtual_port), (4711, service().port()));

    let slot = World::slot(TCP6, 0);
    for (flags, verdict) in [(SYN, Verdict::ForwardNew), (ACK, Verdict::ForwardFlow)] {
        world.expect_forwarded(&Packet::tcp(client6(9), service6(), flags).build(), verdict, slot);
    }
    let name = world.dataplane.flow_name(&key6(9)).expect("it is remembered");
    let SocketAddr::V6(client) = client6(9) else {
        panic!("an IPv6 client");
    };
    assert_eq!(name.client_address, Address::v6(client.ip().octets()));
    assert_eq!((name.client_port, name.virtual_port), (9, service6().port()));
}

#[test]
fn a_repeated_syn_goes_where_the_first_went() {
    let mut world = two_servers();
    world.expect_forwarded(&segment(1, SYN), Verdict::ForwardNew, REALS[0]);
    world.expect_forwarded(&segment(1, SYN), Verdict::ForwardFlow, REALS[0]);
    world.expect_forwarded(&segment(1, ACK), Verdict::ForwardFlow, REALS[0]);
    world.expect_forwarded(&segment(1, SYN), Verdict::ForwardFlow, REALS[0]);
}

#[test]
fn a_syn_after_a_close_is_a_new_connection() {
    for close in [FIN_ACK, RST] {
        let mut world = two_servers();
        world.expect_forwarded(&segment(1, SYN), Verdict::ForwardNew, REALS[0]);
        world.expect_forwarded(&segment(1, ACK), Verdict::ForwardFlow, REALS[0]);
        world.expect_forwarded(&segment(1, close), Verdict::ForwardFlow, REALS[0]);
        world.expect_forwarded(&segment(1, SYN), Verdict::ForwardNew, REALS[1]);
        world.expect_forwarded(&segment(1, ACK), Verdict::ForwardFlow, REALS[1]);
        assert_eq!(world.dataplane.service_counters(TCP4).connections, 2);
    }
}

#[test]
fn silence_ends_a_connection_for_what_may_open_another() {
    let cases = [
        (flow_state::ESTABLISHED, 899, Verdict::ForwardFlow),
        (flow_state::ESTABLISHED, 903, Verdict::ForwardNew),
        (flow_state::NASCENT, 59, Verdict::ForwardFlow),
        (flow_state::NASCENT, 63, Verdict::ForwardNew),
    ];
    for (state, seconds, verdict) in cases {
        if !machine_is_up_for(seconds) {
            continue;
        }
        let mut world = World::new();
        let seen_at = boot_now() - seconds * SECOND;
        world.dataplane.put_flow(&key4(1), state, REALS[0], seen_at);
        println!("state {state}, silent for {seconds} s");
        world.expect_forwarded(&segment(1, SYN), verdict, REALS[0]);
    }
    for (seconds, verdict) in [(299, Verdict::ForwardFlow), (303, Verdict::ForwardNew)] {
        if !machine_is_up_for(seconds) {
            continue;
        }
        let mut world = World::new();
        let slot = World::slot(UDP4, 0);
        let seen_at = boot_now() - seconds * SECOND;
        world
            .dataplane
            .put_flow(&datagram_key4(1), flow_state::DATAGRAMS, slot, seen_at);
        world.expect_forwarded(&datagram(1), verdict, slot);
    }
}

/// The daemon forgets it, not a packet.
#[test]
fn a_segment_goes_on_with_a_connection_that_was_silent_for_long() {
    const SILENCE: u64 = 1_000 * SECOND;
    if !machine_is_up_for(SILENCE / SECOND) {
        return;
    }
    let mut world = World::new();
    let seen_at = boot_now() - SILENCE;
    world
        .dataplane
        .put_flow(&key4(1), flow_state::ESTABLISHED, REALS[0], seen_at);
    let before = world.dataplane.flow(&key4(1)).expect("it was put there");
    world.expect_forwarded(&segment(1, ACK), Verdict::ForwardFlow, REALS[0]);
    let after = world.dataplane.flow(&key4(1)).expect("still there");
    assert_ne!(after.seen(), before.seen());
    world.expect_forwarded(&segment(1, SYN), Verdict::ForwardFlow, REALS[0]);
}

/// Each time would take the cache line from other CPUs.
#[test]
fn the_time_of_a_flow_is_not_written_for_each_packet() {
    let mut world = World::new();
    world.unguard(TCP4);
    world.dataplane.run(&segment(1, SYN));
    let mut words = Vec::new();
    let start = boot_now();
    while boot_now() - start < SECOND {
        world.dataplane.run(&segment(1, ACK));
        words.push(world.dataplane.flow(&key4(1)).expect("it is remembered"));
    }
    words.dedup();
    assert!((2..=3).contains(&words.len()), "{words:?}");
}

#[test]
fn a_connection_whose_real_server_is_gone_is_scheduled_anew_if_it_may_open() {
    let gone: [(&str, fn(&mut lb_common::Real)); 2] = [
        ("down", |real| real.flags &= !real_flags::UP),
        ("removed", |real| real.flags = 0),
    ];
    for (how, change) in gone {
        println!("{how}");
        let mut world = two_servers();
        world.schedule(TCP4, &[REALS[1]]);
        world
            .dataplane
            .put_flow(&key4(1), flow_state::ESTABLISHED, REALS[0], boot_now());
        world.change_real(REALS[0], change);
        world.expect_forwarded(&segment(1, SYN), Verdict::ForwardRescheduled, REALS[1]);
        world.expect_forwarded(&segment(1, ACK), Verdict::ForwardFlow, REALS[1]);

        let slot = World::slot(UDP4, 0);
        world.schedule(UDP4, &[World::slot(UDP4, 1)]);
        world
            .dataplane
            .put_flow(&datagram_key4(1), flow_state::DATAGRAMS, slot, boot_now());
        world.change_real(slot, change);
        world.expect_forwarded(&datagram(1), Verdict::ForwardRescheduled, World::slot(UDP4, 1));
    }
}

#[test]
fn a_known_connection_waits_for_its_real_servers_link_layer_address() {
    let mut world = two_servers();
    world.expect_forwarded(&segment(1, SYN), Verdict::ForwardNew, REALS[0]);
    world.change_real(REALS[0], |real| real.flags &= !real_flags::RESOLVED);
    world.expect(&segment(1, ACK), Verdict::DropUnresolved);
    world.change_real(REALS[0], |real| real.flags |= real_flags::RESOLVED);
    world.expect_forwarded(&segment(1, ACK), Verdict::ForwardFlow, REALS[0]);
}

#[test]
fn a_real_server_without_weight_keeps_its_connections() {
    let mut world = two_servers();
    world.expect_forwarded(&segment(1, SYN), Verdict::ForwardNew, REALS[0]);
    world.schedule(TCP4, &[REALS[1]]);
    world.expect_forwarded(&segment(1, ACK), Verdict::ForwardFlow, REALS[0]);
    world.schedule(TCP4, &[]);
    world.expect_forwarded(&segment(1, ACK), Verdict::ForwardFlow, REALS[0]);
}

#[test]
fn what_only_servers_send_is_stray() {
    let mut world = World::new();
    world.expect(&segment(1, SYN_ACK), Verdict::DropStray);
    world.expect_forwarded(&segment(1, SYN), Verdict::ForwardNew, REALS[0]);
    world.expect(&segment(1, SYN_ACK), Verdict::DropStray);
    let syn_fin = Flags { fin: true, ..SYN };
    world.expect(&segment(2, syn_fin), Verdict::DropStray);
    world.expect(&segment(2, RST), Verdict::DropStray);
}
