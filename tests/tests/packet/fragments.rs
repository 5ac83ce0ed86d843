//! *fragment*: later fragments follow the first.

use lab::dataplane::boot_now;
use lab::packet::{Packet, icmp};
use lb_common::{Fragment, FragmentKey, Verdict, lease_state, maps, protocol};

use crate::world::{
    CLIENT, LEASE, SECOND, UDP4, UDP6, VIP, World, address, client, client6, datagram_service,
    datagram_service6, lease, machine_is_up_for,
};

fn first(identification: u32) -> Packet {
    Packet::udp(client(1), datagram_service())
        .payload(&[1; 1400])
        .fragment(0, true, identification)
}

fn later(identification: u32) -> Packet {
    Packet::udp(client(1), datagram_service())
        .payload(&[2; 600])
        .fragment(176, false, identification)
}

#[test]
fn later_fragments_follow_the_first() {
    let mut world = World::new();
    let slot = World::slot(UDP4, 0);
    world.expect_forwarded(&first(7).build(), Verdict::ForwardNew, slot);
    for _ in 0..3 {
        world.expect_forwarded(&later(7).build(), Verdict::ForwardFragment, slot);
    }
    world.expect(&later(8).build(), Verdict::DropFragment);
    assert_eq!(world.dataplane.real_counters(slot).packets, 4);
    assert_eq!(world.dataplane.real_counters(slot).connections, 1);
}

#[test]
fn so_they_do_in_ipv6() {
    let mut world = World::new();
    let slot = World::slot(UDP6, 0);
    let packet = || Packet::udp(client6(1), datagram_service6()).extension(0, &[0, 1, 4, 0, 0, 0, 0]);
    let first = packet().payload(&[1; 1208]).fragment(0, true, 0xdead_beef);
    let later = |id| packet().payload(&[2; 99]).fragment(152, false, id).build();
    world.expect(&later(0xdead_beef), Verdict::DropFragment);
    world.expect_forwarded(&first.build(), Verdict::ForwardNew, slot);
    world.expect_forwarded(&later(0xdead_beef), Verdict::ForwardFragment, slot);
    world.expect(&later(0xdead_bee0), Verdict::DropFragment);
}

#[test]
fn a_fragment_is_remembered_for_as_long_as_the_kernel_waits() {
    for (seconds, verdict) in [(29, Verdict::ForwardFragment), (31, Verdict::DropFragment)] {
        if !machine_is_up_for(seconds) {
            continue;
        }
        let mut world = World::new();
        let key = FragmentKey {
            source: address(CLIENT.into()),
            destination: address(VIP.into()),
            identification: 7,
            protocol: u32::from(protocol::UDP),
        };
        let value = Fragment {
            real: World::slot(UDP4, 0),
            generation: 1,
            seen_at: boot_now() - seconds * SECOND,
            lease: LEASE,
            _reserved: 0,
        };
        world
            .dataplane
            .table(maps::FRAGMENTS)
            .insert(key, value, 0)
            .expect("FRAGMENTS");
        assert_eq!(world.send(&later(7)).verdict, verdict);
    }
}

#[test]
fn a_fragment_whose_real_server_is_gone_goes_nowhere() {
    let mut world = World::new();
    let slot = World::slot(UDP4, 0);
    world.expect_forwarded(&first(7).build(), Verdict::ForwardNew, slot);
    world.change_real(slot, |real| real.generation += 1);
    world.expect(&later(7).build(), Verdict::DropFragment);
}

#[test]
fn a_lease_rules_fragments_too() {
    let mut world = World::new();
    world.expect_forwarded(&first(7).build(), Verdict::ForwardNew, World::slot(UDP4, 0));
    world.lease(lease(lease_state::HELD, 6 * SECOND));
    world.expect(&later(7).build(), Verdict::DropLeaseExpired);
    world.expect(&later(8).build(), Verdict::DropLeaseExpired);
    world.lease(lease(lease_state::VACANT, 0));
    world.expect(&later(7).build(), Verdict::PassNotMaster);
    world.expect(&later(8).build(), Verdict::PassNotMaster);
}

#[test]
fn other_fragments_are_the_kernels() {
    let mut world = World::new();
    let elsewhere = Packet::udp(client(1), "10.0.0.101:53".parse().unwrap())
        .payload(&[2; 64])
        .fragment(8, true, 7);
    world.expect(&elsewhere.build(), Verdict::PassNotOurs);
    let ping = Packet::other(CLIENT.into(), VIP.into(), 1, icmp(8, 0, [0; 4], &[])).payload(&[1; 64]);
    world.expect(&ping.clone().fragment(0, true, 7).build(), Verdict::PassNoService);
    world.expect(&ping.fragment(8, false, 7).build(), Verdict::PassNoService);
}

#[test]
fn a_first_fragment_too_short_for_its_ports_is_malformed() {
    let mut world = World::new();
    let mut frame = first(7).build();
    frame[16..18].copy_from_slice(&24_u16.to_be_bytes());
    frame.truncate(14 + 24);
    world.expect(&frame, Verdict::DropMalformed);
}
