//! *episode*: more new connections than are remembered.

use lab::dataplane::{Fate, boot_now};
use lab::packet::{ACK, FIN_ACK, Flags, Packet, RST, SYN};
use lb_common::{Connection, Episode, FlowClock, Verdict, flow_state, placement};

use crate::world::{
    LEASE, SECOND, TCP4, TCP6, UDP4, World, client, client6, datagram_key4, datagram_service, key4, key6,
    run_on, service, service6,
};

/// Three real servers behind each service, in turn.
fn world(connections: u32, new_flow_limit: u32) -> World {
    let mut world = World::with_room(connections);
    world.new_flow_limit = new_flow_limit;
    for index in [TCP4, UDP4, TCP6] {
        let slots = [0, 1, 2].map(|server| World::slot(index, server));
        for slot in slots {
            world.put_real(slot, index);
        }
        world.schedule(index, &slots);
    }
    world
}

/// The same, whose episodes end in so many seconds.
fn in_episode(seconds: u64) -> World {
    let mut world = world(4_096, 0);
    for index in [TCP4, UDP4, TCP6] {
        world.dataplane.put_episode(index, boot_now() + seconds * SECOND);
    }
    world
}

fn segment(port: u16, flags: Flags) -> Vec<u8> {
    Packet::tcp(client(port), service(), flags).build()
}

fn segment6(port: u16, flags: Flags) -> Vec<u8> {
    Packet::tcp(client6(port), service6(), flags).build()
}

fn datagram(port: u16) -> Vec<u8> {
    Packet::udp(client(port), datagram_service()).build()
}

/// The real server that a hash names, of a service in turn.
fn placed(index: u32, key: &impl Connection) -> u32 {
    World::slot(index, (key.place(placement::SOURCE_AND_PORT) % 3) as usize)
}

/// Who got a frame, by the last byte of the link-layer address.
fn taker(fate: &Fate) -> u8 {
    assert!(fate.verdict.name().starts_with("forward"), "{:?}", fate.verdict);
    fate.frame[5]
}

#[test]
fn new_connections_beyond_the_limit_are_placed_by_a_hash_and_not_remembered() {
    run_on(0);
    let mut world = world(4_096, 1_000_000_000);
    for port in 1..=100 {
        world.dataplane.run(&segment6(port, SYN));
        let verdict = world.dataplane.send(&segment(port, SYN)).verdict;
        assert_eq!(verdict, Verdict::ForwardNew);
    }
    world.dataplane.use_up_new_flows(TCP4);
    let mut remembered = 0;
    for port in 101..=200 {
        let syn = world.dataplane.send(&segment(port, SYN));
        let again = world.dataplane.send(&segment(port, SYN));
        let ack = world.dataplane.send(&segment(port, ACK));
        assert_eq!([taker(&again), taker(&ack)], [taker(&syn); 2], "port {port}");
        if syn.verdict == Verdict::ForwardPlaced {
            assert_eq!(u32::from(taker(&syn)), placed(TCP4, &key4(port)));
            assert_eq!(again.verdict, Verdict::ForwardPlaced);
        } else {
            assert_eq!(remembered, port - 101, "once it has begun, an episode goes on");
            remembered += 1;
        }
    }
    // They are counted by so many.
    assert!(u64::from(remembered) <= Episode::BATCH, "{remembered}");
    let left = world.dataplane.episode(TCP4).until - boot_now();
    assert!((1..=Episode::LENGTH).contains(&left), "{left}");
    // Each service has its own.
    assert_eq!(world.dataplane.episode(TCP6).until, 0);
    for port in 101..=200 {
        let verdict = world.dataplane.send(&segment6(port, SYN)).verdict;
        assert_eq!(verdict, Verdict::ForwardNew);
    }
}

#[test]
fn an_episode_lasts_for_as_long_as_there_are_too_many_and_then_a_minute() {
    run_on(0);
    let mut world = world(4_096, 1_000_000_000);
    world.dataplane.put_episode(TCP4, boot_now() + 5 * SECOND);
    for port in 1..=100 {
        world.dataplane.run(&segment(port, SYN));
    }
    assert!(world.dataplane.episode(TCP4).until < boot_now() + 10 * SECOND);
    world.dataplane.use_up_new_flows(TCP4);
    for port in 1..=100 {
        world.dataplane.run(&segment(port, SYN));
    }
    assert!(world.dataplane.episode(TCP4).until > boot_now() + 30 * SECOND);
}

#[test]
fn without_a_limit_any_number_is_remembered() {
    let mut world = world(16_384, 0);
    for port in 1..=5_000 {
        assert_eq!(
            world.dataplane.send(&segment(port, SYN)).verdict,
            Verdict::ForwardNew
        );
    }
    assert_eq!(world.dataplane.episode(TCP4), Episode::default());
}

