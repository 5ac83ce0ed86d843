//! VRRP: the wire format, one virtual router as a pure state machine, and all those of this node.
//!
//! This room decides and never touches the world. The [`Speaker`] takes what happened and the time it happened at (a
//! datagram, a deadline, an interface that went away), and queues what is to be done as [`Command`]s. The daemon
//! carries them out in order. Everything is multicast: RFC 3768 for version 2, RFC 9568 for version 3; where Keepalived
//! 2.2.7 does otherwise and its users count on it, the code says so beside the section it leaves.
//!
//! The loop that drives a speaker:
//!
//! ```text
//! loop {
//!     while let Some(command) = speaker.next_effect() { carry it out; after a Send: speaker.sent(router, now) }
//!     select! { biased; datagram => speaker.received(…, now), …, deadline => speaker.timeout(now) }
//! }
//! ```
//!
//! Datagrams come before the deadline: after a pause, what lies in the socket's queue is heard before silence is
//! concluded from the clock.
#![deny(clippy::disallowed_methods)]

mod awaited;
mod concern;
mod effect;
mod notice;
mod obstacle;
mod rounds;
mod router;
mod speaker;
mod timers;
mod wire;

pub use awaited::Awaited;
pub use concern::Concern;
pub use effect::{Reason, State};
pub use notice::{Discrepancy, Notice};
pub use obstacle::Obstacle;
pub use rounds::Rounds;
pub use speaker::{
    Command, Counters, Member, News, Port, PortAddress, RouterHandle, RouterState, Speaker, Task,
};
pub use wire::{Advertisement, Datagram, Error, multicast_group};

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod simulation;
