//! *flow*, the table: who makes room for whom.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use lab::dataplane::{FLOW_SECRET, boot_now};
use lab::packet::{ACK, FIN_ACK, Flags, Packet, SYN};
use lb_common::{
    Connection as _, FlowKey4, Places, Verdict, WORDS_PER_BUCKET, flow_buckets, flow_state, maps,
};

use crate::world::{
    REALS, SECOND, TCP4, UDP4, World, client, datagram_key4, datagram_service, key4, run_on, service,
};

/// As many as a table of one bucket has room for.
const FULL: u16 = WORDS_PER_BUCKET as u16;

fn segment(port: u16, flags: Flags) -> Vec<u8> {
    Packet::tcp(client(port), service(), flags).build()
}

fn datagram(port: u16) -> Vec<u8> {
    Packet::udp(client(port), datagram_service()).build()
}

/// A table of one bucket.
fn one_bucket() -> World {
    assert_eq!(flow_buckets(4), 1);
    World::with_room(4)
}

/// Who of the connections from these ports is remembered.
fn remembered(world: &mut World, ports: impl Iterator<Item = u16>) -> Vec<u16> {
    ports
        .filter(|port| world.dataplane.flow(&key4(*port)).is_some())
        .collect()
}

#[test]
fn a_table_full_of_established_connections_takes_no_other() {
    let mut world = one_bucket();
    for port in 1..=FULL {
        world.expect_forwarded(&segment(port, SYN), Verdict::ForwardNew, REALS[0]);
        world.expect_forwarded(&segment(port, ACK), Verdict::ForwardFlow, REALS[0]);
    }
    // Forwarded, but not remembered.
    world.expect_forwarded(&segment(100, SYN), Verdict::ForwardNew, REALS[0]);
    assert_eq!(world.dataplane.flow(&key4(100)), None);
    for port in 1..=FULL {
        world.expect_forwarded(&segment(port, ACK), Verdict::ForwardFlow, REALS[0]);
    }
    // One that says farewell makes room.
    world.dataplane.run(&segment(3, FIN_ACK));
    world.expect_forwarded(&segment(101, SYN), Verdict::ForwardNew, REALS[0]);
    world.expect_forwarded(&segment(101, ACK), Verdict::ForwardFlow, REALS[0]);
    assert_eq!(world.dataplane.flow(&key4(3)), None);
}

/// First who has timed out, then datagrams, then SYNs, the oldest first, then the closing.
#[test]
fn who_is_wanted_least_makes_room_first() {
    let now = boot_now();
    if now < 400 * SECOND {
        println!("the machine is not up for long enough: left out");
        return;
    }
    let mut world = one_bucket();
    let slot = REALS[0];
    let flows = [
        (1, flow_state::CLOSING, 100),
        (2, flow_state::NASCENT, 1),
        (3, flow_state::NASCENT, 20),
        (4, flow_state::ESTABLISHED, 300),
        (5, flow_state::NASCENT, 70),
        (6, flow_state::CLOSING, 5),
    ];
    for (port, state, seconds) in flows {
        world
            .dataplane
            .put_flow(&key4(port), state, slot, now - seconds * SECOND);
    }
    world.dataplane.put_flow(
        &datagram_key4(7),
        flow_state::DATAGRAM,
        World::slot(UDP4, 0),
        now - SECOND,
    );
    let datagrams_slot = World::slot(UDP4, 0);
    world.dataplane.put_flow(
        &datagram_key4(8),
        flow_state::DATAGRAMS,
        datagrams_slot,
        now - 100 * SECOND,
    );
    // Each newcomer is established at once, so that none makes room for the next one.
    let mut evicted = Vec::new();
    for newcomer in 100..106 {
        let before = remembered(&mut world, 1..=6);
        world.expect_forwarded(&segment(newcomer, SYN), Verdict::ForwardNew, slot);
        world.expect_forwarded(&segment(newcomer, ACK), Verdict::ForwardFlow, slot);
        let after = remembered(&mut world, 1..=6);
        evicted.extend(before.into_iter().filter(|port| !after.contains(port)));
        if newcomer == 101 {
            assert_eq!(world.dataplane.flow(&datagram_key4(7)), None);
        }
    }
    assert_eq!(evicted, [5, 3, 2, 1, 6]);
    assert_eq!(remembered(&mut world, 1..=6), [4]);
    assert!(world.dataplane.flow(&datagram_key4(8)).is_some());
}

#[test]
fn a_datagram_makes_no_room_among_tcp_clients() {
    let mut world = one_bucket();
    for port in 1..=FULL {
        world.expect_forwarded(&segment(port, SYN), Verdict::ForwardNew, REALS[0]);
    }
    for port in 100..200 {
        world.expect_forwarded(&datagram(port), Verdict::ForwardNew, World::slot(UDP4, 0));
    }
    for port in 1..=FULL {
        world.expect_forwarded(&segment(port, ACK), Verdict::ForwardFlow, REALS[0]);
    }
}

