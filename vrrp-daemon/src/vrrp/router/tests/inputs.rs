//! Links, stops and changes of configuration in every state, and advertisements that do not count.

use super::*;
use crate::vrrp::wire::Datagram;

#[test]
fn a_master_without_a_link_holds_nothing_and_says_nothing() {
    let mut bench = Bench::master(instance(100));
    assert_eq!(
        bench.down(),
        [
            bench.release(),
            Effect::VacateLease,
            transitioned(State::Master, State::Fault, Reason::Obstructed(Obstacle::NoLink))
        ]
    );
    assert_eq!(bench.router.deadline(), None);
    assert_eq!(bench.hear(LOWER, 150), []);
    assert_eq!(bench.down(), []);
    assert_eq!(
        bench.up(),
        [transitioned(
            State::Fault,
            State::Backup,
            Reason::Cleared(Obstacle::NoLink)
        )]
    );
    assert_eq!(bench.remaining(), MASTER_DOWN);
}

#[test]
fn a_router_that_cannot_forward_takes_its_mastership_back_before_anyone_hears_of_it() {
    let mut bench = Bench::backup(instance(100));
    bench.now += MASTER_DOWN;
    bench.router.timeout(bench.now);
    let granted = bench.router.next_effect();
    assert!(matches!(granted, Some(Effect::GrantLease { .. })), "{granted:?}");
    bench.router.obstructed(Obstacle::ProgramRefused, bench.now);
    assert_eq!(
        bench.effects(),
        [
            Effect::VacateLease,
            transitioned(
                State::Backup,
                State::Fault,
                Reason::Obstructed(Obstacle::ProgramRefused)
            )
        ]
    );
    assert_eq!(bench.router.deadline(), None);
    bench.router.obstructed(Obstacle::ProgramRefused, bench.now);
    assert_eq!(bench.effects(), []);
    bench.cleared(Obstacle::ProgramRefused);
    assert_eq!(bench.router.state(), State::Backup);
}

#[test]
fn a_master_that_can_forward_no_more_resigns() {
    let mut bench = Bench::master(instance(100));
    bench.router.obstructed(Obstacle::ProgramRefused, bench.now);
    let resignation = bench.router.advertisement(Priority::RESIGN);
    assert_eq!(
        bench.effects(),
        [
            Effect::SendLast(resignation),
            bench.release(),
            Effect::VacateLease,
            transitioned(
                State::Master,
                State::Fault,
                Reason::Obstructed(Obstacle::ProgramRefused)
            )
        ]
    );
}

#[test]
fn a_link_that_goes_down_ends_a_handover() {
    let mut bench = Bench::master(instance(100));
    bench.hear(LOWER, 150);
    let fault = transitioned(State::Backup, State::Fault, Reason::Obstructed(Obstacle::NoLink));
    assert_eq!(bench.down(), [Effect::VacateLease, fault]);

    let mut bench = Bench::master(instance(100));
    bench.router.stop(bench.now);
    bench.effects();
    assert_eq!(bench.down(), [Effect::VacateLease]);
    assert!(bench.router.is_stopped());
}

#[test]
fn a_new_primary_address_changes_no_state_but_the_tie_break() {
    let mut bench = Bench::master(instance(100));
    let highest = host(9);
    bench.router.addressed(highest, bench.now);
    assert_eq!(bench.effects(), []);
    assert_eq!(bench.router.master_address(), Some(highest));
    bench.hear(HIGHER, 100);
    assert_eq!(bench.router.state(), State::Master);
}

#[test]
fn a_stop_ends_in_every_state() {
    let mut init = Bench::new(instance(100));
    init.router.stop(init.now);
    assert_eq!(init.effects(), [init.release(), Effect::VacateLease]);
    assert!(init.router.is_stopped());

    let mut backup = Bench::backup(instance(100));
    backup.router.stop(backup.now);
    assert_eq!(
        backup.effects(),
        [transitioned(State::Backup, State::Init, Reason::Stopping)]
    );
    assert!(backup.router.is_stopped());

    let mut fault = Bench::backup(instance(100));
    fault.down();
    fault.router.stop(fault.now);
    assert_eq!(
        fault.effects(),
        [transitioned(State::Fault, State::Init, Reason::Stopping)]
    );
    assert!(fault.router.is_stopped());

    let mut handing_over = Bench::master(instance(100));
    handing_over.hear(LOWER, 150);
    handing_over.router.stop(handing_over.now);
    handing_over.effects();
    assert!(!handing_over.router.is_stopped());
    assert_eq!(handing_over.remaining(), 500 * MILLISECOND);
    handing_over.next_deadline();
    assert!(handing_over.router.is_stopped());
}

