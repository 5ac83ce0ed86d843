//! Virtual routers come, change, hand over, come again, and take up what a previous daemon left.

use super::*;

/// A lease that was renewed `age` before `now`, which is 1000 s on the kernel's clock.
fn lease(state: u32, interval: Duration, age: Duration) -> Lease {
    Lease {
        state,
        interval: u64::try_from(interval.as_nanos()).unwrap(),
        renewed_at: NOW - u64::try_from(age.as_nanos()).unwrap(),
        ..Lease::default()
    }
}

const NOW: u64 = 1_000_000_000_000;

fn started_with(lease: Lease) -> Option<State> {
    let configured = router(1, 3);
    let mut bench = Bench::new(&[]);
    bench
        .speaker
        .assign(task(std::slice::from_ref(&configured)), |_| lease, bench.now, NOW);
    bench.ports([port(ETH0, "eth0", "10.0.0.1")]);
    bench.state(&configured)
}

#[test]
fn a_lease_that_still_holds_is_resumed_and_no_other() {
    let held = lease_state::HELD;
    assert_eq!(started_with(lease(held, SECOND, SECOND)), Some(State::Master));
    for (name, lease) in [
        ("run out", lease(held, SECOND, 4 * SECOND)),
        ("without an end", lease(held, Duration::ZERO, SECOND)),
        ("vacant", lease(lease_state::VACANT, SECOND, SECOND)),
        ("handed over", lease(lease_state::HANDING_OVER, SECOND, SECOND)),
        (
            "succeeded",
            Lease {
                successor_at: NOW,
                ..lease(held, SECOND, 2 * SECOND)
            },
        ),
    ] {
        assert_eq!(started_with(lease), Some(State::Backup), "{name}");
    }
}

#[test]
fn who_is_removed_hands_over_and_is_gone() {
    let (stays, goes) = (router(1, 3), router(2, 4));
    let mut bench = Bench::master(&[stays.clone(), goes.clone()]);
    let commands = bench.assign(std::slice::from_ref(&stays));
    assert_eq!(moves(&commands), [('-', ETH0, "10.0.0.4".to_owned())]);
    assert!(commands.contains(&Command::HandOverLease { slot: slot(2) }));
    assert!(bench.speaker.hands_over());
    let commands = bench.after(2 * SECOND);
    assert!(commands.contains(&Command::VacateLease { slot: slot(2) }));
    assert_eq!(bench.state(&goes), None);
    assert_eq!(bench.state(&stays), Some(State::Master));
    assert!(!bench.speaker.hands_over());
    assert_eq!(bench.hear(&goes, 200), []);
}

#[test]
fn who_is_wanted_again_while_it_hands_over_begins_anew_once_it_has() {
    let configured = router(1, 3);
    let mut bench = Bench::master(std::slice::from_ref(&configured));
    bench.assign(&[]);
    let changed = VrrpInstance {
        priority: crate::model::Priority::new(120),
        ..configured.clone()
    };
    let commands = bench.assign(std::slice::from_ref(&changed));
    assert_eq!((moves(&commands), transitions(&commands)), (vec![], vec![]));
    assert_eq!(bench.state(&configured), Some(State::Init));

    let commands = bench.after(1500 * SECOND / 1000);
    assert!(commands.contains(&Command::VacateLease { slot: slot(1) }));
    let known = bench.known(&configured).expect("it is there again");
    assert_eq!(known.state, State::Backup);
    assert_eq!(known.effective_priority.get(), 120);
    assert!(!bench.speaker.hands_over());
    bench.after(4 * SECOND);
    assert_eq!(bench.state(&configured), Some(State::Master));
}

#[test]
fn who_is_wanted_again_and_then_not_does_not_come_back() {
    let configured = router(1, 3);
    let mut bench = Bench::master(std::slice::from_ref(&configured));
    bench.assign(&[]);
    bench.assign(std::slice::from_ref(&configured));
    bench.assign(&[]);
    bench.after(2 * SECOND);
    assert!(bench.speaker.is_empty());
}

#[test]
fn a_change_is_told_to_the_one_that_it_is_about() {
    let (one, two) = (router(1, 3), router(2, 4));
    let mut bench = Bench::master(&[one.clone(), two.clone()]);
    let changed = VrrpInstance {
        virtual_addresses: vec![virtual_address("10.0.0.5/24")],
        ..two
    };
    let commands = bench.assign(&[one, changed.clone()]);
    assert_eq!(
        moves(&commands),
        [
            ('-', ETH0, "10.0.0.4".to_owned()),
            ('+', ETH0, "10.0.0.5".to_owned())
        ]
    );
    assert_eq!(bench.known(&changed).map(|known| known.transitions), Some(2));
}

#[test]
fn an_address_that_a_reload_moves_to_another_master_stays_where_it_is() {
    let (one, two) = (router(1, 3), router(2, 4));
    let mut bench = Bench::master(&[one.clone(), two.clone()]);
    let with = |instance: &VrrpInstance, addresses: &[&str]| VrrpInstance {
        virtual_addresses: addresses.iter().map(|address| virtual_address(address)).collect(),
        ..instance.clone()
    };
    let commands = bench.assign(&[
        with(&one, &["10.0.0.6/24"]),
        with(&two, &["10.0.0.4/24", "10.0.0.3/24"]),
    ]);
    assert!(
        moves(&commands).iter().all(|(verb, ..)| *verb == '+'),
        "{commands:#?}"
    );

    // A backup gives up what it does not have: nothing.
    let mut bench = Bench::backup(&[one.clone(), two.clone()]);
    let commands = bench.assign(&[with(&one, &["10.0.0.6/24"]), two]);
    assert_eq!(moves(&commands), []);
}
