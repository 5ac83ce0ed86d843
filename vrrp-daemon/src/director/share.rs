//! What a real server gets of new connections, and why: one answer for the schedule and for the status.

use std::fmt;

use crate::health::Health;
use crate::model::{RealServer, RealSlot, Scheduler, Weight};

/// The state of a real server, in the words of the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RealServerState {
    /// It gets new connections.
    Up,
    /// Its checks failed, or none has ended yet.
    Down,
    /// Its weight is 0: known connections go on, new ones go elsewhere.
    Drained,
    /// It is healthy, but its link-layer address is not known.
    Unresolved,
}

impl RealServerState {
    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Drained => "drained",
            Self::Unresolved => "unresolved",
        }
    }
}

impl fmt::Display for RealServerState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The state of a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceState {
    /// At least one real server gets new connections.
    Up,
    /// None does.
    Down,
}

impl ServiceState {
    /// The state of a service whose real servers have these shares, and which has this schedule in the maps: without a
    /// turn of it, nobody gets a connection.
    pub fn of(shares: impl IntoIterator<Item = Share>, schedule: Option<&[RealSlot]>) -> Self {
        let has_turns = schedule.is_some_and(|schedule| !schedule.is_empty());
        if has_turns && shares.into_iter().any(Share::is_scheduled) {
            Self::Up
        } else {
            Self::Down
        }
    }

    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for ServiceState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What a real server gets of its service's new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Whether it gets any, and if not, why.
    pub state: RealServerState,
    /// Its share of new connections now: 0 unless it is up; under `rr`, which gives equal shares, 1.
    pub effective_weight: Weight,
}

impl Share {
    /// The share of `real_server`. `health` is what its check says, and up without a check; `resolved`, whether
    /// its link-layer address is known. Of several reasons to get no connections, the gravest is told: down, then
    /// drained, then unresolved.
    #[must_use]
    pub const fn new(scheduler: Scheduler, real_server: &RealServer, health: Health, resolved: bool) -> Self {
        let state = match health {
            Health::Unknown | Health::Down => RealServerState::Down,
            Health::Up if real_server.weight.get() == 0 => RealServerState::Drained,
            Health::Up if !resolved => RealServerState::Unresolved,
            Health::Up => RealServerState::Up,
        };
        let effective_weight = match state {
            RealServerState::Up => scheduler.share(real_server.weight),
            RealServerState::Down | RealServerState::Drained | RealServerState::Unresolved => Weight::new(0),
        };
        Self {
            state,
            effective_weight,
        }
    }

    /// Whether it is in the schedule.
    #[must_use]
    pub const fn is_scheduled(self) -> bool {
        self.effective_weight.get() > 0
    }
}
