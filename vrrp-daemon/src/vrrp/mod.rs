//! VRRP: the wire format, and one virtual router as a pure state machine.
//!
//! This room decides and never touches the world. [`VirtualRouter`] takes what happened and the time it happened at
//! (an advertisement, a deadline, a link that went away), and queues what is to be done as [`Effect`]s. The daemon
//! carries them out in order. Everything is IPv4 multicast: RFC 3768 for version 2, RFC 9568 for version 3; where
//! Keepalived 2.2.7 does otherwise and its users count on it, the code says so beside the section it leaves.
//!
//! The loop that drives a router:
//!
//! ```text
//! loop {
//!     while let Some(effect) = router.next_effect() { carry it out; after a Send: router.sent(now) }
//!     select! { biased; packet => router.received(…, now), …, deadline => router.timeout(now) }
//! }
//! ```
//!
//! Packets come before the deadline: after a pause, what lies in the socket's queue is heard before silence is
//! concluded from the clock.
#![deny(clippy::disallowed_methods)]

mod effect;
mod router;
mod timers;
mod wire;

pub use effect::{Discrepancy, Effect, Notice, Reason, State};
pub use router::VirtualRouter;
pub use wire::{Advertisement, Error, MULTICAST_GROUP, Received};

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod simulation;
