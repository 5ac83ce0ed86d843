//! *flow*, the table: who makes room for whom.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Instant;

use lab::dataplane::{Action, FLOW_SECRET, boot_now};
use lab::packet::{ACK, FIN_ACK, Flags, Packet, SYN};
use lb_common::{
    Connection as _, FlowKey4, NO_LEASE, Places, Verdict, WORDS_PER_BUCKET, flow_buckets, flow_state, maps,
    placement,
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
    world.expect_forwarded(&segment(100, SYN), Verdict::ForwardPlaced, REALS[0]);
    assert_eq!(world.dataplane.flow(&key4(100)), None);
    for port in 1..=FULL {
        world.expect_forwarded(&segment(port, ACK), Verdict::ForwardFlow, REALS[0]);
    }
    // One that has said farewell makes room, and new ones are remembered when the episode is over.
    if boot_now() < 20 * SECOND {
        println!("the machine is not up for long enough: left out");
        return;
    }
    let slot = REALS[0];
    let farewell = boot_now() - 10 * SECOND;
    world
        .dataplane
        .put_flow(&key4(3), flow_state::CLOSING, slot, farewell);
    world.dataplane.put_episode(TCP4, 0);
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
        (2, flow_state::NASCENT, 10),
        (3, flow_state::NASCENT, 20),
        (4, flow_state::ESTABLISHED, 300),
        (5, flow_state::NASCENT, 70),
        (6, flow_state::CLOSING, 6),
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
        now - 10 * SECOND,
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
        world.expect_forwarded(&datagram(port), Verdict::ForwardPlaced, World::slot(UDP4, 0));
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
        world.expect_forwarded(&packet_of(&second, ACK), Verdict::ForwardPlaced, datagrams);
        world.expect_forwarded(&packet_of(&first, ACK), Verdict::ForwardFlow, REALS[0]);
    }
}

/// Whoever has no word because another connection has it: the hash places all of its packets alike.
#[test]
fn a_connection_whose_word_is_another_services_keeps_its_real_server() {
    let (datagrams, second) = twins(
        |number| numbered(number, datagram_key4(1)),
        |number| numbered(number, key4(1)),
    );
    let mut world = one_bucket();
    for slot in REALS {
        world.put_real(slot, TCP4);
    }
    world.schedule(TCP4, &REALS);
    for verdict in [Verdict::ForwardNew, Verdict::ForwardFlow] {
        world.expect_forwarded(&packet_of(&datagrams, ACK), verdict, World::slot(UDP4, 0));
    }
    let slot = REALS[(second.place(placement::SOURCE_AND_PORT) % 3) as usize];
    for flags in [SYN, ACK, ACK, FIN_ACK] {
        world.expect_forwarded(&packet_of(&second, flags), Verdict::ForwardPlaced, slot);
    }
}

/// A frame that is as good as the template's, from another client. (Its checksums are not right; nobody looks at them.)
fn spoofed(template: &[u8], network: u32, number: u32) -> Vec<u8> {
    let mut frame = template.to_vec();
    frame[26..30].copy_from_slice(&(network + number).to_be_bytes());
    let port = 1_024 + (number.wrapping_mul(0x9e37_79b1) >> 17) as u16;
    frame[34..36].copy_from_slice(&port.to_be_bytes());
    frame
}

/// A client of the TCP or of the UDP service.
#[derive(Clone, Copy)]
struct Genuine {
    is_udp: bool,
    network: u32,
    number: u32,
}

impl Genuine {
    /// Sends the client's packet number `position`. Returns who gets it, if anybody does.
    fn send(self, world: &mut World, position: usize) -> Option<[u8; 6]> {
        let template = if self.is_udp {
            datagram(1)
        } else {
            segment(1, if position == 0 { SYN } else { ACK })
        };
        let (action, frame) = world
            .dataplane
            .run(&spoofed(&template, self.network, self.number));
        // A reset is sent off as well, to the client.
        let taker: [u8; 6] = frame[..6].try_into().expect("a frame");
        (action == Action::Transmit && taker[1] == 0xbb).then_some(taker)
    }
}

