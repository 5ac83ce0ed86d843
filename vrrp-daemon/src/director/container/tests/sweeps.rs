//! When connections are forgotten, and slots change hands.

use lb_common::{Real, maps};

use crate::model::{RealSlot, Scheduler};

use super::*;

/// The maps of a daemon that had as many real servers as there can be, and has none now.
fn used_up() -> Plane {
    let freed = Real {
        generation: 1,
        ..Real::default()
    };
    Plane {
        reals: vec![freed; maps::REALS.capacity as usize],
        ..Plane::default()
    }
}

/// [`BOTH`] with another real server in the place of 10.0.0.12.
fn another_server() -> Configuration {
    parsed(&BOTH.replace("10.0.0.12", "10.0.0.13"))
}

fn slot(bench: &Bench, last: u8) -> Option<RealSlot> {
    let handles = bench.director.plane().handles();
    let mut found = handles.iter().filter(|(id, _)| id.address.ip() == address(last));
    found.next().map(|(_, handle)| handle.slot)
}

fn clears(sweeps: &[Sweep]) -> usize {
    sweeps.iter().filter(|sweep| sweep.clears_slots()).count()
}

#[test]
fn what_has_timed_out_is_looked_for_every_ten_seconds() {
    let mut bench = Bench::new(parsed(BOTH));
    bench.pass(SECOND * 9);
    assert_eq!(bench.sweeps, []);
    bench.pass(SECOND * 52);
    assert_eq!(bench.sweeps, vec![Sweep::default(); 6]);
    assert_eq!(bench.told(), [""; 0]);
}

/// What the program has not counted so far is counted by a sweep, and that does not wait.
#[test]
fn a_scheduler_that_counts_has_its_connections_counted_at_once() {
    let mut bench = Bench::new(parsed(BOTH));
    bench.pass(SECOND);
    assert_eq!(bench.sweeps, []);
    let now = bench.now;
    let mut configuration = parsed(BOTH);
    configuration.virtual_services[0].scheduler = Scheduler::LeastConnection;
    bench
        .director
        .reload(configuration, interfaces(), now)
        .expect("it is taken");
    bench.carry_out();
    bench.pass(SECOND);
    let counted: BTreeSet<RealSlot> = bench.director.plane().counted().collect();
    assert!(!counted.is_empty());
    assert_eq!(bench.sweeps, [Sweep::default().counting(counted)]);
}

#[test]
fn a_slot_that_was_freed_is_swept_at_once_and_then_goes_to_another() {
    let mut bench = Bench::new(parsed(BOTH));
    bench.pass(SECOND);
    let before = slot(&bench, 12).expect("it is configured");
    let now = bench.now;
    bench
        .director
        .reload(another_server(), interfaces(), now)
        .expect("it is taken");
    bench.carry_out();
    bench.pass(SECOND);
    let after = slot(&bench, 13).expect("it is configured");
    assert_ne!(after, before, "it was given away before anybody swept it");
    assert_eq!(bench.sweeps, [Sweep::new(&BTreeSet::from([before]))]);

    let now = bench.now;
    let both = parsed(BOTH);
    bench
        .director
        .reload(both, interfaces(), now)
        .expect("it is taken");
    bench.carry_out();
    bench.pass(SECOND);
    assert_eq!(slot(&bench, 12), Some(before));
    assert_eq!(bench.told(), [""; 0]);
}

#[test]
fn what_has_no_slot_until_a_sweep_ends_is_told_and_has_one_then() {
    let mut bench = Bench::with_maps(parsed(BOTH), used_up());
    bench.pass(SECOND);
    assert_eq!(clears(&bench.sweeps), 1);
    assert_eq!((bench.schedule(0), bench.schedule(1)), (2, 1));
    assert_eq!(bench.problems(), []);
}

#[test]
fn a_sweep_that_hangs_gives_no_slot_to_anybody_and_is_told_of() {
    let mut bench = Bench::new(parsed(BOTH));
    bench.sweeps_end = None;
    bench.director.read(used_up());
    bench.pass(SECOND);
    assert_eq!((bench.schedule(0), bench.schedule(1)), (0, 0));
    let left_out = |service, count| {
        format!(
            "no room yet for {count} of the real servers of {service}: connections of real servers that were removed \
             are still being forgotten"
        )
    };
    let left_out = [left_out("10.0.0.3:80/tcp", 2), left_out("10.0.0.4:80/tcp", 1)];
    let told = bench.told();
    for text in &left_out {
        assert!(told.iter().any(|told| told.contains(text)), "{told:#?}");
    }
    let rooms = |bench: &Bench| {
        let problems = bench.problems().into_iter();
        let rooms = problems.filter_map(|problem| match problem {
            Problem::NoRoom { reason, .. } => Some(reason),
            _ => None,
        });
        rooms.collect::<Vec<_>>()
    };
    assert_eq!(rooms(&bench), left_out);

    bench.pass(SECOND * 60);
    let told = bench.told();
    let late = told
        .iter()
        .filter(|told| told.contains("has taken more than 3 s"));
    assert_eq!(late.count(), 1, "{told:#?}");
    assert_eq!(bench.sweeps.len(), 1, "one at a time");
    assert_eq!(rooms(&bench), left_out);

    bench.sweeps_end = Some(Ok(()));
    bench.director.swept(Ok(()), bench.now);
    bench.carry_out();
    bench.pass(SECOND);
    assert_eq!((bench.schedule(0), bench.schedule(1)), (2, 1));
    assert_eq!(rooms(&bench), [""; 0]);
    bench.pass(SECOND * 300);
    assert!(bench.sweeps.len() > 1);
}

#[test]
fn without_a_grace_period_slots_stay_where_they_are_and_that_is_told_once() {
    let mut bench = Bench::with_maps(parsed(BOTH), used_up());
    bench.sweeps_end = Some(Err("not here".to_owned()));
    bench.carry_out();
    bench.pass(SECOND * 60);
    assert_eq!((bench.schedule(0), bench.schedule(1)), (0, 0));
    let told = bench.told();
    let reasons = told
        .iter()
        .filter(|told| told.ends_with("might get their connections: not here"));
    assert_eq!(reasons.count(), 1, "{told:#?}");
    assert!(bench.sweeps.len() < 10, "it is not tried all the time");
    bench.sweeps_end = Some(Ok(()));
    bench.pass(SECOND * 11);
    assert_eq!((bench.schedule(0), bench.schedule(1)), (2, 1));
}
