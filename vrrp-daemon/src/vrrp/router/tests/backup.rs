//! Start and RFC 9568, sections 6.4.1 and 6.4.2.

use super::*;

#[test]
fn a_start_clears_what_a_crash_left_and_waits() {
    let mut bench = Bench::new(instance(100));
    assert_eq!(bench.router.state(), State::Init);
    assert_eq!(bench.router.deadline(), None);
    assert_eq!(
        bench.up(),
        [
            bench.release(),
            Effect::VacateLease,
            transitioned(State::Init, State::Backup, Reason::Cleared(Obstacle::NoInterface))
        ]
    );
    assert_eq!(bench.remaining(), MASTER_DOWN);
    assert_eq!(bench.router.master_address(), None);
}

#[test]
fn a_start_without_a_link_clears_what_a_crash_left_once() {
    let mut bench = Bench::new(instance(100));
    let obstructed = Effect::Obstructed(Obstacle::NoLink);
    assert_eq!(bench.down(), [bench.release(), Effect::VacateLease, obstructed]);
    assert_eq!(bench.router.state(), State::Init);
    assert_eq!(bench.down(), []);
    assert_eq!(
        bench.up(),
        [transitioned(
            State::Init,
            State::Backup,
            Reason::Cleared(Obstacle::NoInterface)
        )]
    );
}

#[test]
fn whoever_is_not_the_owner_waits() {
    let mut bench = Bench::new(instance(254));
    bench.up();
    assert_eq!(bench.router.state(), State::Backup);
}

#[test]
fn the_owner_does_not_wait() {
    let mut bench = Bench::new(instance(255));
    assert_eq!(bench.up(), bench.promotion(State::Init, Reason::Owner));
}

/// An owner whose first virtual address is the interface's own, from which it advertises; the second one isn't.
fn owner_of_its_interfaces_address() -> VrrpInstance {
    let mut owner = instance(255);
    owner
        .virtual_addresses
        .insert(0, virtual_address(&format!("{OURS}/24")));
    owner
}

#[test]
fn the_owner_never_gives_up_the_interfaces_own_address() {
    let released = |effects: Vec<Effect>| -> Vec<VirtualAddress> {
        let released = effects.into_iter().filter_map(|effect| match effect {
            Effect::ReleaseAddresses(addresses) => Some(addresses),
            _ => None,
        });
        released.flatten().collect()
    };
    let owner = owner_of_its_interfaces_address();
    let up = || {
        let mut bench = Bench::new(owner.clone());
        bench.up();
        bench
    };
    assert_eq!(released(up().down()), instance(255).virtual_addresses);
    assert_eq!(released(up().hear(HIGHER, 255)), instance(255).virtual_addresses);
    let mut bench = up();
    bench.router.stop(bench.now);
    assert_eq!(released(bench.effects()), instance(255).virtual_addresses);
    let mut bench = up();
    bench.router.reconfigure(instance(255), bench.now);
    assert_eq!(released(bench.effects()), []);
}

#[test]
fn an_owner_whose_interface_is_not_up_yet_gives_up_nothing() {
    let mut bench = Bench::new(owner_of_its_interfaces_address());
    let obstructed = Effect::Obstructed(Obstacle::NoLink);
    assert_eq!(bench.down(), [Effect::VacateLease, obstructed]);
}

#[test]
fn silence_makes_a_master_in_the_order_that_clients_need() {
    let mut bench = Bench::backup(instance(100));
    bench.hear(LOWER, 150);
    bench.after(MASTER_DOWN - MILLISECOND);
    assert_eq!(bench.router.state(), State::Backup);
    let effects = bench.after(MILLISECOND);
    let reason = Reason::NoAdvertisement {
        from: Some(LOWER),
        silence: MASTER_DOWN,
    };
    assert_eq!(effects, bench.promotion(State::Backup, reason));
    assert_eq!(bench.router.master_address(), Some(OURS));
    assert_eq!(bench.router.transitions(), 2);
}

#[test]
fn every_advertisement_of_at_least_our_priority_restarts_the_wait() {
    let mut bench = Bench::backup(instance(100));
    for priority in [100, 101, 255] {
        bench.after(3 * SECOND);
        assert_eq!(bench.hear(LOWER, priority), []);
        assert_eq!(bench.remaining(), MASTER_DOWN);
        assert_eq!(bench.router.master_address(), Some(LOWER));
    }
}

#[test]
fn a_lower_priority_is_preempted_by_not_listening() {
    let mut bench = Bench::backup(instance(100));
    for _ in 0..3 {
        bench.after(SECOND);
        assert_eq!(bench.hear(HIGHER, 99), []);
    }
    let effects = bench.after(SECOND);
    let reason = Reason::Preempted {
        from: HIGHER,
        priority: Priority::new(99),
    };
    assert_eq!(effects, bench.promotion(State::Backup, reason));
}

