//! What must hold in every world, and a few worlds that are worth a name.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// How long two may answer at worst: the newcomer's advertisement travels to the other, or there and its answer back.
const CROSSING: Duration = Duration::from_millis(4);

/// Three routers of priorities 150, 100 and 100 on which the first has been elected.
fn elected(adapt: impl Fn(VrrpInstance) -> VrrpInstance, seed: u64) -> World {
    let mut world = World::new([150, 100, 100].map(|priority| adapt(instance(priority))), seed);
    world.run(10 * SECOND);
    assert_eq!((world.masters(), world.answering()), (vec![0], vec![0]));
    assert_eq!((world.masters_of(1), world.answering_for(1)), (vec![2], vec![2]));
    world.observe_anew();
    world
}

fn fast(instance: VrrpInstance) -> VrrpInstance {
    VrrpInstance {
        version: Version::V3,
        advert_int: Interval::from_centiseconds(1).unwrap(),
        ..instance
    }
}

#[test]
fn a_day_of_three_routers_is_uneventful() {
    let mut world = elected(
        |instance| VrrpInstance {
            advert_int: Interval::from_seconds(2).unwrap(),
            ..instance
        },
        1,
    );
    world.run(24 * 60 * 60 * SECOND);
    assert_eq!(world.masters(), [0]);
    assert_eq!(world.longest_overlap, Duration::ZERO);
    assert_eq!(world.longest_gap, Duration::ZERO);
    let promotions: Vec<u32> = world
        .nodes
        .iter()
        .map(|node| node.kernel[0].became_master)
        .collect();
    assert_eq!(promotions, [1, 0, 0]);
    // Once, once more, and each minute from then on.
    assert_eq!(world.nodes[0].kernel[0].announcements, 2 + 24 * 60 - 1);
}

#[test]
fn an_owner_that_comes_back_without_a_link_gives_up_what_its_predecessor_left() {
    for lease in [false, true] {
        let mut world = World::new(
            [1, 1, 255].map(|priority| VrrpInstance {
                preempt: false,
                lease,
                ..instance(priority)
            }),
            1,
        );
        world.run(10 * SECOND);
        for fault in [Fault::Unplug(2), Fault::Kill(2), Fault::Start(2)] {
            world.happen(fault);
        }
        let kernel = &world.nodes[2].kernel[0];
        assert_eq!(
            (kernel.lease.state, kernel.addresses),
            (lease_state::VACANT, false)
        );
        world.happen(Fault::Plug(2));
        world.run(10 * SECOND);
        assert_eq!((world.masters(), world.answering()), (vec![2], vec![2]));
    }
}

#[test]
fn of_two_backups_of_one_priority_one_follows_a_dead_master() {
    for seed in 0..50 {
        let mut world = elected(|instance| instance, seed);
        world.happen(Fault::Kill(0));
        world.run(10 * SECOND);
        assert_eq!(world.masters().len(), 1);
        assert_eq!(world.masters(), world.answering());
        assert!(world.longest_overlap <= CROSSING);
    }
}

#[test]
fn a_killed_masters_addresses_are_answered_for_until_the_successor_speaks_and_never_by_two() {
    for seed in 0..50 {
        for adapt in [|instance| instance, fast as fn(VrrpInstance) -> VrrpInstance] {
            let mut world = elected(adapt, seed);
            world.happen(Fault::Kill(0));
            world.run(9 * world.interval() + SECOND);
            assert_eq!(world.masters().len(), 1);
            assert!(world.longest_overlap <= CROSSING, "{:?}", world.longest_overlap);
            assert_eq!(world.longest_gap, Duration::ZERO);
        }
    }
}

#[test]
fn a_master_that_was_stopped_past_its_lease_comes_back_as_a_backup() {
    for seed in 0..50 {
        let mut world = elected(
            |instance| VrrpInstance {
                preempt: false,
                ..instance
            },
            seed,
        );
        world.happen(Fault::Stop(0));
        world.run(5 * SECOND);
        let successor = world.masters().into_iter().find(|node| *node != 0).unwrap();
        world.happen(Fault::Continue(0));
        world.run(10 * SECOND);
        assert_eq!(
            (world.masters(), world.answering()),
            (vec![successor], vec![successor])
        );
        assert!(world.longest_overlap <= CROSSING);
        assert_eq!(world.longest_gap, Duration::ZERO);
        assert_eq!(world.nodes[0].kernel[0].became_master, 1);
    }
}

#[test]
fn a_restarted_daemon_takes_its_mastership_back_inside_the_lease() {
    let mut world = elected(|instance| instance, 3);
    world.happen(Fault::Kill(0));
    world.run(Duration::from_millis(1500));
    world.happen(Fault::Start(0));
    assert_eq!(world.masters(), [0]);
    world.run(20 * SECOND);
    assert_eq!((world.masters(), world.answering()), (vec![0], vec![0]));
    assert_eq!(world.longest_overlap, Duration::ZERO);
    assert_eq!(world.longest_gap, Duration::ZERO);
    assert_eq!(
        world.nodes[1].kernel[0].became_master + world.nodes[2].kernel[0].became_master,
        0
    );
}

