//! Health checks: when to probe a real server next, and what its answers mean.
//!
//! A [`Monitor`] makes one check of one real server, of which it knows the timing only. [`Monitors`] has all of them,
//! and knows what each tries: a real server is up while all its checks pass. Neither knows a socket or a clock: they
//! are told the time and the outcome of each probe, and say when they want to be called and what they want done.
//! Carrying a probe out is `io`'s part, drawing the schedule from the result the [`director`](crate::director)'s.
#![deny(clippy::disallowed_methods)]

mod monitor;
mod monitors;

pub use monitor::{LastCheck, Monitor, Reason, phase};
pub use monitors::{CheckHandle, Effect, Monitors, Watched};

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
