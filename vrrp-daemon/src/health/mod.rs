//! Health checks: when to probe a real server next, and what its answers mean.
//!
//! A [`Monitor`] watches one real server of one virtual service. It knows no socket and no clock: it is told the time
//! and the outcome of each probe, and says when it wants to be called and what it wants done. Carrying a probe out is
//! `io`'s part, drawing the schedule from the result the [`director`](crate::director)'s.
#![deny(clippy::disallowed_methods)]

mod monitor;

pub use monitor::{Effect, LastCheck, Monitor, Reason, phase};

use std::fmt;

/// What is known of a real server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Health {
    /// No check has ended yet. It gets no connections, as if it were down.
    #[default]
    Unknown,
    /// It can take connections.
    Up,
    /// Its checks failed.
    Down,
}

impl fmt::Display for Health {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

#[cfg(test)]
mod tests;
