//! The states of a virtual router. A state carries its own deadline: there is no timer to cancel.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::model::{Interval, Priority};
use crate::vrrp::wire::Advertisement;

/// The state, with what only that state knows.
#[derive(Debug)]
pub(super) enum Phase {
    /// Waiting for the interface.
    Init {
        /// When a previous daemon of this node last advertised as master.
        last_advertised: Option<Instant>,
    },
    Backup(Backup),
    Master(Master),
    Fault,
    /// Told to stop; done once nothing is held.
    Stopped,
}

/// A backup waits: its deadline follows from when it last heard something and from what that was.
#[derive(Debug)]
pub(super) struct Backup {
    /// When the wait began.
    pub(super) since: Instant,
    /// The master has resigned: wait for `Skew_Time` only.
    pub(super) resigned: bool,
    /// The source of the last advertisement.
    pub(super) master: Option<Ipv4Addr>,
    /// `Active_Adver_Interval`, which version 3 learns (RFC 9568, section 6.1).
    pub(super) learned_interval: Option<Interval>,
    /// The priority of a master that is being preempted by not listening to it.
    pub(super) inferior: Option<Priority>,
    /// The deadline was missed by so much once that the wait began anew.
    pub(super) overslept: bool,
}

/// A master speaks, or loses its right to.
#[derive(Debug)]
pub(super) struct Master {
    /// When the next advertisement is due (`Adver_Timer`).
    pub(super) advertise: Instant,
    /// When the lease was last renewed.
    pub(super) renewed: Instant,
    /// The interval of the lease as granted; `None` if it does not run out.
    pub(super) lease_interval: Option<Duration>,
    /// When the lease runs out.
    pub(super) lease_end: Option<Instant>,
    /// When gratuitous ARP is repeated.
    pub(super) announce: Option<Instant>,
    /// The others know of it: an advertisement has gone out, this daemon's or its predecessor's.
    pub(super) known: bool,
}

/// What this node has of the addresses and the lease, which outlasts a state by the linger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// Whatever a previous daemon left behind.
    Unknown,
    Nothing,
    Everything,
    /// No addresses, but the right to forward.
    Forwarding {
        until: Instant,
    },
}

impl Backup {
    pub(super) fn new(since: Instant) -> Self {
        Self {
            since,
            resigned: false,
            master: None,
            learned_interval: None,
            inferior: None,
            overslept: false,
        }
    }

    pub(super) fn hearing(from: Ipv4Addr, advertisement: &Advertisement, now: Instant) -> Self {
        Self {
            master: Some(from),
            learned_interval: Some(advertisement.interval),
            ..Self::new(now)
        }
    }
}
