//! A monitor, told what its probes find.

use std::time::{Duration, Instant};

use super::monitor::Effect;
use super::*;
use crate::model::CheckTiming;

const SECOND: Duration = Duration::from_secs(1);

fn check() -> CheckTiming {
    CheckTiming {
        delay_loop: 6 * SECOND,
        retry: 2,
        delay_before_retry: SECOND,
        rise: 1,
    }
}

/// A monitor and the time it lives in.
struct Bench {
    monitor: Monitor,
    start: Instant,
    now: Instant,
}

impl Bench {
    fn new(timing: CheckTiming, phase: Duration, initial: Option<Health>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "any moment will do")]
        let start = Instant::now();
        Self {
            monitor: Monitor::new(timing, phase, initial, start),
            start,
            now: start,
        }
    }

    /// Lets time pass until the next probe begins; returns when that is, after the start.
    fn probe(&mut self) -> Duration {
        self.now = self.monitor.deadline().expect("a monitor at rest has a deadline");
        self.monitor.timeout(self.now);
        let effect = self.monitor.next_effect();
        assert!(matches!(effect, Some(Effect::Probe)), "{effect:?}");
        assert_eq!(self.monitor.deadline(), None);
        self.now - self.start
    }

    /// The probe under way ends after `takes`; returns the change that follows, in words.
    fn ends(&mut self, outcome: Result<(), &str>, takes: Duration) -> Option<String> {
        self.now += takes;
        self.monitor.probed(outcome.map_err(ToOwned::to_owned), self.now);
        let change = self.monitor.next_effect().map(|effect| match effect {
            Effect::Changed { from, to, reason } => format!("{from} -> {to}: {reason}"),
            Effect::Probe => panic!("only a deadline starts a probe"),
        });
        assert_eq!(self.monitor.next_effect(), None);
        change
    }

    fn check(&mut self, outcome: Result<(), &str>) -> Option<String> {
        self.probe();
        self.ends(outcome, Duration::ZERO)
    }
}

const REFUSED: Result<(), &str> = Err("connection refused");

#[test]
fn the_first_outcome_decides() {
    let mut bench = Bench::new(CheckTiming { rise: 3, ..check() }, Duration::ZERO, None);
    assert_eq!(bench.monitor.state(), Health::Unknown);
    assert_eq!(
        bench.check(Ok(())).as_deref(),
        Some("unknown -> up: check passed")
    );

    let mut bench = Bench::new(check(), Duration::ZERO, None);
    assert_eq!(
        bench.check(REFUSED).as_deref(),
        Some("unknown -> down: check failed: connection refused")
    );
}

#[test]
fn a_server_falls_when_all_retries_have_failed() {
    let mut bench = Bench::new(check(), Duration::ZERO, Some(Health::Up));
    let first = bench.probe();
    assert_eq!(bench.ends(REFUSED, Duration::ZERO), None);
    assert_eq!(bench.probe(), first + SECOND);
    assert_eq!(bench.ends(REFUSED, Duration::ZERO), None);
    assert_eq!(bench.probe(), first + 2 * SECOND);
    assert_eq!(
        bench.ends(REFUSED, Duration::ZERO).as_deref(),
        Some("up -> down: 3 attempts in a row failed: connection refused")
    );
    assert_eq!(bench.probe(), first + 6 * SECOND, "then it is checked regularly");
}

#[test]
fn a_success_between_failures_forgets_them() {
    let mut bench = Bench::new(check(), Duration::ZERO, Some(Health::Up));
    for outcome in [REFUSED, REFUSED, Ok(()), REFUSED, REFUSED] {
        assert_eq!(bench.check(outcome), None);
    }
    assert_eq!(bench.monitor.state(), Health::Up);
    assert!(bench.check(REFUSED).is_some());
}

#[test]
fn without_retries_one_failure_is_enough() {
    let mut bench = Bench::new(
        CheckTiming { retry: 0, ..check() },
        Duration::ZERO,
        Some(Health::Up),
    );
    assert_eq!(
        bench.check(REFUSED).as_deref(),
        Some("up -> down: check failed: connection refused")
    );
}

#[test]
fn a_server_rises_after_successes_in_a_row() {
    let mut bench = Bench::new(
        CheckTiming { rise: 2, ..check() },
        Duration::ZERO,
        Some(Health::Down),
    );
    for outcome in [Ok(()), REFUSED, Ok(())] {
        assert_eq!(bench.check(outcome), None);
    }
    assert_eq!(
        bench.check(Ok(())).as_deref(),
        Some("down -> up: 2 checks in a row passed")
    );
}

#[test]
fn a_server_that_is_down_is_not_retried_early() {
    let mut bench = Bench::new(check(), Duration::ZERO, Some(Health::Down));
    let first = bench.probe();
    bench.ends(REFUSED, 3 * SECOND);
    assert_eq!(bench.probe(), first + 6 * SECOND);
}

#[test]
fn regular_checks_do_not_drift_however_long_a_probe_takes() {
    let mut bench = Bench::new(check(), 2 * SECOND, Some(Health::Up));
    bench.probe();
    bench.ends(Ok(()), SECOND);
    assert_eq!(bench.probe(), 8 * SECOND);
    bench.ends(Ok(()), 2 * SECOND);
    assert_eq!(bench.probe(), 14 * SECOND);
    bench.ends(Ok(()), 7 * SECOND);
    assert_eq!(bench.probe(), 26 * SECOND, "the check at 20 s is left out");
}

