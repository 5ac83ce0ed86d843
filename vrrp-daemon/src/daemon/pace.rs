//! Work that is asked for more often than it can be done.

use std::time::{Duration, Instant};

/// How many times as long as the work took the pause after it lasts: it takes a quarter of the time at most, and all
/// that is asked for meanwhile is done together.
const PAUSE: u32 = 3;

/// When to do work whose every run does all that was asked for before it: at once after a quiet time, and under
/// constant demand so seldom that everything else gets its turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    wanted: bool,
    not_before: Instant,
}

impl Pace {
    /// Nothing is asked for, and no pause is due.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            wanted: false,
            not_before: now,
        }
    }

    /// Asks for the work.
    pub(super) const fn want(&mut self) {
        self.wanted = true;
    }

    /// When the work is next to be done, if it is asked for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.wanted.then_some(self.not_before)
    }

    /// Whether the work is to be done now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|at| at <= now)
    }

    /// The work was done, from `began` to `ended`.
    pub(super) fn done(&mut self, began: Instant, ended: Instant) {
        let took: Duration = ended.saturating_duration_since(began);
        self.wanted = false;
        self.not_before = ended + took * PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn the_first_demand_is_met_at_once() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert_eq!(pace.deadline(), None);
        assert!(!pace.is_due(now));
        pace.want();
        assert_eq!(pace.deadline(), Some(now));
        assert!(pace.is_due(now));
    }

    #[test]
    fn constant_demand_takes_a_quarter_of_the_time() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let (mut now, mut runs) = (start, 0);
        while now < start + 1000 * MILLISECOND {
            pace.want();
            if pace.is_due(now) {
                runs += 1;
                pace.done(now, now + 10 * MILLISECOND);
                now += 10 * MILLISECOND;
            } else {
                now += MILLISECOND;
            }
        }
        assert_eq!(runs, 25);
    }

    #[test]
    fn what_is_asked_for_in_the_pause_is_done_after_it_once() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.want();
        pace.done(start, start + MILLISECOND);
        pace.want();
        pace.want();
        assert!(!pace.is_due(start + 3 * MILLISECOND));
        assert!(pace.is_due(start + 4 * MILLISECOND));
        pace.done(start + 4 * MILLISECOND, start + 5 * MILLISECOND);
        assert_eq!(pace.deadline(), None);
    }
}
