//! Whatever is measured.

use anyhow::Result;
use aya::programs::ProgramFd;
use lab::dataplane::Dataplane;
use lb_common::Verdict;

use crate::floor::Floor;

/// A program with maps of its own.
pub(crate) enum Plane {
    Director(Box<Dataplane>),
    Floor(Floor),
}

impl Plane {
    /// The program.
    pub(crate) fn program_fd(&mut self) -> Result<&ProgramFd> {
        match self {
            Self::Director(dataplane) => dataplane.program_fd(),
            Self::Floor(floor) => Ok(floor.program()?.fd()?),
        }
    }

    /// How many packets had this fate, if the program tells.
    pub(crate) fn counted(&mut self, verdict: Verdict) -> Result<Option<u64>> {
        match self {
            Self::Director(dataplane) => Ok(Some(dataplane.verdicts()[verdict as usize])),
            Self::Floor(floor) => floor.counted(verdict),
        }
    }
}

impl From<Dataplane> for Plane {
    fn from(dataplane: Dataplane) -> Self {
        Self::Director(Box::new(dataplane))
    }
}

impl From<Floor> for Plane {
    fn from(floor: Floor) -> Self {
        Self::Floor(floor)
    }
}

/// The programs, in the order of their columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Swap,
    Track,
    Tracked,
    Stateless,
    Lbd,
}

impl Program {
    pub(crate) const ALL: [Self; 5] = [Self::Swap, Self::Track, Self::Tracked, Self::Stateless, Self::Lbd];

    /// What it is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Swap => "F0",
            Self::Track => "F1",
            Self::Tracked => "M",
            Self::Stateless => "S",
            Self::Lbd => "lbd",
        }
    }

    /// What it does.
    pub(crate) const fn description(self) -> &'static str {
        match self {
            Self::Swap => "parse, swap the link-layer addresses",
            Self::Track => "F0, one LRU hit, one counter",
            Self::Tracked => "a minimal balancer on LRU hashes",
            Self::Stateless => "a minimal stateless Maglev",
            Self::Lbd => "lbd",
        }
    }
}
