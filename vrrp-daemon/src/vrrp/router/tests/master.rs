//! RFC 9568, section 6.4.3, and the lease.

use super::*;

#[test]
fn a_master_advertises_each_interval_and_announces_once_more() {
    let mut bench = Bench::master(instance(100));
    assert_eq!(bench.remaining(), SECOND);
    let effects = bench.after(10 * SECOND);
    let sent = effects.iter().filter(|effect| **effect == bench.send()).count();
    let announced = effects
        .iter()
        .filter(|effect| **effect == bench.announce())
        .count();
    assert_eq!((sent, announced, effects.len()), (10, 1, 11));
}

#[test]
fn a_lower_priority_is_told_at_once_and_hosts_are_set_right() {
    let mut bench = Bench::master(instance(100));
    bench.after(300 * MILLISECOND);
    for (from, priority) in [(HIGHER, 99), (LOWER, 100)] {
        assert_eq!(bench.hear(from, priority), [bench.send(), bench.announce()]);
        assert_eq!(bench.remaining(), SECOND);
    }
}

#[test]
fn a_resignation_is_answered_at_once() {
    let mut bench = Bench::master(instance(100));
    bench.after(300 * MILLISECOND);
    assert_eq!(bench.hear(HIGHER, 0), [bench.send()]);
    assert_eq!(bench.remaining(), SECOND);
}

#[test]
fn a_better_master_gets_the_answers_now_and_the_packets_a_little_later() {
    let higher_priority = Reason::HigherPriority {
        from: LOWER,
        priority: Priority::new(101),
    };
    let higher_address = Reason::HigherAddress {
        from: HIGHER,
        priority: Priority::new(100),
    };
    for (from, priority, reason) in [(LOWER, 101, higher_priority), (HIGHER, 100, higher_address)] {
        let mut bench = Bench::master(instance(100));
        assert_eq!(
            bench.hear(from, priority),
            [
                // So that it announces itself again, should it not be new.
                Effect::SendLast(bench.advertisement(100)),
                Effect::HandOverLease,
                bench.release(),
                transitioned(State::Master, State::Backup, reason)
            ]
        );
        assert_eq!(bench.router.master_address(), Some(from));
        // A second advertisement neither hastens nor delays that.
        bench.after(100 * MILLISECOND);
        assert_eq!(bench.hear(from, priority), []);
        assert_eq!(bench.remaining(), 400 * MILLISECOND);
        assert_eq!(bench.next_deadline(), [Effect::VacateLease]);
        assert_eq!(bench.remaining(), MASTER_DOWN - 400 * MILLISECOND);
    }
}

#[test]
fn a_mastership_regained_while_handing_over_is_whole() {
    let mut bench = Bench::master(instance(250));
    bench.hear(LOWER, 251);
    bench.hear(LOWER, 0);
    let effects = bench.after(24 * MILLISECOND);
    assert_eq!(
        effects,
        bench.promotion(State::Backup, Reason::Resigned { from: LOWER })
    );
    assert!(!bench.after(10 * SECOND).contains(&Effect::VacateLease));
}

#[test]
fn without_a_lease_a_better_master_gets_everything_now() {
    let mut bench = Bench::master(without_lease(100));
    let effects = bench.hear(LOWER, 101);
    let last = Effect::SendLast(bench.advertisement(100));
    assert_eq!(effects[..3], [last, bench.release(), Effect::VacateLease]);
    assert_eq!(bench.remaining(), MASTER_DOWN);
}

type Input = fn(&mut Bench);

/// Every input, on a master whose lease has just run out.
fn late_inputs() -> Vec<(&'static str, Input)> {
    vec![
        ("timeout", |bench| bench.router.timeout(bench.now)),
        ("sent", |bench| bench.router.sent(bench.now)),
        ("addressed", |bench| bench.router.addressed(OURS, bench.now)),
        ("cleared", |bench| {
            bench.router.cleared(Obstacle::NoLink, bench.now)
        }),
        ("obstructed", |bench| {
            bench.router.obstructed(Obstacle::NoLink, bench.now)
        }),
        ("probe_sent", |bench| bench.router.probe_sent(bench.now)),
        ("stop", |bench| bench.router.stop(bench.now)),
        ("reconfigure", |bench| {
            bench.router.reconfigure(instance(120), bench.now)
        }),
        ("received, lower", |bench| {
            bench.router.received(LOWER, &bench.advertisement(1), bench.now);
        }),
        ("received, higher", |bench| {
            bench.router.received(LOWER, &bench.advertisement(200), bench.now);
        }),
        ("received, resigning", |bench| {
            bench.router.received(LOWER, &bench.advertisement(0), bench.now);
        }),
    ]
}

