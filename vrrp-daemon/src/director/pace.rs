//! Work that is asked for more often than it can be done.

use std::time::{Duration, Instant};

/// How many times as long as the work took the pause after it lasts: it takes a quarter of the time at most, and all
/// that is asked for meanwhile is done together.
pub(super) const PAUSE: u32 = 3;

/// When to do work whose every run does all that was asked for before it: at once after a quiet time, and under
/// constant demand so seldom that everything else gets its turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    wanted: bool,
    not_before: Instant,
    /// When the work that is being done began.
    began: Option<Instant>,
}

impl Pace {
    /// Nothing is asked for, and no pause is due.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            wanted: false,
            not_before: now,
            began: None,
        }
    }

    /// Asks for the work.
    pub(super) const fn want(&mut self) {
        self.wanted = true;
    }

    /// When the work is next to be done, if it is asked for, and not being done.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (self.wanted && self.began.is_none()).then_some(self.not_before)
    }

    /// Whether the work is to be done now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|at| at <= now)
    }

    /// Nothing is left to do.
    pub(super) const fn is_idle(&self) -> bool {
        !self.wanted && self.began.is_none()
    }

    /// The work is being done from now on. What is asked for meanwhile, it may have missed.
    pub(super) const fn begin(&mut self, now: Instant) {
        self.wanted = false;
        self.began = Some(now);
    }

    /// Whether it is being done.
    pub(super) const fn is_being_done(&self) -> bool {
        self.began.is_some()
    }

    /// The work is done.
    pub(super) fn done(&mut self, now: Instant) {
        if let Some(began) = self.began.take() {
            let took: Duration = now.saturating_duration_since(began);
            self.not_before = now + took * PAUSE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn origin() -> Instant {
        Instant::now()
    }

    #[test]
    fn the_first_demand_is_met_at_once() {
        let now = origin();
        let mut pace = Pace::new(now);
        assert_eq!(pace.deadline(), None);
        assert!(!pace.is_due(now));
        pace.want();
        assert_eq!(pace.deadline(), Some(now));
        assert!(pace.is_due(now));
    }

    #[test]
    fn constant_demand_takes_a_quarter_of_the_time() {
        let start = origin();
        let mut pace = Pace::new(start);
        let (mut now, mut runs) = (start, 0);
        while now < start + 1000 * MILLISECOND {
            pace.want();
            if pace.is_due(now) {
                runs += 1;
                pace.begin(now);
                pace.done(now + 10 * MILLISECOND);
                now += 10 * MILLISECOND;
            } else {
                now += MILLISECOND;
            }
        }
        assert_eq!(runs, 25);
    }

    #[test]
    fn what_is_asked_for_in_the_pause_is_done_after_it_once() {
        let start = origin();
        let mut pace = Pace::new(start);
        pace.want();
        pace.begin(start);
        assert_eq!(pace.deadline(), None);
        pace.done(start + MILLISECOND);
        pace.want();
        pace.want();
        assert!(!pace.is_due(start + 3 * MILLISECOND));
        assert!(pace.is_due(start + 4 * MILLISECOND));
        pace.begin(start + 4 * MILLISECOND);
        pace.done(start + 5 * MILLISECOND);
        assert_eq!(pace.deadline(), None);
    }

    #[test]
    fn what_is_asked_for_while_it_is_being_done_is_done_again() {
        let start = origin();
        let mut pace = Pace::new(start);
        pace.want();
        pace.begin(start);
        pace.want();
        assert!(pace.is_being_done());
        assert_eq!(pace.deadline(), None);
        pace.done(start);
        assert_eq!(pace.deadline(), Some(start));
    }
}
