//! *forward/local* and *frame*: the director is a real server itself, and so is another director.

use lab::dataplane::INGRESS;
use lab::packet::{ACK, DIRECTOR_MAC, FIN_ACK, GATEWAY_MAC, Packet, RST, SYN};
use lb_common::{
    Interface, Peer, Verdict, flow_state, interface_flags, lease_state, real_flags, service_flags,
};

use crate::world::{
    OWN_MAC, REALS, SECOND, TCP4, TCP6, UDP4, World, client, client6, datagram_service, key4, lease, mac,
    service, service6,
};

/// The only real server of each service is this node.
fn local() -> World {
    let mut world = World::new();
    for index in [TCP4, UDP4, TCP6] {
        let slot = World::slot(index, 0);
        world.change_real(slot, |real| {
            real.flags |= real_flags::LOCAL;
            (real.source_mac, real.destination_mac) = ([0; 6], [0; 6]);
        });
        world.schedule_flagged(index, &[slot], service_flags::LOCAL);
    }
    world
}

#[test]
fn packets_for_this_node_are_passed_as_they_are_and_remembered() {
    let mut world = local();
    let frames = [SYN, ACK, ACK, FIN_ACK].map(|flags| Packet::tcp(client(1), service(), flags).build());
    for frame in &frames {
        world.expect(frame, Verdict::PassLocal);
    }
    let word = world.dataplane.flow(&key4(1)).expect("it is remembered");
    assert_eq!((word.state(), word.slot()), (flow_state::CLOSING, REALS[0]));
    let counted = world.dataplane.real_counters(REALS[0]);
    assert_eq!((counted.connections, counted.packets), (1, 4));
    assert_eq!(counted, world.dataplane.service_counters(TCP4));
    let network = frames.iter().map(|frame| frame.len() as u64 - 14);
    assert_eq!(counted.bytes, network.sum::<u64>());
    // Named with its second packet, as any other.
    let name = world.dataplane.flow_name(&key4(1)).expect("it is remembered");
    assert_eq!(name.client_port, 1);

    for _ in 0..2 {
        world.expect(
            &Packet::udp(client(1), datagram_service()).build(),
            Verdict::PassLocal,
        );
        world.expect(
            &Packet::tcp(client6(1), service6(), SYN).build(),
            Verdict::PassLocal,
        );
    }
    assert_eq!(world.dataplane.real_counters(World::slot(TCP6, 0)).connections, 1);
    assert_eq!(world.dataplane.real_counters(World::slot(UDP4, 0)).connections, 1);
}

#[test]
fn this_node_takes_turns_with_others() {
    let mut world = local();
    world.put_real(REALS[1], TCP4);
    world.schedule_flagged(TCP4, &[REALS[0], REALS[1]], service_flags::LOCAL);
    for flags in [SYN, ACK, ACK] {
        world.expect(
            &Packet::tcp(client(1), service(), flags).build(),
            Verdict::PassLocal,
        );
        let verdict = if flags == SYN {
            Verdict::ForwardNew
        } else {
            Verdict::ForwardFlow
        };
        world.expect_forwarded(
            &Packet::tcp(client(2), service(), flags).build(),
            verdict,
            REALS[1],
        );
    }
}

/// The stack may know it from when another director was the master, or resets it itself.
#[test]
fn segments_of_unknown_connections_are_for_the_stack_where_this_node_is_a_real_server() {
    let mut world = local();
    for flags in [ACK, FIN_ACK, RST] {
        world.expect(
            &Packet::tcp(client(1), service(), flags).build(),
            Verdict::PassLocal,
        );
        world.expect(
            &Packet::tcp(client6(1), service6(), flags).build(),
            Verdict::PassLocal,
        );
    }
    assert!(world.dataplane.flow(&key4(1)).is_none());

    // The local one is down.
    world.schedule(TCP4, &[]);
    let fate = world.send(&Packet::tcp(client(1), service(), ACK));
    assert_eq!(fate.verdict, Verdict::ResetUnknownFlow);
    world.expect(
        &Packet::tcp(client(1), service(), RST).build(),
        Verdict::DropStray,
    );
}

