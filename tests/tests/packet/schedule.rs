//! *schedule*: exact weights, and what to do when a real server cannot take a connection.

use lab::packet::{Packet, SYN};
use lb_common::{Verdict, real_flags};

use crate::world::{REALS, TCP4, World, client, run_on, service};

fn syn(port: u16) -> Vec<u8> {
    Packet::tcp(client(port), service(), SYN).build()
}

/// The order of smooth weighted round-robin for 3:2:1.
const RING: [usize; 6] = [0, 1, 0, 2, 1, 0];

fn weighted() -> World {
    let mut world = World::new();
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
