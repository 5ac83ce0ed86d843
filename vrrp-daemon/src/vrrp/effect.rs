//! What a virtual router asks for, and how it explains itself.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::awaited::Awaited;
use super::concern::Concern;
use super::obstacle::Obstacle;
use super::wire::Advertisement;
use crate::model::{Priority, VirtualAddress};

/// Something that a virtual router wants done, in the order asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Take the right to answer and forward for the addresses, renewed as of now, before anyone is told. Asked for
    /// again when the interval has changed. If that cannot be done, say so by an [`Obstacle`].
    GrantLease {
        /// The interval that the lease counts in; `None` for a lease that does not run out.
        interval: Option<Duration>,
    },
    /// Send this advertisement from the primary address. Whether it is out, say with
    /// [`VirtualRouter::sent`](super::router::VirtualRouter::sent) or
    /// [`VirtualRouter::send_failed`](super::router::VirtualRouter::send_failed).
    Send(Advertisement),
    /// Send this one too; it is the last of a mastership, and nothing follows from whether it left.
    SendLast(Advertisement),
    /// Send what no router acts on, to know whether anything leaves; say with
    /// [`VirtualRouter::probe_sent`](super::router::VirtualRouter::probe_sent) if it did.
    Probe,
    /// Add these addresses to their interfaces; those that are there already are none the worse.
    AcquireAddresses(Vec<VirtualAddress>),
    /// Send one burst of gratuitous ARP for these addresses.
    Announce(Vec<VirtualAddress>),
    /// Stop answering for the addresses and go on forwarding: a successor has spoken, or is about to.
    HandOverLease,
    /// Remove these addresses from their interfaces, where they are there.
    ReleaseAddresses(Vec<VirtualAddress>),
    /// Give up the right to answer and forward.
    VacateLease,
    /// The state has changed, and all that this brings with it has been asked for.
    Transitioned {
        /// The state before.
        from: State,
        /// The state now.
        to: State,
        /// Why.
        reason: Reason,
    },
    /// Tell the operator what keeps this node out of the election, where no transition says so.
    Obstructed(Obstacle),
    /// Ask whether anybody else answers for this address.
    Ask(VirtualAddress),
    /// Tell the operator what is not as it should be: when it begins, and sparsely while it lasts.
    Worry(Concern),
    /// Tell the operator that it is over.
    Relief(Concern),
    /// Tell the operator that a master of lower priority is left alone; once, until [`Self::HoldsBackNoMore`].
    HoldsBack {
        /// That master.
        from: IpAddr,
        /// Its priority.
        priority: Priority,
        /// What this node does not know of its real servers.
        awaited: BTreeSet<Awaited>,
    },
    /// Tell the operator that this is over.
    HoldsBackNoMore {
        /// The real servers are known; else, it is a backup no more.
        known: bool,
    },
}

/// The state of a virtual router (RFC 9568, section 6.4), and Keepalived's fourth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Before the interface was up for the first time, and after a stop.
    Init,
    /// Waiting for the master to fall silent.
    Backup,
    /// Entitled to the addresses.
    Master,
    /// Something stands in the way that did not before: an [`Obstacle`].
    Fault,
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Init => "init",
            Self::Backup => "backup",
            Self::Master => "master",
            Self::Fault => "fault",
        })
    }
}

/// Why the state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The last thing that stood in the way is gone.
    Cleared(Obstacle),
    /// Something stands in the way.
    Obstructed(Obstacle),
    /// Priority 255 does not wait.
    Owner,
    /// A previous daemon of this node was master, and its lease still holds.
    Resumed,
    /// A previous daemon of this node was master, but its lease is over.
    LeaseRanOutBeforeStart,
    /// This daemon was held up, or could not send, for longer than its lease.
    LeaseRanOut {
        /// How long ago the lease was renewed.
        silence: Duration,
    },
    /// The master is gone, or there was none.
    NoAdvertisement {
        /// The master that was heard last.
        from: Option<IpAddr>,
        /// How long none was heard.
        silence: Duration,
    },
    /// The master sent priority 0, and no other router was faster.
    Resigned {
        /// The master that was.
        from: IpAddr,
    },
    /// The master's priority is lower than ours, and preemption is on.
    Preempted {
        /// The master that was.
        from: IpAddr,
        /// Its priority.
        priority: Priority,
    },
    /// Another master has a higher priority.
    HigherPriority {
        /// The other master.
        from: IpAddr,
        /// Its priority.
        priority: Priority,
    },
    /// Another master has the same priority and the higher address.
    HigherAddress {
        /// The other master.
        from: IpAddr,
        /// The priority of both.
        priority: Priority,
    },
    /// The daemon stops, or no longer takes part in this virtual router.
    Stopping,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cleared(obstacle) => formatter.write_str(obstacle.end()),
            Self::Obstructed(obstacle) => obstacle.fmt(formatter),
            Self::Owner => formatter.write_str("priority 255 does not wait"),
            Self::Resumed => formatter.write_str("the lease of the previous daemon still holds"),
            Self::LeaseRanOutBeforeStart => {
                formatter.write_str("the lease ran out while this daemon was not running")
            }
            Self::LeaseRanOut { silence } => write!(
                formatter,
                "the lease ran out: no advertisement sent for {}",
                Seconds(*silence)
            ),
            Self::NoAdvertisement {
                from: Some(from),
                silence,
            } => write!(
                formatter,
                "no advertisement from {from} for {}",
                Seconds(*silence)
            ),
            Self::NoAdvertisement { from: None, silence } => {
                write!(
                    formatter,
                    "no advertisement from anyone for {}",
                    Seconds(*silence)
                )
            }
            Self::Resigned { from } => write!(formatter, "the master {from} resigned"),
            Self::Preempted { from, priority } => {
                write!(formatter, "the master {from} has the lower priority {priority}")
            }
            Self::HigherPriority { from, priority } => {
                write!(
                    formatter,
                    "advertisement of higher priority {priority} from {from}"
                )
            }
            Self::HigherAddress { from, priority } => write!(
                formatter,
                "advertisement of equal priority {priority} from the higher address {from}"
            ),
            Self::Stopping => formatter.write_str("stopping"),
        }
    }
}

/// A duration as a log wants it: tenths of a second, or milliseconds where those would say nothing.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < Duration::from_secs(1) {
            write!(formatter, "{} ms", self.0.as_millis())
        } else {
            write!(formatter, "{:.1} s", self.0.as_secs_f64())
        }
    }
}
