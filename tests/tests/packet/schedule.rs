//! *schedule*: exact weights, and what to do when a real server cannot take a connection.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lab::packet::{Packet, SYN};
use lb_common::{Connection, Verdict, placement, real_flags};

use crate::world::{LEASE, REALS, TCP4, TCP6, World, client, client6, key4, key6, run_on, service, service6};

fn syn(port: u16) -> Vec<u8> {
    Packet::tcp(client(port), service(), SYN).build()
}

/// The order of smooth weighted round-robin for 3:2:1.
const RING: [usize; 6] = [0, 1, 0, 2, 1, 0];

fn weighted() -> World {
    // For as many as have begun just now.
    let mut world = World::with_room(4_096);
    for slot in REALS {
        world.put_real(slot, TCP4);
    }
    world.schedule(TCP4, &RING.map(|server| REALS[server]));
    world
}

fn connections(world: &mut World) -> [u64; 3] {
    REALS.map(|slot| world.dataplane.real_counters(slot).connections)
}

#[test]
fn weights_are_kept_exactly_in_every_round() {
    let mut world = weighted();
    for port in 0..60 {
        let server = RING[usize::from(port) % RING.len()];
        world.expect_forwarded(&syn(port + 1), Verdict::ForwardNew, REALS[server]);
    }
    assert_eq!(connections(&mut world), [30, 20, 10]);
}

/// The cursor is shared: connections that arrive on different CPUs take turns in one order.
#[test]
fn weights_are_kept_exactly_over_all_cpus() {
    let mut world = weighted();
    let cpus = std::thread::available_parallelism()
        .expect("a number of CPUs")
        .get();
    for port in 0..600_u16 {
        run_on(usize::from(port) % cpus);
        world.dataplane.run(&syn(port + 1));
    }
    assert_eq!(connections(&mut world), [300, 200, 100]);
}

#[test]
fn a_server_that_cannot_take_a_connection_is_skipped() {
    for missing in [real_flags::UP, real_flags::RESOLVED, real_flags::CONFIGURED] {
        let mut world = weighted();
        world.change_real(REALS[0], |real| real.flags &= !missing);
        for port in 1..=12 {
            world.dataplane.run(&syn(port));
        }
        let [none, second, third] = connections(&mut world);
        assert_eq!((none, second + third), (0, 12));
    }
}

#[test]
fn a_slot_that_belongs_to_another_service_is_skipped() {
    let mut world = weighted();
    world.change_real(REALS[0], |real| real.service = TCP4 + 1);
    world.expect_forwarded(&syn(1), Verdict::ForwardNew, REALS[1]);
}

#[test]
fn a_schedule_that_is_about_to_change_keeps_a_connection_waiting() {
    let mut world = weighted();
    for slot in REALS {
        world.change_real(slot, |real| real.flags &= !real_flags::UP);
    }
    world.expect(&syn(1), Verdict::DropNoRealServer);
    assert_eq!(world.dataplane.service_counters(TCP4).connections, 0);
}

/// The same servers, where a hash places connections.
fn hashed(placement: u32) -> World {
    let mut world = weighted();
    world.schedule_placed(TCP4, &RING.map(|server| REALS[server]), LEASE, placement);
    for server in 0..REALS.len() {
        world.put_real(World::slot(TCP6, server), TCP6);
    }
    let ring = RING.map(|server| World::slot(TCP6, server));
    world.schedule_placed(TCP6, &ring, LEASE, placement);
    world
}

/// Where the ring has the real server that a hash names.
fn placed(place: u64) -> usize {
    RING[(place % RING.len() as u64) as usize]
}