#[test]
fn a_table_is_six_tenths_full_before_it_refuses() {
    const CONNECTIONS: u16 = 4_096;
    let mut world = World::with_room(u32::from(CONNECTIONS));
    let words = flow_buckets(u32::from(CONNECTIONS)) * WORDS_PER_BUCKET as u32;
    for port in 1..=CONNECTIONS {
        for flags in [SYN, ACK] {
            world.dataplane.run(&segment(port, flags));
        }
    }
    let kept = remembered(&mut world, 1..=CONNECTIONS).len();
    println!("{kept} of {CONNECTIONS} established in {words} words");
    assert_eq!(kept, usize::from(CONNECTIONS));
}

#[test]
fn a_flood_of_first_packets_evicts_no_established_connection() {
    let mut world = World::with_room(256);
    world.unguard(TCP4);
    for port in 1..=64 {
        world.expect_forwarded(&segment(port, SYN), Verdict::ForwardNew, REALS[0]);
        world.expect_forwarded(&segment(port, ACK), Verdict::ForwardFlow, REALS[0]);
    }
    for port in 1000..11_000 {
        world.dataplane.run(&segment(port, SYN));
        world.dataplane.run(&datagram(port));
    }
    for port in 1..=64 {
        world.expect_forwarded(&segment(port, ACK), Verdict::ForwardFlow, REALS[0]);
    }
}

/// IPVS keeps an idle connection for 15 minutes, however many others have come and gone.
#[test]
fn closed_connections_evict_no_idle_one() {
    const IDLE: u16 = 20;
    let mut world = World::with_room(4_096);
    world.unguard(TCP4);
    for port in 1..=IDLE {
        world.expect_forwarded(&segment(port, SYN), Verdict::ForwardNew, REALS[0]);
        world.expect_forwarded(&segment(port, ACK), Verdict::ForwardFlow, REALS[0]);
    }
    for port in 1000..19_000 {
        for flags in [SYN, ACK, FIN_ACK, ACK] {
            world.dataplane.run(&segment(port, flags));
        }
    }
    for port in 1..=IDLE {
        world.expect_forwarded(&segment(port, ACK), Verdict::ForwardFlow, REALS[0]);
    }
}

#[test]
fn a_client_that_has_closed_its_half_is_served_to_the_end() {
    let mut world = World::with_room(256);
    for flags in [SYN, ACK, FIN_ACK] {
        world.dataplane.run(&segment(1, flags));
    }
    for port in 1000..3000 {
        world.dataplane.run(&segment(port, SYN));
        world.dataplane.run(&datagram(port));
    }
    world.expect_forwarded(&segment(1, ACK), Verdict::ForwardFlow, REALS[0]);
}

/// Two connections that the table cannot tell apart: equal hashes but for the bits that neither bucket nor tag has.
fn twins(key: impl Fn(u32) -> FlowKey4, others: impl Fn(u32) -> FlowKey4) -> (FlowKey4, FlowKey4) {
    let places = |key: &FlowKey4| Places::new(key.hash(&FLOW_SECRET), 0).first_tag;
    let tags: HashMap<u64, u32> = (0..400_000)
        .map(|number| (places(&key(number)), number))
        .collect();
    (0..400_000)
        .find_map(|number| {
            let other = others(number);
            let twin = tags.get(&places(&other))?;
            (key(*twin) != other).then(|| (key(*twin), other))
        })
        .expect("of so many, some are alike")
}

fn numbered(number: u32, of: FlowKey4) -> FlowKey4 {
    FlowKey4 {
        client_address: (0xc633_0000 + number / 50_000).to_be_bytes(),
        client_port: 1000 + (number % 50_000) as u16,
        ..of
    }
}

fn packet_of(key: &FlowKey4, flags: Flags) -> Vec<u8> {
    let client = (Ipv4Addr::from(key.client_address), key.client_port).into();
    if key.protocol == key4(1).protocol {
        Packet::tcp(client, service(), flags).build()
    } else {
        Packet::udp(client, datagram_service()).build()
    }
}

#[test]
fn a_connection_that_is_taken_for_another_has_that_ones_real_server() {
    let (first, second) = twins(
        |number| numbered(number, key4(1)),
        |number| numbered(400_000 + number, key4(1)),
    );
    let mut world = one_bucket();
    world.put_real(REALS[1], TCP4);
    world.schedule(TCP4, &[REALS[0], REALS[1]]);
    for (flags, verdict) in [(SYN, Verdict::ForwardNew), (ACK, Verdict::ForwardFlow)] {
        world.expect_forwarded(&packet_of(&first, flags), verdict, REALS[0]);
    }
    // It would be the other one's turn.
    for flags in [SYN, ACK, ACK] {
        world.expect_forwarded(&packet_of(&second, flags), Verdict::ForwardFlow, REALS[0]);
        world.expect_forwarded(&packet_of(&first, ACK), Verdict::ForwardFlow, REALS[0]);
    }
}