/// What comes within the round trip of a handshake, of a flood of ten million.
const WITHIN_A_ROUND_TRIP: u32 = 150_000;

/// Ten million spoofed packets, against a hundred thousand established connections and a stream of handshakes: no
/// connection is lost, and hardly a handshake. All of that smaller, in proportion, unless `LBD_TEST_FULL_FLOOD=1` is set
/// (a minute each; `--nocapture` shows the figures).
fn withstand(name: &str, flood: &[Vec<u8>]) {
    run_on(0);
    let is_full = std::env::var_os("LBD_TEST_FULL_FLOOD").is_some();
    let shrunk = if is_full { 1 } else { 32 };
    let mut world = World::with_room(maps::DEFAULT_FLOW_TABLE_SIZE / shrunk);
    let schedule = |world: &mut World, limit| {
        world.new_flow_limit = limit;
        for index in [TCP4, UDP4] {
            let slots = [0, 1, 2].map(|server| World::slot(index, server));
            for slot in slots {
                world.put_real(slot, index);
            }
            // A lease would run out meanwhile.
            world.schedule_guarded(index, &slots, NO_LEASE);
        }
    };
    schedule(&mut world, 0);
    let established: Vec<_> = (0..100_000 / shrunk)
        .map(|number| {
            let client = Genuine {
                is_udp: number % 2 == 1,
                network: 0x0c00_0000,
                number,
            };
            let taker = client.send(&mut world, 0);
            assert!(taker.is_some() && client.send(&mut world, 1) == taker);
            (client, taker)
        })
        .collect();
    // The default, in proportion.
    schedule(&mut world, 100_000 / shrunk);
    let packets = 10_000_000 / shrunk;
    let round_trip = WITHIN_A_ROUND_TRIP / shrunk;
    let between = if is_full { 1_000 } else { 100 };
    let mut under_way = VecDeque::new();
    let (mut handshakes, mut refused) = (0_u32, 0_u32);
    let began = Instant::now();
    for number in 0..packets {
        let kinds = flood.len() as u32;
        let frame = spoofed(&flood[(number % kinds) as usize], 0x0b00_0000, number / kinds);
        world.dataplane.run(&frame);
        if number % between == 0 {
            let client = Genuine {
                is_udp: number / between % 2 == 1,
                network: 0x0d00_0000,
                number,
            };
            let taker = client.send(&mut world, 0);
            under_way.push_back((number + round_trip, client, 1, taker));
        }
        while let Some((at, client, position, taker)) = under_way.pop_front() {
            if at > number {
                under_way.push_front((at, client, position, taker));
                break;
            }
            let next = client.send(&mut world, position);
            if taker.is_none() || next != taker {
                refused += 1;
                handshakes += 1;
            } else if position == 2 {
                handshakes += 1;
            } else {
                under_way.push_back((at + round_trip, client, position + 1, taker));
            }
        }
    }
    let took = began.elapsed();
    let lost = established
        .iter()
        .filter(|(client, taker)| client.send(&mut world, 2) != *taker)
        .count();
    println!(
        "{name}, {packets} packets in {took:.1?}: of {} established connections {lost} lost, of {handshakes} handshakes \
         {refused} refused",
        established.len()
    );
    assert_eq!(lost, 0);
    assert!(handshakes > packets / between / 2);
    assert!(refused * 100 <= handshakes, "{refused} of {handshakes}");
}

#[test]
fn a_flood_of_syns_costs_nobody_a_connection() {
    withstand("SYN", &[segment(1, SYN)]);
}

#[test]
fn a_flood_of_forged_handshakes_costs_nobody_a_connection() {
    withstand("SYN, ACK, ACK", &[SYN, ACK, ACK].map(|flags| segment(1, flags)));
}

#[test]
fn a_flood_of_datagrams_costs_nobody_a_connection() {
    withstand("UDP", &[datagram(1)]);
}