#[test]
fn without_preemption_a_lower_priority_restarts_the_wait() {
    let mut bench = Bench::backup(without_preemption(100));
    bench.after(3 * SECOND);
    bench.hear(LOWER, 1);
    assert_eq!(bench.remaining(), MASTER_DOWN);
}

#[test]
fn the_owner_preempts_whatever_it_is_configured_to() {
    let mut bench = Bench::new(without_preemption(255));
    bench.up();
    bench.hear(HIGHER, 255);
    assert_eq!(bench.router.state(), State::Backup);
    bench.after(SECOND);
    let deadline = bench.router.deadline();
    bench.hear(LOWER, 100);
    assert_eq!(bench.router.deadline(), deadline);
}

#[test]
fn after_a_resignation_the_wait_is_the_skew() {
    for configured in [instance(100), without_preemption(100)] {
        let mut bench = Bench::backup(configured);
        bench.hear(LOWER, 150);
        bench.after(SECOND);
        assert_eq!(bench.hear(LOWER, 0), []);
        assert_eq!(bench.remaining(), Duration::from_nanos(609_375_000));
        let effects = bench.next_deadline();
        assert_eq!(
            effects,
            bench.promotion(State::Backup, Reason::Resigned { from: LOWER })
        );
    }
}

#[test]
fn a_faster_successor_of_a_resigned_master_is_followed() {
    let mut bench = Bench::backup(instance(100));
    bench.hear(LOWER, 0);
    bench.hear(HIGHER, 120);
    assert_eq!(bench.remaining(), MASTER_DOWN);
    assert_eq!(bench.router.master_address(), Some(HIGHER));
}

#[test]
fn version_3_learns_the_masters_interval() {
    let mut bench = Bench::backup(version_3(100, 100));
    let slow = Advertisement {
        interval: Interval::from_centiseconds(400).unwrap(),
        ..bench.advertisement(150)
    };
    bench.hear_this(LOWER, &slow);
    assert_eq!(bench.remaining(), 4 * MASTER_DOWN);
    bench.hear(LOWER, 0);
    assert_eq!(bench.remaining(), 4 * Duration::from_nanos(609_375_000));
    bench.next_deadline();
    assert_eq!(bench.remaining(), SECOND);
}

#[test]
fn version_3_does_not_learn_from_a_lower_priority() {
    let mut bench = Bench::backup(version_3(100, 100));
    let slow = Advertisement {
        interval: Interval::from_centiseconds(4095).unwrap(),
        ..bench.advertisement(50)
    };
    bench.hear_this(LOWER, &slow);
    assert_eq!(bench.remaining(), MASTER_DOWN);
}

#[test]
fn who_slept_past_the_deadline_listens_once_more_and_only_once() {
    let mut bench = Bench::backup(instance(100));
    bench.hear(LOWER, 150);
    bench.held_up(20 * SECOND);
    bench.router.timeout(bench.now);
    assert_eq!(bench.effects(), []);
    assert_eq!(bench.remaining(), MASTER_DOWN);
    bench.held_up(20 * SECOND);
    bench.router.timeout(bench.now);
    bench.effects();
    assert_eq!(bench.router.state(), State::Master);
}

#[test]
fn a_deadline_that_is_a_little_late_is_taken_at_its_word() {
    let mut bench = Bench::backup(instance(100));
    bench.held_up(MASTER_DOWN + 900 * MILLISECOND);
    bench.router.timeout(bench.now);
    bench.effects();
    assert_eq!(bench.router.state(), State::Master);
}

#[test]
fn a_previous_mastership_is_resumed_inside_its_lease() {
    let mut bench = Bench::new(instance(100));
    bench.router.resume(bench.now - 4 * SECOND + MILLISECOND);
    assert_eq!(bench.up(), bench.promotion(State::Init, Reason::Resumed));
}

#[test]
fn a_previous_mastership_past_its_lease_is_over() {
    let mut bench = Bench::new(instance(100));
    bench.router.resume(bench.now - 4 * SECOND);
    let reason = Reason::LeaseRanOutBeforeStart;
    assert_eq!(
        bench.up(),
        [
            bench.release(),
            Effect::VacateLease,
            transitioned(State::Init, State::Backup, reason)
        ]
    );
}

#[test]
fn a_mastership_is_not_resumed_after_a_time_without_a_link() {
    let mut bench = Bench::new(instance(100));
    bench.router.resume(bench.now - MILLISECOND);
    bench.down();
    bench.up();
    assert_eq!(bench.router.state(), State::Backup);
}

#[test]
fn without_a_lease_no_mastership_is_resumed() {
    let mut bench = Bench::new(without_lease(100));
    bench.router.resume(bench.now - MILLISECOND);
    bench.up();
    assert_eq!(bench.router.state(), State::Backup);
}

fn known() -> BTreeSet<Awaited> {
    BTreeSet::new()
}

fn unknown() -> BTreeSet<Awaited> {
    BTreeSet::from([Awaited::Checks])
}