#[test]
fn a_stopped_router_stays_stopped() {
    let mut bench = Bench::master(instance(100));
    bench.router.stop(bench.now);
    bench.effects();
    bench.router.stop(bench.now);
    assert_eq!(bench.effects(), []);
    assert_eq!(bench.up(), []);
    bench.after(10 * SECOND);
    assert_eq!(bench.hear(LOWER, 1), []);
    assert_eq!(bench.router.state(), State::Init);
    assert!(bench.router.is_stopped());
}

#[test]
fn nothing_happens_twice_or_early() {
    let mut bench = Bench::master(instance(100));
    bench.router.timeout(bench.now);
    assert_eq!(bench.effects(), []);
    bench.next_deadline();
    bench.router.timeout(bench.now);
    assert_eq!(bench.effects(), []);

    let mut bench = Bench::backup(instance(100));
    bench.router.sent(bench.now);
    bench.router.timeout(bench.now);
    assert_eq!(bench.effects(), []);
    assert_eq!(bench.remaining(), MASTER_DOWN);
}

#[test]
fn an_unchanged_configuration_changes_nothing() {
    let mut bench = Bench::master(instance(100));
    bench.router.reconfigure(instance(100), bench.now);
    assert_eq!(bench.effects(), []);
}

#[test]
fn a_master_with_other_addresses_lets_go_of_the_old_and_takes_the_new() {
    let (stays, goes, comes) = (
        virtual_address("10.0.0.100/24"),
        virtual_address("10.0.0.101/32"),
        virtual_address("10.0.0.102/32"),
    );
    let mut bench = Bench::master(VrrpInstance {
        virtual_addresses: vec![stays.clone(), goes.clone()],
        ..instance(100)
    });
    let changed = VrrpInstance {
        virtual_addresses: vec![comes.clone(), stays],
        ..instance(100)
    };
    bench.router.reconfigure(changed, bench.now);
    assert_eq!(
        bench.effects(),
        [
            Effect::ReleaseAddresses(vec![goes]),
            bench.send(),
            Effect::AcquireAddresses(vec![comes]),
            bench.announce()
        ]
    );
    assert_eq!(bench.router.state(), State::Master);
}

#[test]
fn a_backup_with_other_addresses_touches_none() {
    let mut bench = Bench::backup(instance(100));
    let changed = VrrpInstance {
        virtual_addresses: vec![virtual_address("10.0.0.102/32")],
        ..instance(100)
    };
    bench.router.reconfigure(changed, bench.now);
    assert_eq!(bench.effects(), []);
}

#[test]
fn a_master_tells_its_new_priority_at_once_and_stays() {
    let mut bench = Bench::master(instance(100));
    bench.router.reconfigure(instance(50), bench.now);
    assert_eq!(bench.effects(), [Effect::Send(bench.advertisement(50))]);
    assert_eq!(bench.router.state(), State::Master);
    bench.hear(LOWER, 60);
    assert_eq!(bench.router.state(), State::Backup);
}

#[test]
fn a_backup_with_another_priority_has_waited_already() {
    let mut bench = Bench::backup(instance(100));
    bench.after(3 * SECOND);
    bench.router.reconfigure(instance(228), bench.now);
    assert_eq!(bench.remaining(), Duration::from_nanos(109_375_000));
}

