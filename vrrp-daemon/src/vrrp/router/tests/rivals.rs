//! Who else has the addresses: another master that does not hear us, another host that claims one.

use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

fn address() -> IpAddr {
    host(100)
}

fn two_masters(other: IpAddr) -> Concern {
    Concern::TwoMasters {
        other,
        priority: Priority::new(50),
    }
}

fn conflict() -> Concern {
    Concern::AddressConflict {
        address: address(),
        mac: MAC,
    }
}

/// The concerns that are told and that are over, among `effects`.
fn told(effects: &[Effect]) -> Vec<(bool, Concern)> {
    let told = effects.iter().filter_map(|effect| match effect {
        Effect::Worry(concern) => Some((true, concern.clone())),
        Effect::Relief(concern) => Some((false, concern.clone())),
        _ => None,
    });
    told.collect()
}

fn announcements(effects: &[Effect]) -> usize {
    let announces = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Announce(_)));
    announces.count()
}

#[test]
fn a_master_that_keeps_hearing_a_lower_priority_says_so_until_that_ends() {
    let mut bench = Bench::master(instance(100));
    bench.after(10 * SECOND);
    let mut all = Vec::new();
    for _ in 0..65 {
        all.extend(bench.hear(LOWER, 50));
        all.extend(bench.after(SECOND));
    }
    assert_eq!(
        told(&all),
        [(true, two_masters(LOWER)), (true, two_masters(LOWER))]
    );
    assert!(
        bench
            .router
            .concerns()
            .map(|(concern, _)| concern)
            .eq([&two_masters(LOWER)])
    );
    let after = bench.after(10 * SECOND);
    assert_eq!(told(&after), [(false, two_masters(LOWER))]);
}

#[test]
fn a_crossing_on_the_wire_is_no_second_master() {
    let mut bench = Bench::master(instance(100));
    let crossing = [
        bench.hear(LOWER, 50),
        bench.hear(HIGHER, 50),
        bench.hear(LOWER, 50),
    ]
    .concat();
    assert_eq!(told(&crossing), []);
    for _ in 0..5 {
        bench.after(10 * SECOND);
        assert_eq!(told(&bench.hear(LOWER, 50)), []);
    }
}

#[test]
fn who_is_no_master_any_more_has_no_rival() {
    let mut bench = Bench::master(instance(100));
    for _ in 0..3 {
        bench.hear(LOWER, 50);
    }
    let effects = bench.hear(HIGHER, 200);
    assert_eq!(told(&effects), [(false, two_masters(LOWER))]);
    assert_eq!(bench.router.state(), State::Backup);
}

#[test]
fn the_rightful_master_announces_again_and_not_without_end() {
    let mut bench = Bench::master(instance(100));
    bench.after(10 * SECOND);
    let claim = |bench: &mut Bench| {
        bench.router.claimed(address(), MAC, bench.now);
        bench.effects()
    };
    let first = claim(&mut bench);
    assert_eq!(
        (told(&first), announcements(&first)),
        (vec![(true, conflict())], 1)
    );
    // The other one answers each time.
    let storm: Vec<Effect> = (0..100).flat_map(|_| claim(&mut bench)).collect();
    assert_eq!((told(&storm), announcements(&storm)), (vec![], 0));
    bench.after(10 * SECOND);
    assert_eq!(announcements(&claim(&mut bench)), 1);
    let after = bench.after(30 * SECOND);
    assert_eq!(told(&after), [(false, conflict())]);
}

#[test]
fn a_master_announces_now_and_again() {
    let mut bench = Bench::master(instance(100));
    let start = bench.now;
    let mut announced = Vec::new();
    while bench.now < start + 130 * SECOND {
        if announcements(&bench.next_deadline()) > 0 {
            announced.push((bench.now - start).as_secs());
        }
    }
    assert_eq!(announced, [5, 65, 125]);
    // An announcement for another reason is as good.
    bench.hear(LOWER, 50);
    assert_eq!(announcements(&bench.after(64 * SECOND)), 1);
}

/// Its successor has announced the addresses, perhaps.
#[test]
fn a_master_whose_advertisements_do_not_leave_announces_nothing() {
    let mut bench = Bench::master(version_3(100, 200));
    let start = bench.now;
    let mut said = Vec::new();
    while bench.now < start + 6 * SECOND {
        bench.now = bench.router.deadline().unwrap();
        bench.router.timeout(bench.now);
        said.extend(bench.effects_of_a_mute());
    }
    assert_eq!(
        announcements(&said),
        0,
        "not even what was due after five seconds"
    );
    bench.router.claimed(address(), MAC, bench.now);
    let defence = bench.effects_of_a_mute();
    assert_eq!(
        (told(&defence), announcements(&defence)),
        (vec![(true, conflict())], 0)
    );
    assert_eq!(bench.router.state(), State::Master);
}

#[test]
fn what_is_heard_while_taking_over_or_as_a_backup_is_no_conflict() {
    let mut backup = Bench::backup(instance(100));
    let mut fresh = Bench::master(instance(100));
    for bench in [&mut backup, &mut fresh] {
        bench.router.claimed(address(), MAC, bench.now);
        assert_eq!(bench.effects(), []);
    }
}

#[test]
fn a_master_asks_for_each_address_in_its_turn() {
    let mut bench = Bench::master(VrrpInstance {
        virtual_addresses: vec![virtual_address("10.0.0.100/24"), virtual_address("10.0.0.101/24")],
        ..instance(100)
    });
    let mut asked = Vec::new();
    let start = bench.now;
    while bench.now < start + 34 * SECOND {
        bench.now = bench.router.deadline().unwrap();
        bench.router.timeout(bench.now);
        asked.extend(bench.all_effects().into_iter().filter_map(|effect| match effect {
            Effect::Ask(address) => Some(((bench.now - start).as_secs(), address.address.addr())),
            _ => None,
        }));
    }
    let expected = [(3, host(100)), (13, host(101)), (23, host(100)), (33, host(101))];
    assert_eq!(asked, expected);
}