#[test]
fn an_episode_is_one_for_all_cpus() {
    let cpus = std::thread::available_parallelism().expect("a number").get();
    let mut world = in_episode(60);
    for cpu in 0..cpus {
        run_on(cpu);
        let port = cpu as u16 + 1;
        world.expect_forwarded(
            &segment(port, SYN),
            Verdict::ForwardPlaced,
            placed(TCP4, &key4(port)),
        );
    }
}

#[test]
fn a_table_without_a_place_begins_an_episode() {
    // One bucket.
    let mut world = world(4, 0);
    for port in 1..=8 {
        for flags in [SYN, ACK] {
            world.dataplane.run(&segment(port, flags));
        }
    }
    assert_eq!(world.dataplane.episode(TCP4).until, 0);
    for port in 100..110 {
        for flags in [SYN, ACK, ACK] {
            let slot = placed(TCP4, &key4(port));
            world.expect_forwarded(&segment(port, flags), Verdict::ForwardPlaced, slot);
        }
    }
    let episode = world.dataplane.episode(TCP4);
    assert!(episode.until > boot_now() && episode.refused_at > 0);
    assert_eq!(world.dataplane.service_counters(TCP4).connections, 8 + 10);
    for port in 1..=8 {
        assert_eq!(
            world.dataplane.send(&segment(port, ACK)).verdict,
            Verdict::ForwardFlow
        );
    }
}

#[test]
fn handshakes_under_way_are_pushed_out_by_nobody() {
    let mut world = world(4, 0);
    let takers: Vec<u8> = (1..=8)
        .map(|port| taker(&world.dataplane.send(&segment(port, SYN))))
        .collect();
    for port in 100..200 {
        let verdict = world.dataplane.send(&segment(port, SYN)).verdict;
        assert_eq!(verdict, Verdict::ForwardPlaced);
    }
    for (port, first) in (1..=8).zip(takers) {
        let fate = world.dataplane.send(&segment(port, ACK));
        assert_eq!((fate.verdict, taker(&fate)), (Verdict::ForwardFlow, first));
    }
}

#[test]
fn known_connections_are_not_touched_by_an_episode() {
    let mut world = world(4_096, 0);
    let takers: Vec<u8> = (1..=30)
        .map(|port| taker(&world.dataplane.send(&segment(port, SYN))))
        .collect();
    world.dataplane.put_episode(TCP4, boot_now() + 60 * SECOND);
    for (port, first) in (1..=30).zip(takers) {
        for flags in [SYN, ACK, FIN_ACK, ACK] {
            let fate = world.dataplane.send(&segment(port, flags));
            assert_eq!((fate.verdict, taker(&fate)), (Verdict::ForwardFlow, first));
        }
    }
}

/// It has a word in the table, and the one that begins anew is to have it.
#[test]
fn a_connection_that_begins_anew_in_an_episode_keeps_its_word() {
    let mut world = world(4_096, 0);
    for port in 1..=30 {
        for flags in [SYN, ACK, FIN_ACK] {
            world.dataplane.run(&segment(port, flags));
        }
    }
    world.dataplane.put_episode(TCP4, boot_now() + 60 * SECOND);
    for port in 1..=30 {
        let slot = placed(TCP4, &key4(port));
        world.expect_forwarded(&segment(port, SYN), Verdict::ForwardPlaced, slot);
        world.expect_forwarded(&segment(port, ACK), Verdict::ForwardFlow, slot);
    }
}

#[test]
fn who_began_in_an_episode_is_remembered_after_it_and_keeps_the_real_server() {
    let mut world = in_episode(60);
    for port in 1..=30 {
        let (slot, slot6) = (placed(TCP4, &key4(port)), placed(TCP6, &key6(port)));
        world.expect_forwarded(&segment(port, SYN), Verdict::ForwardPlaced, slot);
        world.expect_forwarded(&segment6(port, SYN), Verdict::ForwardPlaced, slot6);
    }
    for index in [TCP4, TCP6] {
        world.dataplane.put_episode(index, boot_now() - SECOND);
    }
    // Whoever begins now is scheduled.
    let turns: Vec<u8> = (101..=106)
        .map(|port| taker(&world.dataplane.send(&segment(port, SYN))))
        .collect();
    assert_eq!(turns[..3], turns[3..]);
    let slot = placed(TCP4, &key4(1));
    world.expect_forwarded(&segment(1, ACK), Verdict::ForwardPlaced, slot);
    world.expect_forwarded(&segment(1, ACK), Verdict::ForwardFlow, slot);
    let word = world.dataplane.flow(&key4(1)).expect("it is remembered");
    assert_eq!((word.state(), word.slot()), (flow_state::ESTABLISHED, slot));
    let name = world.dataplane.flow_name(&key4(1)).expect("it has a place");
    assert_eq!(name.client_port, 1);
    for port in 2..=30 {
        let (slot, slot6) = (placed(TCP4, &key4(port)), placed(TCP6, &key6(port)));
        for flags in [ACK, FIN_ACK, RST] {
            let fate = world.dataplane.send(&segment(port, flags));
            assert!(matches!(
                fate.verdict,
                Verdict::ForwardPlaced | Verdict::ForwardFlow
            ));
            assert_eq!(taker(&fate), slot as u8);
            let fate = world.dataplane.send(&segment6(port, flags));
            assert!(matches!(
                fate.verdict,
                Verdict::ForwardPlaced | Verdict::ForwardFlow
            ));
            assert_eq!(taker(&fate), slot6 as u8);
        }
    }
}

