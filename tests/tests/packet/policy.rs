//! *policy*, and one-packet scheduling: where connections begin, go on and end otherwise than they usually do.

use std::net::SocketAddr;

use lab::packet::{ACK, FIN_ACK, Packet, RST, SYN, SYN_ACK};
use lb_common::{Verdict, flow_state, policy_flags, real_flags, service_flags};

use crate::world::{
    REALS, TCP4, TCP6, UDP4, UDP6, World, client, client6, datagram_key4, datagram_service,
    datagram_service6, key4, key6, service, service6,
};

/// Two real servers take turns with the datagrams of a service.
fn one_packet(index: u32) -> World {
    let mut world = World::new();
    world.put_real(World::slot(index, 1), index);
    let ring = [0, 1].map(|server| World::slot(index, server));
    world.schedule_flagged(index, &ring, service_flags::ONE_PACKET);
    world
}

#[test]
fn each_datagram_is_scheduled_for_itself_where_one_is_all() {
    let cases: [(u32, SocketAddr, SocketAddr); 2] = [
        (UDP4, client(1), datagram_service()),
        (UDP6, client6(1), datagram_service6()),
    ];
    for (index, from, to) in cases {
        let mut world = one_packet(index);
        for datagram in 0..6 {
            let slot = World::slot(index, datagram % 2);
            world.expect_forwarded(&Packet::udp(from, to).build(), Verdict::ForwardNew, slot);
        }
        assert!(world.dataplane.flow(&datagram_key4(1)).is_none());
        let counted = world.dataplane.service_counters(index);
        assert_eq!((counted.connections, counted.packets), (6, 6));
    }
}

/// It is one datagram all the same.
#[test]
fn fragments_of_a_datagram_stay_together_where_one_is_all() {
    let mut world = one_packet(UDP4);
    let datagram = |offset, more| {
        Packet::udp(client(1), datagram_service())
            .payload(&[1; 1400])
            .fragment(offset, more, 7)
            .build()
    };
    world.expect_forwarded(&datagram(0, true), Verdict::ForwardNew, World::slot(UDP4, 0));
    world.expect_forwarded(
        &datagram(176, false),
        Verdict::ForwardFragment,
        World::slot(UDP4, 0),
    );
}

/// What was remembered before goes on.
#[test]
fn a_connection_that_is_known_keeps_its_server_where_one_datagram_is_all() {
    let mut world = World::new();
    let datagram = |port| Packet::udp(client(port), datagram_service()).build();
    world.expect_forwarded(&datagram(1), Verdict::ForwardNew, World::slot(UDP4, 0));
    world.put_real(World::slot(UDP4, 1), UDP4);
    world.schedule_flagged(UDP4, &[World::slot(UDP4, 1)], service_flags::ONE_PACKET);
    world.expect_forwarded(&datagram(1), Verdict::ForwardFlow, World::slot(UDP4, 0));
    world.expect_forwarded(&datagram(2), Verdict::ForwardNew, World::slot(UDP4, 1));
}

#[test]
fn any_segment_but_a_reset_opens_a_connection_if_tcp_is_sloppy() {
    for flags in [ACK, FIN_ACK] {
        let mut world = World::new();
        let [segment, segment6] = [
            Packet::tcp(client(1), service(), flags).build(),
            Packet::tcp(client6(1), service6(), flags).build(),
        ];
        let fate = world.dataplane.send(&segment);
        assert_eq!(fate.verdict, Verdict::ResetUnknownFlow);
        world.dataplane.put_policy(policy_flags::SLOPPY_TCP);
        world.expect_forwarded(&segment, Verdict::ForwardNew, REALS[0]);
        let word = world.dataplane.flow(&key4(1)).expect("it is remembered");
        assert_eq!((word.state(), word.slot()), (flow_state::NASCENT, REALS[0]));
        world.expect_forwarded(&segment6, Verdict::ForwardNew, World::slot(TCP6, 0));
        assert!(world.dataplane.flow(&key6(1)).is_some());
        let next = Packet::tcp(client(1), service(), ACK).build();
        world.expect_forwarded(&next, Verdict::ForwardFlow, REALS[0]);
        let word = world.dataplane.flow(&key4(1)).expect("it is remembered");
        assert_eq!(word.state(), flow_state::ESTABLISHED);
    }
}

#[test]
fn no_reset_and_nothing_that_servers_send_opens_a_connection() {
    let mut world = World::new();
    world.dataplane.put_policy(policy_flags::SLOPPY_TCP);
    for flags in [RST, SYN_ACK] {
        let segment = Packet::tcp(client(1), service(), flags).build();
        world.expect(&segment, Verdict::DropStray);
    }
    assert!(world.dataplane.flow(&key4(1)).is_none());
}

#[test]
fn connections_wait_for_a_server_that_is_down_if_they_are_not_to_expire() {
    let mut world = World::new();
    world.dataplane.put_policy(policy_flags::KEEP_NODEST_CONN);
    world.put_real(REALS[1], TCP4);
    world.schedule(TCP4, &[REALS[0]]);
    let segment = |flags| Packet::tcp(client(1), service(), flags).build();
    world.expect_forwarded(&segment(SYN), Verdict::ForwardNew, REALS[0]);
    world.expect_forwarded(&segment(ACK), Verdict::ForwardFlow, REALS[0]);
    world.change_real(REALS[0], |real| real.flags &= !real_flags::UP);
    world.schedule(TCP4, &[REALS[1]]);
    for flags in [ACK, FIN_ACK, RST] {
        world.expect(&segment(flags), Verdict::DropRealServerDown);
    }
    // It is back in time.
    world.change_real(REALS[0], |real| real.flags |= real_flags::UP);
    world.expect_forwarded(&segment(ACK), Verdict::ForwardFlow, REALS[0]);

    // Who begins anew does not wait.
    world.change_real(REALS[0], |real| real.flags &= !real_flags::UP);
    world.expect_forwarded(&segment(SYN), Verdict::ForwardRescheduled, REALS[1]);
    // Nor does who belongs to a server that was removed.
    world.change_real(REALS[1], |real| real.flags = 0);
    let fate = world.dataplane.send(&segment(ACK));
    assert_eq!(fate.verdict, Verdict::ResetRealServerGone);
}

/// Datagrams are nothing that anybody resets: their clients need not wait.
#[test]
fn datagrams_wait_for_no_server() {
    let mut world = World::new();
    world.dataplane.put_policy(policy_flags::KEEP_NODEST_CONN);
    let [first, second] = [0, 1].map(|server| World::slot(UDP4, server));
    world.put_real(second, UDP4);
    let datagram = Packet::udp(client(1), datagram_service()).build();
    world.expect_forwarded(&datagram, Verdict::ForwardNew, first);
    world.change_real(first, |real| real.flags &= !real_flags::UP);
    world.schedule(UDP4, &[second]);
    world.expect_forwarded(&datagram, Verdict::ForwardRescheduled, second);
}
