//! The state machine behind one check of a real server: when to try, and what outcomes mean. It knows the timing of the
//! check only; what is tried is nothing to it.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use super::Health;
use crate::model::CheckTiming;

/// After a start or the return of a link, every real server is probed within this time (or within `delay_loop`, where
/// that is shorter).
pub(super) const FIRST_PROBES_WITHIN: Duration = Duration::from_secs(1);

/// What this machine lacks does not come back in less.
const NOT_PROBED_PAUSE: Duration = Duration::from_millis(100);

/// Where in the interval between checks the monitor number `position` of `count` probes, so that all of them together
/// probe evenly and not in bursts: `delay_loop * position / count`.
#[must_use]
pub fn phase(position: usize, count: usize, delay_loop: Duration) -> Duration {
    if count == 0 {
        return Duration::ZERO;
    }
    delay_loop.mul_f64((position % count) as f64 / count as f64)
}

/// What a monitor wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make the check, and say how it went with [`Monitor::probed`].
    Probe,
    /// What the check says of the real server has changed.
    Changed {
        /// What it was.
        from: Health,
        /// What it is.
        to: Health,
        /// Why.
        reason: Reason,
    },
}

/// Why the health of a real server changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// So many checks in a row passed.
    Passed {
        /// How many.
        checks: u32,
    },
    /// So many attempts in a row failed.
    Failed {
        /// How many.
        attempts: u32,
        /// What the last one said.
        message: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed { checks: 1 } => formatter.write_str("check passed"),
            Self::Passed { checks } => write!(formatter, "{checks} checks in a row passed"),
            Self::Failed { attempts: 1, message } => write!(formatter, "check failed: {message}"),
            Self::Failed { attempts, message } => {
                write!(formatter, "{attempts} attempts in a row failed: {message}")
            }
        }
    }
}

/// How the latest check went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastCheck {
    /// Nothing if the check passed, else what went wrong.
    pub outcome: Result<(), String>,
    /// When the outcome was known.
    pub at: Instant,
}

/// What the monitor is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    /// Nothing until `probe_at`.
    Waiting { probe_at: Instant },
    /// Waiting for an outcome.
    Probing { counts: Counts },
}

/// What the outcome of a probe under way says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    /// How the real server is.
    Either,
    /// It says something only if it is a success: there was no way to the real server when it was begun.
    Success,
    /// Nothing: it was begun under another configuration.
    Neither,
}

/// One check of one real server, with the timing of Keepalived's `TCP_CHECK`, and `rise`.
///
/// * Up: `1 + retry` attempts that fail in a row, `delay_before_retry` apart, bring it down. A success between them
///   forgets the failures.
/// * Down: `rise` checks in a row that pass bring it up. A failure is not retried before the next regular check.
/// * Unknown: the first outcome decides.
///
/// Regular checks are `delay_loop` apart on a grid that `phase` shifts, however long a probe takes; a check whose
/// time passes while a probe is under way is left out.
#[derive(Clone, Debug)]
pub struct Monitor {
    timing: CheckTiming,
    health: Health,
    activity: Activity,
    /// A moment in the past of the grid, or the next regular check.
    regular: Instant,
    failures: u32,
    successes: u32,
    /// What is known is of before there was a way to the real server: the next outcome decides.
    anew: bool,
    last_check: Option<LastCheck>,
    effects: VecDeque<Effect>,
}

impl Monitor {
    /// A monitor that probes first within a second (or within `delay_loop`, if shorter) of `now`.
    ///
    /// `phase` (below `delay_loop`; see [`phase()`]) tells where in the interval this one probes. `initial` is what the
    /// maps say: after a restart and for a check that a reload brings, [`Plane::seeds`](crate::director::Plane::seeds)
    /// knows whether connections are being sent to the server, and they go on until a check fails.
    #[must_use]
    pub fn new(timing: CheckTiming, phase: Duration, initial: Option<Health>, now: Instant) -> Self {
        let CheckTiming { delay_loop, .. } = timing;
        // The first probes keep their order, pressed into a shorter time.
        let first_within = delay_loop.min(FIRST_PROBES_WITHIN);
        let share = if delay_loop.is_zero() {
            0.0
        } else {
            (phase.as_secs_f64() / delay_loop.as_secs_f64()).min(1.0)
        };
        let first = now + first_within.mul_f64(share);
        // The regular checks begin where the grid is at least half an interval after the first probe.
        let mut regular = now + phase;
        if regular < first + delay_loop / 2 {
            regular += delay_loop;
        }
        Self {
            timing,
            health: initial.unwrap_or_default(),
            activity: Activity::Waiting { probe_at: first },
            regular,
            failures: 0,
            successes: 0,
            anew: false,
            last_check: None,
            effects: VecDeque::new(),
        }
    }

    /// The probe that was asked for has ended: with success, or with what went wrong in words for people. An outcome
    /// that nobody asked for is ignored.
    ///
    /// Returns whether it says something.
    pub fn probed(&mut self, outcome: Result<(), String>, now: Instant) -> bool {
        match (self.activity, &outcome) {
            (Activity::Waiting { .. }, _) => return false,
            (
                Activity::Probing {
                    counts: Counts::Neither,
                },
                _,
            )
            | (
                Activity::Probing {
                    counts: Counts::Success,
                },
                Err(_),
            ) => {
                self.activity = Activity::Waiting { probe_at: now };
                return false;
            }
            (Activity::Probing { .. }, _) => {}
        }
        self.last_check = Some(LastCheck {
            outcome: outcome.clone(),
            at: now,
        });
        let probe_at = match outcome {
            Ok(()) => {
                self.passed();
                self.next_regular(now)
            }
            Err(message) => {
                self.failed(message);
                // Failures are counted on towards the fall only while it is up.
                if self.health == Health::Up {
                    now + self.timing.delay_before_retry
                } else {
                    self.next_regular(now)
                }
            }
        };
        self.activity = Activity::Waiting { probe_at };
        true
    }

