//! When connections are forgotten that are over, and slots released that nobody's connections name any more.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lb_common::FlowTime;

use super::{Director, Effect};
use crate::director::pace::{PAUSE, Pace};
use crate::director::{Notice, Quarantine, Shortage, Sweep};
use crate::model::RealSlot;

/// How often what has timed out is looked for: before the clock of the words comes round.
const PERIOD: Duration = Duration::from_secs(10);

/// A sweep that takes longer is told of: the table of a million connections takes a fiftieth of a second, the largest
/// one a second or two.
const LATE: Duration = Duration::from_secs(3);

/// From the beginning of a sweep to the end of the next, which comes after [`PERIOD`] or after a pause.
const _: () = assert!(
    PERIOD.as_nanos() + LATE.as_nanos() < FlowTime::UNMISTAKABLE as u128
        && LATE.as_nanos() * (1 + PAUSE as u128) + LATE.as_nanos() < FlowTime::UNMISTAKABLE as u128
);

/// The sweeps of the table of connections, one at a time.
#[derive(Clone, Debug)]
pub(super) struct Sweeps {
    quarantine: Quarantine,
    pace: Pace,
    /// When the next one is due at the latest.
    next_at: Instant,
    /// When the one that is under way is to be told of.
    late_at: Option<Instant>,
    /// Why the last one cleared nothing.
    failure: Option<String>,
    /// Whose connections the last one counts, or has counted.
    counted: BTreeSet<RealSlot>,
}

impl Sweeps {
    /// None is under way. The first is due in a while.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            quarantine: Quarantine::default(),
            pace: Pace::new(now),
            next_at: now + PERIOD,
            late_at: None,
            failure: None,
            counted: BTreeSet::new(),
        }
    }

    /// Which free slots may be given away.
    pub(super) const fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }

    /// When [`Director::look_at_sweeps`] is next needed.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let deadlines = [Some(self.next_at), self.pace.deadline(), self.late_at];
        deadlines.into_iter().flatten().min()
    }
}

impl Director {
    /// The sweep that was asked for has ended. If it could not make sure that no program goes by what was in the maps
    /// before, with the reason: slots are as they were then, and what has timed out is forgotten all the same.
    pub fn swept(&mut self, outcome: Result<(), String>, now: Instant) {
        self.sweeps.pace.done(now);
        self.sweeps.late_at = None;
        let has_cleared = outcome.is_ok();
        let failure = outcome.err();
        if self.sweeps.failure != failure {
            self.sweeps.failure.clone_from(&failure);
            if let Some(reason) = failure {
                self.tell(Notice::NotCleared { reason });
            }
        }
        let has_released = self.sweeps.quarantine.end(has_cleared, &self.plane);
        let mut shortages = self.shortages.iter();
        if has_released && shortages.any(|shortage| matches!(shortage, Shortage::ClearedSlots { .. })) {
            self.converging.want();
        }
    }

    /// Has a sweep made at once if slots wait for one, or if connections are counted that were not before: the maps are
    /// not what they were.
    pub(super) fn look_at_quarantine(&mut self) {
        let is_new = |slot| !self.sweeps.counted.contains(&slot);
        if self.sweeps.quarantine.wants_sweep(&self.plane) || self.plane.counted().any(is_new) {
            self.sweeps.pace.want();
        }
    }

    /// Asks for the sweep that is due, and tells of one that takes too long.
    pub(super) fn look_at_sweeps(&mut self, now: Instant) {
        if self.sweeps.next_at <= now {
            self.sweeps.next_at = now + PERIOD;
            self.sweeps.pace.want();
        }
        if self.sweeps.pace.is_due(now) {
            self.sweeps.pace.begin(now);
            self.sweeps.late_at = Some(now + LATE);
            let cleared = self.sweeps.quarantine.begin(&self.plane);
            self.sweeps.counted = self.plane.counted().collect();
            let sweep = Sweep::new(&cleared).counting(self.sweeps.counted.clone());
            self.effects.push_back(Effect::Sweep(sweep));
        }
        if self.sweeps.late_at.is_some_and(|at| at <= now) {
            self.sweeps.late_at = None;
            self.tell(Notice::SweepLate { after: LATE });
        }
    }
}