/// A backup that does not know its real servers yet.
fn cold(priority: u8) -> Bench {
    let mut bench = Bench::new(instance(priority));
    bench.router.await_servers(&unknown(), bench.now);
    bench.up();
    assert_eq!(bench.router.state(), State::Backup);
    bench
}

#[test]
fn who_does_not_know_its_servers_preempts_nobody_until_it_does() {
    let mut bench = cold(100);
    for _ in 0..10 {
        bench.hear(LOWER, 50);
        bench.after(SECOND);
        assert_eq!(bench.router.state(), State::Backup);
    }
    bench.router.await_servers(&known(), bench.now);
    bench.hear(LOWER, 50);
    bench.after(MASTER_DOWN);
    assert_eq!(bench.router.state(), State::Master);
}

#[test]
fn who_does_not_know_its_servers_takes_over_from_a_master_that_is_gone_or_resigns() {
    let mut bench = cold(100);
    bench.hear(LOWER, 50);
    bench.after(MASTER_DOWN);
    assert_eq!(bench.router.state(), State::Master);

    let mut bench = cold(100);
    bench.hear(LOWER, 50);
    bench.hear(LOWER, 0);
    bench.after(SECOND);
    assert_eq!(bench.router.state(), State::Master);
}

#[test]
fn who_loses_its_servers_while_it_preempts_listens_again() {
    let mut bench = Bench::backup(instance(100));
    bench.hear(LOWER, 50);
    bench.after(2 * SECOND);
    bench.router.await_servers(&unknown(), bench.now);
    assert_eq!(bench.remaining(), MASTER_DOWN);
}

#[test]
fn an_owner_that_does_not_know_its_servers_waits_for_them_or_for_silence() {
    let mut bench = cold(255);
    bench.hear(LOWER, 50);
    bench.after(2 * SECOND);
    bench.hear(LOWER, 50);
    bench.after(2 * SECOND);
    assert_eq!(bench.router.state(), State::Backup);
    bench.router.await_servers(&known(), bench.now);
    let promoted = bench.effects();
    assert_eq!(bench.router.state(), State::Master);
    assert!(
        promoted.contains(&transitioned(State::Backup, State::Master, Reason::Owner)),
        "{promoted:?}"
    );

    let mut alone = cold(255);
    alone.after(4 * SECOND);
    assert_eq!(alone.router.state(), State::Master);
}

/// What is told of holding back.
fn restraint(effects: impl IntoIterator<Item = Effect>) -> Vec<Effect> {
    let effects = effects.into_iter();
    effects
        .filter(|effect| matches!(effect, Effect::HoldsBack { .. } | Effect::HoldsBackNoMore { .. }))
        .collect()
}

#[test]
fn a_preemption_that_is_held_back_is_told_once_and_when_that_ends() {
    let mut bench = cold(100);
    assert_eq!(restraint(bench.hear(HIGHER, 150)), [], "it would preempt nobody");
    let holds_back = Effect::HoldsBack {
        from: LOWER,
        priority: Priority::new(50),
        awaited: unknown(),
    };
    assert_eq!(restraint(bench.hear(LOWER, 50)), [holds_back]);
    let mut others = Vec::new();
    for _ in 0..10 {
        others.extend(bench.after(SECOND));
        others.extend(bench.hear(LOWER, 50));
        others.extend(bench.hear(HIGHER, 150));
        let neighbours = BTreeSet::from([Awaited::Neighbours]);
        bench.router.await_servers(&neighbours, bench.now);
        others.extend(bench.effects());
    }
    assert_eq!(restraint(others), [], "not for each packet");
    bench.router.await_servers(&known(), bench.now);
    assert_eq!(
        restraint(bench.effects()),
        [Effect::HoldsBackNoMore { known: true }]
    );
    assert_eq!(restraint(bench.hear(LOWER, 50)), []);
}

#[test]
fn who_is_master_or_out_of_the_election_is_held_back_no_more() {
    let no_more = [Effect::HoldsBackNoMore { known: false }];
    let mut bench = cold(100);
    assert_eq!(restraint(bench.hear(LOWER, 50)).len(), 1);
    assert_eq!(restraint(bench.after(MASTER_DOWN)), no_more);
    assert_eq!(bench.router.state(), State::Master);

    let mut bench = cold(100);
    assert_eq!(restraint(bench.hear(LOWER, 50)).len(), 1);
    assert_eq!(restraint(bench.down()), no_more);
    // It begins anew, and is told anew.
    bench.up();
    assert_eq!(restraint(bench.hear(LOWER, 50)).len(), 1);
}

#[test]
fn who_would_not_preempt_or_need_not_holds_nothing_back() {
    let mut bench = Bench::new(without_preemption(100));
    bench.router.await_servers(&unknown(), bench.now);
    bench.up();
    assert_eq!(restraint(bench.hear(LOWER, 50)), []);

    let mut bench = cold(100);
    assert_eq!(restraint(bench.hear(LOWER, 0)), [], "it succeeds who resigns");
}