#[test]
fn a_connection_that_is_taken_for_one_of_another_service_disturbs_it_not() {
    let (first, second) = twins(
        |number| numbered(number, key4(1)),
        |number| numbered(number, datagram_key4(1)),
    );
    let mut world = one_bucket();
    for (flags, verdict) in [(SYN, Verdict::ForwardNew), (ACK, Verdict::ForwardFlow)] {
        world.expect_forwarded(&packet_of(&first, flags), verdict, REALS[0]);
    }
    for _ in 0..3 {
        let datagrams = World::slot(UDP4, 0);
        world.expect_forwarded(&packet_of(&second, ACK), Verdict::ForwardNew, datagrams);
        world.expect_forwarded(&packet_of(&first, ACK), Verdict::ForwardFlow, REALS[0]);
    }
}

/// The `number`th of a flood's segments: of whichever clients, none of them [`CLIENT`](crate::world::CLIENT).
fn flooding(number: u32, flags: Flags) -> Vec<u8> {
    let address = Ipv4Addr::from_bits(0xc633_6500 + number / 60_000);
    let port = 1000 + (number % 60_000) as u16;
    Packet::tcp((address, port).into(), service(), flags).build()
}

/// Ten clients send `genuine`, then come `number` others with `flood` each, then the ten `after`. Returns how many of
/// the ten are reset with their next segment.
fn reset_after(room: u32, genuine: &[Flags], number: u32, flood: &[Flags], after: &[Flags]) -> usize {
    run_on(0);
    let mut world = World::with_room(room);
    // A lease would run out meanwhile.
    world.unguard(TCP4);
    let mut send = |numbers: std::ops::Range<u32>, flags: &[Flags], packet: fn(u32, Flags) -> Vec<u8>| {
        for number in numbers {
            for flags in flags {
                world.dataplane.run(&packet(number, *flags));
            }
        }
    };
    let genuinely: fn(u32, Flags) -> Vec<u8> = |port, flags| segment(port as u16, flags);
    send(1..11, genuine, genuinely);
    send(0..number, flood, flooding);
    send(1..11, after, genuinely);
    let mut is_reset = |port| match world.dataplane.send(&segment(port, ACK)).verdict {
        Verdict::ForwardFlow => false,
        // The flood's were reset as well, as many as are in a second.
        Verdict::ResetUnknownFlow | Verdict::DropAnswerLimit => true,
        other => panic!("{other:?}"),
    };
    let reset = (1..=10).filter(|port| is_reset(*port)).count();
    println!("room for {room}, {number} times {flood:?}: {reset} of 10 reset");
    reset
}

/// What README.md and ARCHITECTURE.md say of floods. Smaller tables and smaller floods in proportion;
/// `LBD_TEST_FULL_FLOOD=1` for those of the default (some minutes; `--nocapture` shows the figures).
#[test]
fn a_flood_that_fits_into_the_table_costs_nobody_a_connection() {
    let shrunk = if std::env::var_os("LBD_TEST_FULL_FLOOD").is_some() {
        1
    } else {
        32
    };
    let room = maps::DEFAULT_FLOW_TABLE_SIZE / shrunk;
    let words = flow_buckets(room) * WORDS_PER_BUCKET as u32;
    // Within a round trip of ten handshakes.
    assert_eq!(reset_after(room, &[SYN], 150_000 / shrunk, &[SYN], &[]), 0);
    // Of ten connections that are established.
    assert_eq!(reset_after(room, &[SYN, ACK], 2 * words, &[SYN], &[]), 0);
    assert_eq!(reset_after(room, &[SYN, ACK], words, &[SYN, ACK, ACK], &[]), 0);
}

/// What a table that remembers every first packet cannot do: no goal, but what README.md and ARCHITECTURE.md say of it.
/// Whoever mends it turns the assertions round.
#[test]
fn a_flood_larger_than_the_table_refuses_new_connections() {
    const ROOM: u32 = 2_048;
    let words = flow_buckets(ROOM) * WORDS_PER_BUCKET as u32;
    let reset = reset_after(ROOM, &[SYN], 4 * words, &[SYN], &[]);
    assert!(reset > 0, "the flood was too small to measure anything");
    // Who sends a second packet is established: where all are, nobody else comes in.
    let reset = reset_after(ROOM, &[], 4 * words, &[SYN, ACK, ACK], &[SYN]);
    assert!(reset > 0, "the flood was too small to measure anything");
}