#[test]
fn a_client_always_gets_the_same_server_by_source() {
    let mut world = hashed(placement::SOURCE);
    let server = placed(key4(1).place(placement::SOURCE));
    for port in 1..=50 {
        world.expect_forwarded(&syn(port), Verdict::ForwardNew, REALS[server]);
    }
    let server = placed(key6(1).place(placement::SOURCE));
    for port in 1..=50 {
        let syn = Packet::tcp(client6(port), service6(), SYN).build();
        world.expect_forwarded(&syn, Verdict::ForwardNew, World::slot(TCP6, server));
    }
}

#[test]
fn ports_are_told_apart_where_they_are_hashed() {
    let mut world = hashed(placement::SOURCE_AND_PORT);
    for port in 1..=600 {
        let server = placed(key4(port).place(placement::SOURCE_AND_PORT));
        world.expect_forwarded(&syn(port), Verdict::ForwardNew, REALS[server]);
    }
    // As the weights say, 3:2:1, give or take what chance does in one of a thousand tries.
    let counts = connections(&mut world);
    for (count, fair) in counts.iter().zip([300, 200, 100_u64]) {
        assert!(count.abs_diff(fair) < 41, "{counts:?}");
    }
    for port in 1..=20 {
        let server = placed(key6(port).place(placement::SOURCE_AND_PORT));
        let syn = Packet::tcp(client6(port), service6(), SYN).build();
        world.expect_forwarded(&syn, Verdict::ForwardNew, World::slot(TCP6, server));
    }
}

/// What a director of another release does, too: these were worked out by another program.
#[test]
fn clients_are_placed_where_they_always_were() {
    let mut world = hashed(placement::SOURCE);
    for (client, server) in GOLDEN.into_iter().zip(GOLDEN_SERVERS) {
        let client = SocketAddr::new(IpAddr::V4(Ipv4Addr::from(client)), 1_024);
        let syn = Packet::tcp(client, service(), SYN).build();
        world.expect_forwarded(&syn, Verdict::ForwardNew, REALS[server]);
    }
}

const GOLDEN: [[u8; 4]; 8] = [
    [198, 51, 100, 1],
    [198, 51, 100, 2],
    [203, 0, 113, 1],
    [203, 0, 113, 2],
    [203, 0, 113, 3],
    [203, 0, 113, 4],
    [10, 0, 0, 1],
    [192, 168, 1, 3],
];

/// The places of `GOLDEN` in a ring of 3:2:1.
const GOLDEN_SERVERS: [usize; 8] = [0, 0, 0, 1, 1, 0, 1, 2];

#[test]
fn all_clients_of_a_virtual_address_get_one_server_by_destination() {
    let mut world = hashed(placement::DESTINATION);
    let server = placed(key4(1).place(placement::DESTINATION));
    for number in 1..=20 {
        let client = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, number)), 1_024);
        let syn = Packet::tcp(client, service(), SYN).build();
        world.expect_forwarded(&syn, Verdict::ForwardNew, REALS[server]);
    }
}

#[test]
fn a_known_connection_stays_where_it_is_when_the_table_changes() {
    let mut world = hashed(placement::SOURCE);
    let server = placed(key4(1).place(placement::SOURCE));
    world.expect_forwarded(&syn(1), Verdict::ForwardNew, REALS[server]);
    let other = REALS[(server + 1) % 3];
    world.schedule_placed(TCP4, &[other], LEASE, placement::SOURCE);
    world.expect_forwarded(&syn(1), Verdict::ForwardFlow, REALS[server]);
    world.expect_forwarded(&syn(2), Verdict::ForwardNew, other);
}

#[test]
fn a_client_of_a_server_that_has_just_gone_down_gets_the_next() {
    let mut world = hashed(placement::SOURCE);
    let place = key4(1).place(placement::SOURCE);
    let server = placed(place);
    world.change_real(REALS[server], |real| real.flags &= !real_flags::UP);
    let next = (1..6)
        .map(|step| placed(place + step))
        .find(|next| *next != server);
    let next = next.expect("another server");
    for port in 1..=5 {
        world.expect_forwarded(&syn(port), Verdict::ForwardNew, REALS[next]);
    }
}