#[test]
fn a_planned_stop_is_followed_within_the_skew() {
    for seed in 0..50 {
        let mut world = elected(|instance| instance, seed);
        world.happen(Fault::Terminate(0));
        world.run(3 * SECOND);
        assert_eq!(world.masters().len(), 1);
        assert!(world.nodes[0].daemon.is_none(), "the handover has an end");
        assert!(world.longest_overlap <= CROSSING);
        assert!(
            world.longest_gap <= Duration::from_millis(610) + DELAY,
            "{:?}",
            world.longest_gap
        );
    }
}

#[test]
fn a_backup_that_was_stopped_disturbs_nobody() {
    for fault in [Fault::Stop(1), Fault::Freeze(1)] {
        let mut world = elected(|instance| instance, 7);
        world.happen(fault);
        world.run(30 * SECOND);
        world.happen(Fault::Continue(1));
        world.run(10 * SECOND);
        assert_eq!(world.masters(), [0]);
        assert_eq!(world.nodes[1].kernel[0].became_master, 0);
        assert_eq!(world.longest_overlap, Duration::ZERO);
    }
}

/// Whoever is heard first when it is over: the one that lets go, or the better one, which then has no other way to know
/// that clients beyond the border believe somebody else.
#[test]
fn both_sides_of_a_partition_have_a_master_and_one_remains_that_all_clients_believe() {
    for seed in 0..50 {
        for adapt in [|instance| instance, fast as fn(VrrpInstance) -> VrrpInstance] {
            let mut world = elected(adapt, seed);
            let interval = world.interval();
            world.happen(Fault::Partition(1));
            world.run(10 * interval + interval * u32::try_from(seed).unwrap() / 50);
            let masters = world.masters();
            assert!(masters.len() == 2 && masters[0] == 0, "{masters:?}");
            assert!(!world.all_believe(0, 0));
            world.happen(Fault::Partition(0));
            world.run(2 * interval + 2 * DELAY);
            assert_eq!((world.masters(), world.answering()), (vec![0], vec![0]));
            assert!(world.all_believe(0, 0), "seed {seed}");
        }
    }
}

/// However long it cannot be heard, and whatever becomes of its attempts: clients are with whoever can.
#[test]
fn a_mute_masters_clients_are_served_by_its_successor_and_come_back_to_it() {
    for seed in 0..20 {
        for adapt in [|instance| instance, fast as fn(VrrpInstance) -> VrrpInstance] {
            let mut world = elected(adapt, seed);
            world.happen(Fault::Mute(0));
            world.run(30 * world.interval() + SECOND);
            assert_eq!(world.nodes[0].state(0), Some(State::Fault));
            assert_eq!(world.masters().len(), 1);
            assert_eq!(world.masters(), world.answering());
            world.happen(Fault::Unmute(0));
            world.run(10 * world.interval() + SECOND);
            assert_eq!((world.masters(), world.answering()), (vec![0], vec![0]));
            assert!(world.all_believe(0, 0));
            assert_eq!(world.longest_unserved, Duration::ZERO);
            assert_eq!(world.longest_gap, Duration::ZERO);
            assert!(world.longest_overlap <= CROSSING, "{:?}", world.longest_overlap);
            assert_eq!(world.nodes[0].kernel[0].became_master, 2);
        }
    }
}

#[test]
fn a_master_says_that_a_deaf_one_is_master_too_and_only_then() {
    let mut world = elected(|instance| instance, 13);
    world.happen(Fault::Deafen(1));
    world.run(30 * SECOND);
    assert_eq!(world.masters(), [0, 1]);
    let told = |world: &World| world.nodes[0].two_masters;
    assert_eq!(told(&world), 1, "once a minute");
    world.happen(Fault::Undeafen(1));
    world.run(60 * SECOND);
    assert_eq!((world.masters(), world.answering()), (vec![0], vec![0]));
    assert!(world.all_believe(0, 0));
    assert_eq!(told(&world), 1);
}

#[test]
fn a_mute_backup_that_is_needed_says_that_it_cannot() {
    let mut world = elected(|instance| instance, 11);
    for fault in [Fault::Mute(1), Fault::Mute(2), Fault::Kill(0)] {
        world.happen(fault);
    }
    world.run(10 * SECOND);
    assert_eq!(world.masters(), [0; 0]);
    assert_eq!(world.nodes[1].state(0), Some(State::Fault));
    assert_eq!(world.nodes[1].kernel[0].announcements, 0);
    world.happen(Fault::Unmute(1));
    world.run(10 * SECOND);
    assert_eq!((world.masters(), world.answering()), (vec![1], vec![1]));
}