#[test]
fn probes_spread_over_the_first_second_and_then_over_the_interval() {
    let count = 60;
    let mut first = Vec::new();
    let mut second = Vec::new();
    for position in 0..count {
        let mut bench = Bench::new(check(), phase(position, count, 6 * SECOND), None);
        first.push(bench.probe());
        bench.ends(Ok(()), Duration::ZERO);
        let at = bench.probe();
        assert!(at - first[position] >= 3 * SECOND && at - first[position] <= 9 * SECOND);
        second.push(at);
    }
    assert!(first.iter().all(|at| *at < SECOND), "{first:?}");
    for tenth in 0..10 {
        let begun = first.iter().filter(|at| at.as_millis() / 100 == tenth).count();
        assert!((5..=7).contains(&begun), "{begun} first probes in tenth {tenth}");
    }
    for part in 0..6 {
        let begun = second.iter().filter(|at| at.as_secs() % 6 == part).count();
        assert!(
            (9..=11).contains(&begun),
            "{begun} second probes in second {part}"
        );
    }
}

#[test]
fn a_deadline_reached_early_or_twice_starts_nothing() {
    let mut bench = Bench::new(check(), 3 * SECOND, None);
    bench.monitor.timeout(bench.now);
    assert_eq!(bench.monitor.next_effect(), None);
    bench.probe();
    bench.monitor.timeout(bench.now + 60 * SECOND);
    assert_eq!(bench.monitor.next_effect(), None);
}

#[test]
fn an_outcome_that_nobody_asked_for_is_ignored() {
    let mut bench = Bench::new(check(), Duration::ZERO, None);
    assert_eq!(bench.ends(REFUSED, SECOND), None);
    assert_eq!(bench.monitor.last_check(), None);
    assert_eq!(bench.monitor.state(), Health::Unknown);
}

#[test]
fn a_probe_that_could_not_be_made_says_nothing_and_is_made_later() {
    let mut bench = Bench::new(check(), Duration::ZERO, Some(Health::Up));
    for _ in 0..10 {
        bench.probe();
        bench.monitor.not_probed(bench.now);
        assert!(bench.monitor.deadline() > Some(bench.now));
    }
    assert_eq!(bench.monitor.state(), Health::Up);
    assert_eq!(bench.monitor.last_check(), None);
}

#[test]
fn the_last_check_is_told() {
    let mut bench = Bench::new(check(), Duration::ZERO, Some(Health::Up));
    bench.probe();
    bench.ends(REFUSED, SECOND);
    assert_eq!(
        bench.monitor.last_check(),
        Some(&LastCheck {
            outcome: Err("connection refused".to_owned()),
            at: bench.now,
        })
    );
    assert_eq!(bench.monitor.state(), Health::Up, "two retries are left");
}

#[test]
fn another_thing_is_tried_at_once_and_the_answer_of_the_old_one_says_nothing() {
    let mut bench = Bench::new(
        CheckTiming { retry: 0, ..check() },
        Duration::ZERO,
        Some(Health::Up),
    );
    bench.probe();
    let timing = CheckTiming { retry: 0, ..check() };
    bench.monitor.reconfigure(timing, true, bench.now);
    assert_eq!(bench.ends(REFUSED, SECOND), None);
    assert_eq!(bench.monitor.state(), Health::Up);
    assert_eq!(bench.monitor.deadline(), Some(bench.now));
    bench.monitor.timeout(bench.now);
    assert_eq!(bench.monitor.next_effect(), Some(Effect::Probe));
}

#[test]
fn a_shorter_interval_takes_effect_at_once_and_an_equal_configuration_changes_nothing() {
    let mut bench = Bench::new(check(), Duration::ZERO, Some(Health::Up));
    bench.check(Ok(()));
    let due = bench.monitor.deadline();
    bench.monitor.reconfigure(check(), false, bench.now);
    assert_eq!(bench.monitor.deadline(), due);
    let shorter = CheckTiming {
        delay_loop: 2 * SECOND,
        ..check()
    };
    bench.monitor.reconfigure(shorter, false, bench.now);
    let at = bench.probe();
    assert_eq!(at, 2 * SECOND);
    bench.ends(Ok(()), Duration::ZERO);
    assert_eq!(bench.probe(), 4 * SECOND);
}

#[test]
fn a_monitor_at_rest_tries_another_thing_at_once_and_counts_anew() {
    let mut bench = Bench::new(check(), Duration::ZERO, Some(Health::Up));
    bench.check(REFUSED);
    bench.check(REFUSED);
    bench.monitor.reconfigure(check(), true, bench.now);
    assert_eq!(bench.monitor.deadline(), Some(bench.now));
    assert_eq!(bench.check(REFUSED), None, "the failures were the old thing's");
    assert_eq!(bench.check(REFUSED), None);
    assert!(bench.check(REFUSED).is_some());
}

#[test]
fn where_there_was_no_way_one_success_is_enough_and_what_failed_says_nothing() {
    let timing = CheckTiming { rise: 3, ..check() };
    let mut bench = Bench::new(timing, Duration::ZERO, None);
    bench.check(Err("no way"));
    assert_eq!(bench.monitor.state(), Health::Down);

    // A probe that was begun before there was a way, and fails, is made again at once.
    bench.probe();
    bench.monitor.begin_again(bench.now);
    let now = bench.now + SECOND;
    assert!(!bench.monitor.probed(Err("no way".to_owned()), now));
    assert_eq!(bench.monitor.deadline(), Some(now));
    assert_eq!(bench.check(Ok(())).as_deref(), Some("down -> up: check passed"));

    // One that is at rest is made when it is said.
    let at = bench.now + SECOND / 2;
    bench.monitor.begin_again(at);
    assert_eq!(bench.monitor.deadline(), Some(at));
}