#[test]
fn a_new_interval_counts_for_the_lease_from_the_advertisement_that_tells_it() {
    let mut bench = Bench::master(version_3(100, 100));
    bench.router.reconfigure(version_3(100, 1000), bench.now);
    let granted = Effect::GrantLease {
        interval: Some(10 * SECOND),
    };
    assert_eq!(bench.effects(), [bench.send(), granted]);
    bench.held_up(39 * SECOND);
    bench.router.timeout(bench.now);
    assert_eq!(bench.router.state(), State::Master);

    bench.router.reconfigure(version_3(100, 100), bench.now);
    while bench.router.next_effect().is_some() {}
    bench.held_up(SECOND);
    bench.router.timeout(bench.now);
    assert_eq!(bench.router.state(), State::Backup, "nothing went out since");
}

#[test]
fn a_lease_can_be_switched_off_and_on() {
    let mut bench = Bench::master(instance(100));
    bench.router.reconfigure(without_lease(100), bench.now);
    assert_eq!(bench.effects()[1], Effect::GrantLease { interval: None });
    bench.held_up(60 * SECOND);
    bench.router.reconfigure(instance(100), bench.now);
    let granted = Effect::GrantLease {
        interval: Some(SECOND),
    };
    assert_eq!(bench.effects(), [bench.send(), granted]);
    bench.held_up(4 * SECOND);
    bench.router.timeout(bench.now);
    assert_eq!(bench.router.state(), State::Backup);
}

fn notified(from: IpAddr, discrepancy: Discrepancy) -> Vec<Effect> {
    vec![Effect::Worry(Concern::Mismatch(Notice { from, discrepancy }))]
}

#[test]
fn advertisements_that_are_not_ours_to_heed_are_told_once_and_change_nothing() {
    let mut bench = Bench::backup(VrrpInstance {
        password: Some(Password::new("right")),
        ..instance(100)
    });
    let good = bench.advertisement(150);
    let second = Interval::from_seconds(1).unwrap();
    let two_seconds = Interval::from_seconds(2).unwrap();
    let cases = [
        (
            HIGHER,
            Advertisement {
                version: Version::V3,
                password: None,
                ..good.clone()
            },
            Discrepancy::Version { theirs: Version::V3 },
        ),
        (
            HIGHER,
            Advertisement {
                password: Some(Password::new("wrong")),
                ..good.clone()
            },
            Discrepancy::Password,
        ),
        (
            LOWER,
            Advertisement {
                password: None,
                ..good.clone()
            },
            Discrepancy::Password,
        ),
        (
            HIGHER,
            Advertisement {
                interval: two_seconds,
                ..good.clone()
            },
            Discrepancy::Interval {
                version: Version::V2,
                theirs: two_seconds,
                ours: second,
            },
        ),
        (OURS, good.clone(), Discrepancy::OwnAddress),
    ];
    bench.after(SECOND);
    let remaining = bench.remaining();
    for (from, advertisement, discrepancy) in cases {
        let mut told = bench.hear_this(from, &advertisement);
        // What the same router did before is over.
        told.retain(|effect| !matches!(effect, Effect::Relief(_)));
        assert_eq!(told, notified(from, discrepancy));
        assert_eq!(bench.hear_this(from, &advertisement), []);
        assert_eq!(bench.remaining(), remaining);
    }
}

#[test]
fn another_virtual_routers_advertisements_are_not_even_told() {
    let mut bench = Bench::backup(instance(100));
    bench.after(SECOND);
    let other = Advertisement {
        virtual_router_id: VirtualRouterId::new(52).unwrap(),
        ..bench.advertisement(150)
    };
    assert_eq!(bench.hear_this(LOWER, &other), []);
    assert_eq!(bench.remaining(), MASTER_DOWN - SECOND);
}