#[test]
fn a_lease_that_ran_out_is_noticed_first_on_every_input() {
    for (name, input) in late_inputs() {
        let mut bench = Bench::master(instance(100));
        let release = bench.release();
        bench.held_up(4 * SECOND);
        input(&mut bench);
        let effects = bench.effects();
        let reason = Reason::LeaseRanOut { silence: 4 * SECOND };
        assert_eq!(
            effects[..3],
            [
                release,
                Effect::VacateLease,
                transitioned(State::Master, State::Backup, reason)
            ],
            "{name}"
        );
        assert!(
            !effects
                .iter()
                .any(|effect| matches!(effect, Effect::Send(_) | Effect::SendLast(_))),
            "{name}"
        );
        assert_ne!(bench.router.state(), State::Master, "{name}");
    }
}

#[test]
fn a_lapsed_master_waits_as_long_as_any_backup() {
    let mut bench = Bench::master(instance(100));
    bench.held_up(60 * SECOND);
    bench.router.timeout(bench.now);
    bench.effects();
    assert_eq!(bench.remaining(), MASTER_DOWN);
    assert_eq!(bench.router.master_address(), None);
}

#[test]
fn a_late_master_inside_its_lease_goes_on() {
    let mut bench = Bench::master(instance(100));
    bench.held_up(4 * SECOND - MILLISECOND);
    bench.router.timeout(bench.now);
    assert_eq!(bench.effects(), [bench.send()]);
}

#[test]
fn only_what_went_out_renews_the_lease() {
    let mut bench = Bench::master(instance(100));
    let start = bench.now;
    while bench.router.state() == State::Master {
        bench.now = bench.router.deadline().unwrap();
        bench.router.timeout(bench.now);
        while bench.router.next_effect().is_some() {}
    }
    assert_eq!(bench.now - start, 4 * SECOND);
}

#[test]
fn without_a_lease_a_master_never_lapses() {
    let mut bench = Bench::master(without_lease(100));
    bench.held_up(3600 * SECOND);
    bench.router.timeout(bench.now);
    assert_eq!(bench.effects()[0], bench.send());
}

#[test]
fn the_first_advertisement_may_wait_for_the_program_to_be_attached() {
    let mut bench = Bench::backup(version_3(100, 1));
    bench.now = bench.router.deadline().unwrap();
    bench.router.timeout(bench.now);
    assert!(matches!(
        bench.router.next_effect(),
        Some(Effect::GrantLease { .. })
    ));
    bench.held_up(300 * MILLISECOND);
    bench.effects();
    assert_eq!(bench.router.state(), State::Master);
    bench.held_up(40 * MILLISECOND);
    bench.router.timeout(bench.now);
    assert_eq!(bench.router.state(), State::Backup);
}

#[test]
fn a_stop_resigns_and_forwards_until_the_successor_is_known() {
    let mut bench = Bench::master(instance(100));
    bench.router.stop(bench.now);
    assert_eq!(
        bench.effects(),
        [
            Effect::SendLast(bench.advertisement(0)),
            Effect::HandOverLease,
            bench.release(),
            transitioned(State::Master, State::Init, Reason::Stopping)
        ]
    );
    assert!(!bench.router.is_stopped());
    bench.after(600 * MILLISECOND);
    // Another router that resigns is no successor.
    bench.hear(HIGHER, 0);
    assert_eq!(bench.remaining(), 900 * MILLISECOND);
    bench.hear(LOWER, 90);
    assert_eq!(bench.remaining(), 500 * MILLISECOND);
    bench.after(100 * MILLISECOND);
    bench.hear(LOWER, 90);
    assert_eq!(bench.remaining(), 400 * MILLISECOND);
    assert_eq!(bench.next_deadline(), [Effect::VacateLease]);
    assert!(bench.router.is_stopped());
    assert_eq!(bench.router.deadline(), None);
}

#[test]
fn a_successor_that_speaks_late_still_gets_its_time() {
    let mut bench = Bench::master(instance(100));
    bench.router.stop(bench.now);
    bench.after(1_400 * MILLISECOND);
    bench.hear(LOWER, 90);
    assert_eq!(bench.remaining(), 500 * MILLISECOND);
}

#[test]
fn a_stop_that_nobody_follows_ends_when_every_skew_is_over() {
    let ten_seconds = VrrpInstance {
        advert_int: Interval::from_seconds(10).unwrap(),
        ..instance(100)
    };
    for (configured, milliseconds) in [
        (instance(100), 1_500),
        (ten_seconds, 1_500),
        (version_3(100, 1_000), 10_500),
        (version_3(100, 10), 600),
    ] {
        let mut bench = Bench::master(configured);
        bench.router.stop(bench.now);
        bench.effects();
        assert_eq!(bench.remaining(), milliseconds * MILLISECOND);
        assert_eq!(bench.next_deadline(), [Effect::VacateLease]);
        assert!(bench.router.is_stopped());
    }
}

#[test]
fn without_a_lease_a_stop_is_done_at_once() {
    let mut bench = Bench::master(without_lease(100));
    bench.router.stop(bench.now);
    let effects = bench.effects();
    assert_eq!(
        effects[..3],
        [
            Effect::SendLast(bench.advertisement(0)),
            bench.release(),
            Effect::VacateLease
        ]
    );
    assert!(bench.router.is_stopped());
}
