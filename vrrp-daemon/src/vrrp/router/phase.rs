//! The states of a virtual router. A state carries its own deadline: there is no timer to cancel.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::model::{Interval, Priority};
use crate::vrrp::effect::{Reason, State};
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
    pub(super) master: Option<IpAddr>,
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
    /// When gratuitous ARP is repeated; not before there was any.
    pub(super) announce: Option<Instant>,
    /// The others know of it: an advertisement has gone out, this daemon's or its predecessor's.
    pub(super) known: bool,
    /// The mastership is no more than claimed: the lease is granted, and no advertisement has left yet.
    pub(super) claim: Option<Claim>,
    /// The last advertisement did not leave.
    pub(super) failing: bool,
    /// Another master has spoken. Hosts are to be set right once our answer has left; if it cannot, the addresses are
    /// the other one's.
    pub(super) contested: bool,
    /// When it began.
    pub(super) began: Instant,
    /// Who advertises beside it.
    pub(super) rival: Option<Rival>,
    /// When the addresses were last announced against somebody else who did.
    pub(super) defended: Option<Instant>,
    /// When to ask next whether anybody else answers for an address.
    pub(super) ask: Instant,
    /// How often that was asked.
    pub(super) asked: usize,
}

/// A router of lower rank that advertises while this node is master.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rival {
    pub(super) source: IpAddr,
    /// How many advertisements have come in a row.
    pub(super) heard: u32,
    pub(super) last: Instant,
}

/// Where a master comes from that nobody has heard of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) from: State,
    pub(super) reason: Reason,
}

/// What this node has of the addresses and the lease, which outlasts a state by the linger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// Whatever a previous daemon left behind.
    Unknown,
    Nothing,
    /// The lease, and no addresses yet.
    Lease,
    Everything,
    /// No addresses, but the right to forward.
    Forwarding {
        until: Instant,
        /// The successor has spoken: `until` is final.
        succeeded: bool,
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

    pub(super) fn hearing(from: IpAddr, advertisement: &Advertisement, now: Instant) -> Self {
        Self {
            master: Some(from),
            learned_interval: Some(advertisement.interval),
            ..Self::new(now)
        }
    }
}
