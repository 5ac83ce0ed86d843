//! What the director tells people: what happened, once.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Cause, Shortage};
use crate::health::{Health, Reason};
use crate::model::{RealServerId, ServiceAddress};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The health of a real server has changed.
    Health {
        /// The real server.
        real_server: RealServerId,
        /// What it was.
        from: Health,
        /// What it is.
        to: Health,
        /// Why.
        reason: Reason,
    },
    /// A check could not be made, for want of something on this machine.
    NotChecked {
        /// The real server.
        real_server: RealServerId,
        /// What was wanting.
        reason: String,
    },
    /// A virtual service has no real server any more that takes new connections.
    ServiceDown {
        /// The service.
        service: ServiceAddress,
    },
    /// A virtual service that had none has one again.
    ServiceUp {
        /// The service.
        service: ServiceAddress,
    },
    /// A virtual service has more new connections than are remembered.
    EpisodeBegan {
        /// The service.
        service: ServiceAddress,
        /// Why they are too many.
        cause: Cause,
        /// Its `new_flow_limit`.
        limit: Option<u32>,
    },
    /// All new connections of a virtual service are remembered again.
    EpisodeOver {
        /// The service.
        service: ServiceAddress,
    },
    /// Direct routing cannot reach a real server.
    Unreachable {
        /// Its address.
        address: IpAddr,
        /// Why.
        reason: String,
    },
    /// The maps have no room for something.
    Shortage(Shortage),
    /// A map could not be written; what was to be written is in the next plan.
    NotWritten {
        /// What was to be done.
        operation: String,
        /// What the kernel said.
        error: String,
    },
    /// Somebody had removed the pins of the maps: they are pinned again.
    PinnedAgain {
        /// Where.
        directory: PathBuf,
    },
    /// Somebody has removed the pins of the maps, and they cannot be pinned again.
    NotPinned {
        /// Where they were.
        directory: PathBuf,
        /// Why they cannot.
        reason: String,
    },
    /// It is not certain that connections of real servers that were removed are forgotten: their slots are given to no
    /// others.
    NotCleared {
        /// Why.
        reason: String,
    },
    /// Connections that are over are still being forgotten after this time.
    SweepLate {
        /// The time.
        after: Duration,
    },
    /// The daemon stops.
    Stopping,
}

/// How grave something is: what a person who reads the log by severity expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Info,
    /// Somebody should know.
    Warning,
    /// Clients are not served.
    Error,
}

impl Notice {
    /// How grave it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Health { to: Health::Down, .. }
            | Self::NotChecked { .. }
            | Self::Unreachable { .. }
            | Self::Shortage(_)
            | Self::NotWritten { .. }
            | Self::PinnedAgain { .. }
            | Self::NotCleared { .. }
            | Self::SweepLate { .. }
            | Self::EpisodeBegan { .. }
            | Self::NotPinned { .. } => Severity::Warning,
            Self::ServiceDown { .. } => Severity::Error,
            Self::Health { .. } | Self::ServiceUp { .. } | Self::EpisodeOver { .. } | Self::Stopping => {
                Severity::Info
            }
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Health {
                real_server,
                from,
                to,
                reason,
            } => write!(
                formatter,
                "real server {} of {}: {from} -> {to}: {reason}",
                real_server.address, real_server.service
            ),
            Self::NotChecked { real_server, reason } => write!(
                formatter,
                "real server {} of {}: health check left out: {reason}",
                real_server.address, real_server.service
            ),
            Self::ServiceDown { service } => {
                write!(
                    formatter,
                    "virtual service {service}: no real server takes new connections"
                )
            }
            Self::ServiceUp { service } => {
                write!(
                    formatter,
                    "virtual service {service}: a real server takes new connections again"
                )
            }
            Self::EpisodeBegan {
                service,
                cause,
                limit,
            } => write!(
                formatter,
                "virtual service {service}: {}: new connections are placed by a hash and not remembered",
                cause.told(*limit)
            ),
            Self::EpisodeOver { service } => {
                write!(
                    formatter,
                    "virtual service {service}: new connections are remembered again"
                )
            }
            Self::Unreachable { address, reason } => {
                write!(formatter, "real server {address} cannot be reached: {reason}")
            }
            Self::Shortage(shortage @ Shortage::ClearedSlots { .. }) => shortage.fmt(formatter),
            Self::Shortage(shortage) => write!(formatter, "the data plane is too small: {shortage}"),
            Self::NotWritten { operation, error } => {
                write!(formatter, "map write failed: {operation}: {error}")
            }
            Self::PinnedAgain { directory } => write!(
                formatter,
                "the pins of the maps in {} were removed while lbd was running: pinned them again",
                directory.display()
            ),
            Self::NotPinned { directory, reason } => write!(
                formatter,
                "the pins of the maps in {} were removed while lbd was running, and it cannot pin them again: {reason}",
                directory.display()
            ),
            Self::NotCleared { reason } => write!(
                formatter,
                "the places of real servers that were removed cannot be given to others, who might get their \
                 connections: {reason}"
            ),
            Self::SweepLate { after } => write!(
                formatter,
                "forgetting the connections that are over has taken more than {} s, and goes on; until it ends, the \
                 places of real servers that were removed are not given to others",
                after.as_secs()
            ),
            Self::Stopping => formatter.write_str("stopping"),
        }
    }
}
