//! When a node knows its real servers.

use super::*;
use crate::vrrp::Awaited;

/// [`interfaces`] with a link on the first one, or without.
fn with_link(up: bool) -> Interfaces {
    let mut interfaces = interfaces();
    interfaces.get_mut("eth0").expect("it is there").up = up;
    interfaces
}

fn is_cold(bench: &Bench) -> bool {
    bench.director.cold().is_some()
}

#[test]
fn a_start_is_cold_until_every_check_has_had_its_outcome() {
    let mut bench = Bench::new(parsed(BOTH));
    assert!(is_cold(&bench));
    bench.pass(SECOND);
    assert!(!is_cold(&bench));
    let told = bench.assignments.last().expect("the other loop was told");
    assert_eq!(told.awaited, BTreeSet::new());
    // A server that is down is known as well.
    let mut bench = Bench::new(parsed(BOTH));
    bench.failing.insert(address(12), "no");
    bench.pass(SECOND);
    assert!(!is_cold(&bench));
}

#[test]
fn what_a_cold_node_waits_for_is_told_with_its_end() {
    let mut bench = Bench::new(parsed(BOTH));
    bench.silent.push(address(12));
    let start = bench.now;
    let cold = bench.director.cold().expect("nothing is known yet");
    assert_eq!((cold.checks, cold.neighbours), (3, 2));
    // All checks have the default `connect_timeout` of 5 s.
    assert_eq!(cold.until, Some(start + SECOND * 8));
    let all = BTreeSet::from([Awaited::Checks, Awaited::Neighbours]);
    assert_eq!((cold.awaited, &bench.director.assignment().awaited), (&all, &all));

    bench.pass(SECOND);
    let cold = bench.director.cold().expect("one does not answer");
    assert_eq!((cold.checks, cold.neighbours), (0, 1));
    let told = bench.assignments.last().expect("the other loop was told");
    assert_eq!(told.awaited, BTreeSet::from([Awaited::Neighbours]));
    let assigned = bench.assignments.len();
    assert!(assigned < 6, "not with every outcome: {assigned}");

    bench.director.found_interfaces(with_link(false), bench.now);
    let cold = bench.director.cold().expect("there is no link");
    let interface = "eth0".to_owned();
    assert!(cold.awaited.contains(&Awaited::Link { interface }), "{cold:?}");
    assert_eq!(cold.until, None, "that may be for ever");
}

#[test]
fn a_neighbour_that_is_not_found_is_not_waited_for_for_ever() {
    let mut bench = Bench::new(unchecked());
    bench.pass(SECOND);
    bench.director.found_interfaces(with_link(false), bench.now);
    bench.silent.push(address(11));
    bench.director.found_route(address(11), route(false));
    bench.pass(SECOND);
    bench.director.found_interfaces(with_link(true), bench.now);
    bench.pass(SECOND);
    assert!(is_cold(&bench));
    bench.pass(SECOND * 3);
    assert!(!is_cold(&bench));
}

#[test]
fn a_node_whose_link_was_away_is_cold_until_it_has_checked_again() {
    let mut bench = Bench::new(parsed(BOTH));
    bench.pass(SECOND);
    bench.director.found_interfaces(with_link(false), bench.now);
    bench.failing = [address(11), address(12)].map(|address| (address, "no")).into();
    bench.pass(SECOND * 60);
    assert!(is_cold(&bench), "as long as it is away");
    assert_eq!(bench.schedule(0), 0);

    bench.director.found_interfaces(with_link(true), bench.now);
    assert!(is_cold(&bench));
    bench.failing.clear();
    bench.pass(SECOND);
    assert!(!is_cold(&bench));
    assert_eq!(
        bench.schedule(0),
        2,
        "checked again at once, not at the next turn"
    );
}

#[test]
fn a_link_that_will_not_be_back_is_not_waited_for() {
    let mut bench = Bench::new(parsed(BOTH));
    bench.pass(SECOND);
    let mut gone = interfaces();
    gone.remove("eth0");
    bench.director.found_interfaces(gone, bench.now);
    bench.pass(SECOND);
    assert!(!is_cold(&bench));
    bench.director.found_interfaces(interfaces(), bench.now);
    assert!(is_cold(&bench), "it is back after all");
    bench.pass(SECOND * 2);
    assert!(!is_cold(&bench));
}

#[test]
fn a_reload_leaves_what_is_known_known() {
    let mut bench = Bench::new(first_only());
    bench.pass(SECOND);
    bench
        .director
        .reload(parsed(BOTH), interfaces(), bench.now)
        .expect("it fits");
    bench.carry_out();
    assert!(!is_cold(&bench));
    assert!(
        bench
            .assignments
            .iter()
            .rev()
            .take(1)
            .all(|told| told.awaited.is_empty())
    );
}