fn any_fault() -> impl Strategy<Value = Fault> {
    let node = 0_usize..3;
    prop_oneof![
        node.clone().prop_map(Fault::Stop),
        node.clone().prop_map(Fault::Freeze),
        node.clone().prop_map(Fault::Continue),
        node.clone().prop_map(Fault::Kill),
        node.clone().prop_map(Fault::Start),
        node.clone().prop_map(Fault::Terminate),
        node.clone().prop_map(Fault::Unplug),
        node.prop_map(Fault::Plug),
    ]
}

fn any_network_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        3 => any_fault(),
        1 => (0_usize..3).prop_map(Fault::Partition),
        1 => (0_usize..3).prop_map(Fault::Mute),
        1 => (0_usize..3).prop_map(Fault::Unmute),
        1 => (0_usize..3).prop_map(Fault::Deafen),
        1 => (0_usize..3).prop_map(Fault::Undeafen),
        1 => (0_u8..60).prop_map(Fault::Lose),
    ]
}

/// Faults with the pauses before them, in thousandths of an advertisement interval.
fn script(fault: impl Strategy<Value = Fault>) -> impl Strategy<Value = Vec<(u32, Fault)>> {
    proptest::collection::vec((0_u32..6_000, fault), 1..20)
}

fn any_world(lease: impl Strategy<Value = bool>) -> impl Strategy<Value = World> {
    let version = prop_oneof![
        Just((Version::V2, 100)),
        Just((Version::V3, 100)),
        Just((Version::V3, 5)),
    ];
    (
        version,
        any::<bool>(),
        lease,
        any::<u64>(),
        [1_u8..=255, 1..=255, 1..=255],
    )
        .prop_map(|((version, interval), preempt, lease, seed, priorities)| {
            let configured = priorities.map(|priority| VrrpInstance {
                version,
                advert_int: Interval::from_centiseconds(interval).unwrap(),
                preempt,
                lease,
                ..instance(priority)
            });
            World::new(configured, seed)
        })
}

fn play(world: &mut World, script: &[(u32, Fault)]) {
    let interval = world.interval();
    for (pause, fault) in script {
        world.run(interval * *pause / 1_000);
        world.happen(*fault);
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{:?}",
            self.nodes.iter().map(|node| &node.configured).collect::<Vec<_>>()
        )
    }
}

proptest! {
    #[test]
    fn after_every_heal_there_is_one_master(mut world in any_world(any::<bool>()), script in script(any_network_fault())) {
        play(&mut world, &script);
        world.heal();
        let interval = world.interval();
        world.run(12 * interval + 3 * SECOND);
        for router in 0..world.views.len() {
            let masters = world.masters_of(router);
            prop_assert_eq!(masters.len(), 1);
            prop_assert_eq!(&world.answering_for(router), &masters);
            if world.nodes[0].configured[router].preempt {
                let priority = |node: &Node| node.configured[router].priority;
                let best = world.nodes.iter().map(priority).max();
                prop_assert_eq!(Some(priority(&world.nodes[masters[0]])), best);
            }
            for (index, node) in world.nodes.iter().enumerate() {
                let held = node.kernel[router].lease.state == lease_state::HELD;
                prop_assert_eq!(held, index == masters[0]);
                prop_assert_eq!(node.kernel[router].addresses, index == masters[0]);
            }
        }
        // Whoever was believed last, and whoever knows of that.
        world.run(60 * SECOND);
        for router in 0..world.views.len() {
            let master = world.masters_of(router)[0];
            prop_assert!(world.all_believe(router, master), "{:?}, not {master}", world.views[router].believed);
        }
    }

    /// Only one thing lets two answer for longer than packets travel: a master that dies or freezes in the moment that
    /// it would have been preempted in. Its own advertisement must be overdue before its program believes the
    /// successor: one and a half intervals, and up to one more until the successor speaks again.
    #[test]
    fn without_loss_or_partition_two_never_answer_for_long(
        mut world in any_world(Just(true)),
        script in script(any_fault()),
    ) {
        // A link that comes back is a partition that heals: it is in the other test.
        let script: Vec<_> = script
            .into_iter()
            .filter(|(_, fault)| !matches!(fault, Fault::Unplug(_) | Fault::Freeze(_)))
            .collect();
        play(&mut world, &script);
        let interval = world.interval();
        world.run(12 * interval);
        let preempting = |instance: &VrrpInstance| instance.preempt || instance.priority == Priority::OWNER;
        let bound = match world.nodes.iter().flat_map(|node| &node.configured).any(preempting) {
            true => interval * 5 / 2 + CROSSING,
            false => CROSSING,
        };
        prop_assert!(world.longest_overlap <= bound, "{:?}", world.longest_overlap);
    }
}