    /// There was no way to the real server, and now there is: what checks have said meanwhile says nothing. The next
    /// one is made at `probe_at`; if it passes, that is enough, whatever `rise` says.
    pub fn begin_again(&mut self, probe_at: Instant) {
        self.failures = 0;
        self.successes = 0;
        self.anew = true;
        self.activity = match self.activity {
            Activity::Waiting { .. } => Activity::Waiting { probe_at },
            Activity::Probing {
                counts: Counts::Either | Counts::Success,
            } => Activity::Probing {
                counts: Counts::Success,
            },
            neither @ Activity::Probing { .. } => neither,
        };
    }

    /// The probe that was asked for could not be made, for want of something on this machine. That says nothing about
    /// the real server: it is tried again after `delay_before_retry`.
    pub fn not_probed(&mut self, now: Instant) {
        if let Activity::Probing { .. } = self.activity {
            self.activity = Activity::Waiting {
                probe_at: now + self.timing.delay_before_retry.max(NOT_PROBED_PAUSE),
            };
        }
    }

    /// The deadline has been reached. Calling it early does nothing.
    pub fn timeout(&mut self, now: Instant) {
        if let Activity::Waiting { probe_at } = self.activity
            && now >= probe_at
        {
            self.activity = Activity::Probing {
                counts: Counts::Either,
            };
            self.effects.push_back(Effect::Probe);
        }
    }

    /// When [`Self::timeout`] wants to be called; nothing while a probe is under way, which ends by itself after its
    /// timeout.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        match self.activity {
            Activity::Waiting { probe_at } => Some(probe_at),
            Activity::Probing { .. } => None,
        }
    }

    /// The next thing to do, in order.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// What the check says of the real server.
    #[must_use]
    pub const fn state(&self) -> Health {
        self.health
    }

    /// When the check is made, and how many outcomes decide.
    #[must_use]
    pub const fn timing(&self) -> &CheckTiming {
        &self.timing
    }

    /// How the latest check went, if one has ended.
    #[must_use]
    pub const fn last_check(&self) -> Option<&LastCheck> {
        self.last_check.as_ref()
    }

    /// The check goes on with this timing. What is known stays, until a check says otherwise; if what is tried is
    /// another thing from now on (`another_way`), the next one is made at once, and one under way says nothing.
    pub fn reconfigure(&mut self, timing: CheckTiming, another_way: bool, now: Instant) {
        let CheckTiming { delay_loop, .. } = timing;
        let other_interval = delay_loop != self.timing.delay_loop;
        if another_way {
            self.failures = 0;
            self.successes = 0;
        }
        self.timing = timing;
        self.activity = match self.activity {
            Activity::Waiting { .. } if another_way => Activity::Waiting { probe_at: now },
            Activity::Waiting { probe_at } => Activity::Waiting {
                probe_at: probe_at.min(now + delay_loop),
            },
            Activity::Probing { .. } if another_way => Activity::Probing {
                counts: Counts::Neither,
            },
            probing @ Activity::Probing { .. } => probing,
        };
        if other_interval {
            self.regular = self.deadline().unwrap_or(now);
        }
    }

    fn passed(&mut self) {
        let anew = std::mem::take(&mut self.anew);
        self.failures = 0;
        self.successes = self.successes.saturating_add(1);
        let needed = match self.health {
            Health::Up => return,
            Health::Unknown => 1,
            Health::Down if anew => 1,
            Health::Down => self.timing.rise,
        };
        if self.successes >= needed {
            let checks = self.successes;
            self.change(Health::Up, Reason::Passed { checks });
        }
    }

    fn failed(&mut self, message: String) {
        self.anew = false;
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        let tolerated = match self.health {
            Health::Down => return,
            Health::Unknown => 0,
            Health::Up => self.timing.retry,
        };
        if self.failures > tolerated {
            let attempts = self.failures;
            self.change(Health::Down, Reason::Failed { attempts, message });
        }
    }

    fn change(&mut self, to: Health, reason: Reason) {
        let from = std::mem::replace(&mut self.health, to);
        self.failures = 0;
        self.successes = 0;
        self.effects.push_back(Effect::Changed { from, to, reason });
    }

    /// The first regular check after `now`.
    fn next_regular(&mut self, now: Instant) -> Instant {
        let CheckTiming { delay_loop, .. } = self.timing;
        if delay_loop.is_zero() {
            return now;
        }
        if self.regular <= now {
            let missed = (now - self.regular).as_nanos() / delay_loop.as_nanos() + 1;
            // More intervals than fit in 32 bits have passed only if the clock is broken: begin a new grid.
            self.regular = u32::try_from(missed)
                .ok()
                .and_then(|missed| delay_loop.checked_mul(missed))
                .and_then(|time| self.regular.checked_add(time))
                .unwrap_or(now + delay_loop);
        }
        self.regular
    }
}