#[test]
fn a_connection_to_a_local_server_that_is_gone_is_reset_by_the_program() {
    let mut world = local();
    world.expect(
        &Packet::tcp(client(1), service(), SYN).build(),
        Verdict::PassLocal,
    );
    world.change_real(REALS[0], |real| real.flags &= !real_flags::UP);
    let fate = world.send(&Packet::tcp(client(1), service(), ACK));
    assert_eq!(fate.verdict, Verdict::ResetRealServerGone);
}

/// A packet as another director, which is the real server in `slot`, has sent it here.
fn from_peer(packet: &Packet, slot: u32) -> Vec<u8> {
    let mut frame = packet.build();
    assert_eq!(frame[6..12], GATEWAY_MAC);
    frame[6..12].copy_from_slice(&mac(slot));
    frame
}

/// The first real server is this node, the second another director.
fn pair() -> World {
    let mut world = local();
    world.put_real(REALS[1], TCP4);
    world.schedule_flagged(TCP4, &[REALS[1]], service_flags::LOCAL);
    world.dataplane.put_peer(Peer {
        interface: INGRESS,
        mac: mac(REALS[1]),
        _reserved: [0; 2],
    });
    let interface = Interface {
        mac: DIRECTOR_MAC,
        flags: interface_flags::KNOWN | interface_flags::HAS_PEERS,
    };
    world.dataplane.put_interface(INGRESS, interface);
    world
}

#[test]
fn what_another_director_has_balanced_is_passed_whoever_is_the_master() {
    let mut world = pair();
    let leases = [
        lease(lease_state::HELD, 0),
        // Its successor has spoken, and the clients have not heard yet.
        lease(lease_state::HELD, 3 * SECOND),
        lease(lease_state::HELD, 6 * SECOND),
        lease(lease_state::HANDING_OVER, 0),
        lease(lease_state::VACANT, 0),
    ];
    for lease in leases {
        world.lease(lease);
        for flags in [SYN, ACK, FIN_ACK, RST] {
            let packet = Packet::tcp(client(1), service(), flags);
            world.expect(&from_peer(&packet, REALS[1]), Verdict::PassBalanced);
        }
    }
    assert!(world.dataplane.flow(&key4(1)).is_none());
    assert_eq!(world.dataplane.service_counters(TCP4).connections, 0);
}

#[test]
fn a_connection_that_this_node_has_sent_to_another_director_does_not_come_back_to_it() {
    let mut world = pair();
    for (flags, verdict) in [(SYN, Verdict::ForwardNew), (ACK, Verdict::ForwardFlow)] {
        let packet = Packet::tcp(client(1), service(), flags);
        world.expect_forwarded(&packet.build(), verdict, REALS[1]);
        world.expect(&from_peer(&packet, REALS[1]), Verdict::PassBalanced);
    }
}

#[test]
fn a_clients_packet_is_balanced_beside_peers() {
    let mut world = pair();
    // Neither the peer's address elsewhere nor a real server that is no peer.
    world.put_real(REALS[2], TCP4);
    let packet = Packet::tcp(client(1), service(), SYN);
    let fate = world.dataplane.send(&from_peer(&packet, REALS[2]));
    assert_eq!(fate.verdict, Verdict::ForwardNew);
    assert_eq!(fate.frame[6..12], OWN_MAC);
    world.dataplane.put_interface(
        INGRESS,
        Interface {
            mac: DIRECTOR_MAC,
            flags: interface_flags::KNOWN,
        },
    );
    let fate = world.dataplane.send(&from_peer(&packet, REALS[1]));
    assert_eq!(fate.verdict, Verdict::ForwardFlow);
}