#[test]
fn a_peer_with_other_addresses_is_heeded_and_told_once_until_it_is_put_right() {
    let mut bench = Bench::backup(instance(100));
    let theirs = vec![host(1), host(100)];
    let odd = Advertisement {
        addresses: theirs.iter().rev().copied().collect(),
        ..bench.advertisement(150)
    };
    let told = notified(LOWER, Discrepancy::Addresses { theirs });
    assert_eq!(bench.hear_this(LOWER, &odd), told);
    assert_eq!(bench.router.master_address(), Some(LOWER));
    assert_eq!(bench.hear_this(LOWER, &odd), []);
    let over = match &told[..] {
        [Effect::Worry(concern)] => Effect::Relief(concern.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(bench.hear(LOWER, 150), std::slice::from_ref(&over));
    assert_eq!(bench.hear_this(LOWER, &odd), told);
    // Or until nobody hears of it any more.
    assert!(bench.after(10 * SECOND).contains(&over));
    assert_eq!(bench.router.concerns().count(), 0);
}

#[test]
fn a_flood_of_differences_is_not_told_for_ever() {
    let mut bench = Bench::backup(instance(100));
    let odd = Advertisement {
        addresses: Vec::new(),
        ..bench.advertisement(150)
    };
    let told: usize = (1..=250)
        .map(|number| bench.hear_this(host(number), &odd).len())
        .sum();
    assert_eq!(told, 16);
}

#[test]
fn keepalived_is_followed_yielded_to_and_succeeded() {
    let mut bench = Bench::master(VrrpInstance {
        password: Some(Password::new("lbdtest1")),
        virtual_addresses: vec![virtual_address("10.77.0.100/24")],
        ..instance(120)
    });
    let mut hear = |packet| {
        let datagram = Datagram::of_ipv4(packet).unwrap();
        bench.hear_this(datagram.source, &Advertisement::parse(&datagram).unwrap());
        bench.router.state()
    };
    assert_eq!(hear(fixtures::V2_PASS_100), State::Master);
    assert_eq!(hear(fixtures::V2_PASS_150), State::Backup);
    assert_eq!(hear(fixtures::V2_PASS_RESIGN), State::Backup);
    bench.after(532 * MILLISECOND);
    assert_eq!(bench.router.state(), State::Master);
}

#[test]
fn reasons_and_notices_read_well() {
    let from = LOWER;
    let priority = Priority::new(150);
    let reasons = [
        (
            Reason::NoAdvertisement {
                from: Some(from),
                silence: MASTER_DOWN,
            },
            "no advertisement from 10.0.0.1 for 3.6 s",
        ),
        (
            Reason::NoAdvertisement {
                from: None,
                silence: 36 * MILLISECOND,
            },
            "no advertisement from anyone for 36 ms",
        ),
        (
            Reason::HigherPriority { from, priority },
            "advertisement of higher priority 150 from 10.0.0.1",
        ),
        (
            Reason::HigherAddress { from, priority },
            "advertisement of equal priority 150 from the higher address 10.0.0.1",
        ),
        (
            Reason::Preempted { from, priority },
            "the master 10.0.0.1 has the lower priority 150",
        ),
        (Reason::Resigned { from }, "the master 10.0.0.1 resigned"),
        (
            Reason::LeaseRanOut { silence: 5 * SECOND },
            "the lease ran out: no advertisement sent for 5.0 s",
        ),
        (
            Reason::LeaseRanOutBeforeStart,
            "the lease ran out while this daemon was not running",
        ),
    ];
    for (reason, text) in reasons {
        assert_eq!(reason.to_string(), text);
    }
    let interval = |version| Discrepancy::Interval {
        version,
        theirs: Interval::from_seconds(2).unwrap(),
        ours: Interval::from_seconds(1).unwrap(),
    };
    let notices = [
        (
            Discrepancy::OwnAddress,
            "ignoring advertisements from 10.0.0.1: that is our own address",
        ),
        (
            Discrepancy::Version { theirs: Version::V3 },
            "ignoring advertisements from 10.0.0.1: version 3, not ours",
        ),
        (
            Discrepancy::Password,
            "ignoring advertisements from 10.0.0.1: the authentication is not ours",
        ),
        (
            interval(Version::V2),
            "ignoring advertisements from 10.0.0.1: interval 2s, ours is 1s",
        ),
        (
            interval(Version::V3),
            "advertisement from 10.0.0.1: interval 2s, ours is 1s",
        ),
        (
            Discrepancy::Addresses {
                theirs: vec![host(7)],
            },
            "advertisement from 10.0.0.1: its virtual addresses are not ours: 10.0.0.7",
        ),
    ];
    for (discrepancy, text) in notices {
        assert_eq!(Notice { from, discrepancy }.to_string(), text);
    }
}
