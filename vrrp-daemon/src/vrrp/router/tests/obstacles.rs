//! What stands in the way: each by itself, and advertisements that do not leave above all.

use super::*;

#[test]
fn the_election_waits_until_the_last_obstacle_is_gone() {
    let mut bench = Bench::backup(instance(100));
    assert_eq!(
        bench.obstructed(Obstacle::NoAddress),
        [transitioned(
            State::Backup,
            State::Fault,
            Reason::Obstructed(Obstacle::NoAddress)
        )]
    );
    assert_eq!(
        bench.obstructed(Obstacle::ProgramRefused),
        [Effect::Obstructed(Obstacle::ProgramRefused)]
    );
    assert_eq!(bench.obstructed(Obstacle::ProgramRefused), []);
    assert_eq!(bench.cleared(Obstacle::NoAddress), []);
    assert!(bench.router.obstacles().iter().eq([&Obstacle::ProgramRefused]));
    assert_eq!(
        bench.cleared(Obstacle::ProgramRefused),
        [transitioned(
            State::Fault,
            State::Backup,
            Reason::Cleared(Obstacle::ProgramRefused)
        )]
    );
    assert!(bench.router.obstacles().is_empty());
}

#[test]
fn who_waits_from_the_start_says_for_what() {
    let mut bench = Bench::new(instance(100));
    assert_eq!(
        bench.obstructed(Obstacle::NoInterface),
        [
            bench.release(),
            Effect::VacateLease,
            Effect::Obstructed(Obstacle::NoInterface)
        ]
    );
    assert_eq!(bench.router.state(), State::Init);
}

/// A backup whose time has come and whose advertisements do not leave.
fn mute_claimant(configured: VrrpInstance) -> (Bench, Vec<Effect>) {
    let mut bench = Bench::backup(configured);
    bench.now = bench.router.deadline().unwrap();
    bench.router.timeout(bench.now);
    let effects = bench.effects_of_a_mute();
    (bench, effects)
}

#[test]
fn who_cannot_say_so_takes_no_address() {
    for configured in [instance(100), without_lease(100)] {
        let (bench, effects) = mute_claimant(configured);
        assert_eq!(
            effects,
            [
                bench.grant(),
                bench.send(),
                Effect::VacateLease,
                transitioned(State::Backup, State::Fault, Reason::Obstructed(Obstacle::NotSent))
            ]
        );
    }
}

#[test]
fn a_mute_looks_now_and_then_whether_anything_leaves_and_disturbs_nobody() {
    let (mut bench, _) = mute_claimant(instance(100));
    for _ in 0..3 {
        assert_eq!(bench.remaining(), SECOND);
        assert_eq!(bench.next_deadline(), [Effect::Probe]);
    }
    assert_eq!(bench.router.state(), State::Fault);
    bench.router.probe_sent(bench.now);
    assert_eq!(
        bench.effects(),
        [transitioned(
            State::Fault,
            State::Backup,
            Reason::Cleared(Obstacle::NotSent)
        )]
    );
    assert_eq!(bench.remaining(), MASTER_DOWN);
}

#[test]
fn a_mute_does_not_try_without_a_link_and_at_once_with_one() {
    let (mut bench, _) = mute_claimant(instance(100));
    bench.down();
    assert_eq!(bench.after(10 * SECOND), []);
    assert_eq!(bench.up(), []);
    assert_eq!(bench.remaining(), Duration::ZERO);
    assert_eq!(bench.next_deadline(), [Effect::Probe]);
}

/// A master that has missed an advertisement.
fn mute_master(configured: VrrpInstance) -> Bench {
    let mut bench = Bench::master(configured);
    bench.now = bench.router.deadline().unwrap();
    bench.router.timeout(bench.now);
    assert_eq!(bench.effects_of_a_mute(), [bench.send()]);
    assert_eq!(bench.router.state(), State::Master);
    bench
}

#[test]
fn one_advertisement_that_does_not_leave_changes_nothing() {
    let mut bench = mute_master(instance(100));
    bench.next_deadline();
    assert_eq!(bench.router.state(), State::Master);
    assert_eq!(bench.remaining(), SECOND);
}

#[test]
fn a_mute_master_leaves_the_addresses_to_the_one_that_is_heard() {
    for priority in [1, 99] {
        let mut bench = mute_master(instance(100));
        bench
            .router
            .received(LOWER, &bench.advertisement(priority), bench.now);
        assert_eq!(
            bench.effects_of_a_mute(),
            [
                bench.send(),
                Effect::HandOverLease,
                bench.release(),
                transitioned(State::Master, State::Fault, Reason::Obstructed(Obstacle::NotSent))
            ]
        );
        // It forwards on until the successor's gratuitous ARP is everywhere.
        assert_eq!(bench.remaining(), 500 * MILLISECOND);
        assert_eq!(bench.next_deadline(), [Effect::VacateLease]);
    }
}

#[test]
fn a_mute_master_gives_way_to_a_better_one_without_another_try() {
    let mut bench = mute_master(instance(100));
    bench.router.received(LOWER, &bench.advertisement(101), bench.now);
    let reason = Reason::HigherPriority {
        from: LOWER,
        priority: Priority::new(101),
    };
    assert_eq!(
        bench.effects_of_a_mute(),
        [
            Effect::HandOverLease,
            bench.release(),
            transitioned(State::Master, State::Backup, reason)
        ]
    );
}

#[test]
fn a_master_that_can_answer_a_lower_priority_sets_hosts_right_after_its_answer() {
    let mut bench = Bench::master(instance(100));
    bench.router.received(LOWER, &bench.advertisement(99), bench.now);
    assert_eq!(bench.router.next_effect(), Some(bench.send()));
    assert_eq!(bench.router.next_effect(), None);
    bench.router.sent(bench.now);
    assert_eq!(bench.router.next_effect(), Some(bench.announce()));
}

#[test]
fn a_mute_master_that_nobody_follows_ends_with_its_lease_or_when_the_others_have_given_up() {
    for configured in [instance(100), without_lease(100)] {
        let mut bench = Bench::master(configured);
        let start = bench.now;
        let mut effects = Vec::new();
        while bench.router.state() == State::Master {
            bench.now = bench.router.deadline().unwrap();
            bench.router.timeout(bench.now);
            effects = bench.effects_of_a_mute();
        }
        assert_eq!(bench.now - start, 4 * SECOND);
        assert_eq!(
            effects,
            [
                bench.release(),
                Effect::VacateLease,
                transitioned(State::Master, State::Fault, Reason::Obstructed(Obstacle::NotSent))
            ]
        );
    }
}

#[test]
fn a_mute_that_was_master_before_the_restart_gives_up_what_was_left() {
    let mut bench = Bench::new(instance(100));
    bench.router.resume(bench.now - MILLISECOND);
    bench.router.addressed(OURS, bench.now);
    bench.router.cleared(Obstacle::NoInterface, bench.now);
    assert_eq!(
        bench.effects_of_a_mute(),
        [
            bench.grant(),
            bench.send(),
            bench.release(),
            Effect::VacateLease,
            transitioned(State::Init, State::Fault, Reason::Obstructed(Obstacle::NotSent))
        ]
    );
}