#[test]
fn a_flood_of_segments_takes_a_quarter_of_the_table_within_a_timeout() {
    let mut world = in_episode(60);
    let price = Episode::price_of_remembering(u64::from(world.dataplane.words()), &FlowClock::default());
    let began = boot_now();
    for port in 1..=2_000 {
        let verdict = world.dataplane.send(&segment(port, ACK)).verdict;
        assert_eq!(verdict, Verdict::ForwardPlaced);
    }
    // A second's may come at once.
    let most = (boot_now() - began + SECOND) / price + 2;
    let remembered = (1..=2_000).filter(|port| world.dataplane.flow(&key4(*port)).is_some());
    let remembered = remembered.count() as u64;
    assert!((1..=most).contains(&remembered), "{remembered} of {most}");
}

#[test]
fn an_rst_takes_no_place_and_a_fin_one_of_a_closing_connection() {
    let mut world = in_episode(60);
    world.expect_forwarded(&segment(1, RST), Verdict::ForwardPlaced, placed(TCP4, &key4(1)));
    assert_eq!(world.dataplane.flow(&key4(1)), None);
    world.expect_forwarded(
        &segment(2, FIN_ACK),
        Verdict::ForwardPlaced,
        placed(TCP4, &key4(2)),
    );
    let word = world.dataplane.flow(&key4(2)).expect("it is remembered");
    assert_eq!(word.state(), flow_state::CLOSING);
}

#[test]
fn datagrams_of_an_episode_keep_their_real_server_and_are_remembered_after_it() {
    let mut world = in_episode(60);
    for port in 1..=30 {
        let slot = placed(UDP4, &datagram_key4(port));
        for _ in 0..2 {
            let fate = world.dataplane.send(&datagram(port));
            assert_eq!(taker(&fate), slot as u8);
        }
    }
    world.dataplane.put_episode(UDP4, boot_now() - SECOND);
    for port in 2..=30 {
        let slot = placed(UDP4, &datagram_key4(port));
        for _ in 0..2 {
            assert_eq!(taker(&world.dataplane.send(&datagram(port))), slot as u8);
        }
        world.expect_forwarded(&datagram(port), Verdict::ForwardFlow, slot);
    }
}

#[test]
fn when_an_episode_is_long_over_unknown_segments_are_reset() {
    let now = boot_now();
    if now < 1_000 * SECOND {
        println!("the machine is not up for long enough: left out");
        return;
    }
    let mut world = in_episode(60);
    // A connection may be silent for 15 minutes, a client that sends datagrams for 5; and each a second more.
    world.dataplane.put_episode(TCP4, now - 903 * SECOND);
    world.dataplane.put_episode(UDP4, now - 303 * SECOND);
    assert_eq!(
        world.dataplane.send(&segment(1, ACK)).verdict,
        Verdict::ResetUnknownFlow
    );
    world.expect(&segment(1, RST), Verdict::DropStray);
    assert_eq!(world.dataplane.send(&datagram(1)).verdict, Verdict::ForwardNew);
    world.dataplane.put_episode(TCP4, now - 890 * SECOND);
    assert_eq!(
        world.dataplane.send(&segment(1, ACK)).verdict,
        Verdict::ForwardPlaced
    );
}

#[test]
fn where_a_hash_places_connections_an_episode_places_them_by_the_same() {
    let mut world = world(4_096, 0);
    let slots = [0, 1, 2].map(|server| World::slot(TCP4, server));
    world.schedule_placed(TCP4, &slots, LEASE, placement::SOURCE);
    let slot = slots[(key4(1).place(placement::SOURCE) % 3) as usize];
    world.expect_forwarded(&segment(1, SYN), Verdict::ForwardNew, slot);
    world.dataplane.put_episode(TCP4, boot_now() + 60 * SECOND);
    world.expect_forwarded(&segment(2, SYN), Verdict::ForwardPlaced, slot);
}

/// The daemon is about to give it another schedule; until then nobody is told that there is nobody.
#[test]
fn in_a_service_without_a_real_server_an_episode_changes_nothing() {
    let mut world = in_episode(60);
    world.schedule(TCP4, &[]);
    assert_eq!(
        world.dataplane.send(&segment(1, SYN)).verdict,
        Verdict::AnswerUnreachable
    );
    assert_eq!(
        world.dataplane.send(&segment(1, ACK)).verdict,
        Verdict::ResetUnknownFlow
    );
}
