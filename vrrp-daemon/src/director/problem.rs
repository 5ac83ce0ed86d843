//! What is not as it should be now, and since when.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Instant;

use super::{Cause, Shortage};
use crate::model::ServiceAddress;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// A virtual service has no real server that takes new connections.
    NoSchedule {
        /// The service.
        service: ServiceAddress,
        /// Why none of its real servers does.
        reason: String,
    },
    /// Nobody answers for the link-layer address of a real server, or direct routing cannot reach it.
    Unresolved {
        /// Its address.
        address: IpAddr,
        /// Why.
        reason: String,
    },
    /// The maps have no room for something.
    NoRoom {
        /// What it is about.
        subject: String,
        /// What does not fit.
        reason: String,
    },
    /// A virtual service has more new connections than are remembered.
    Episode {
        /// The service.
        service: ServiceAddress,
        /// Why they are too many.
        cause: Cause,
        /// Its `new_flow_limit`.
        limit: Option<u32>,
    },
    /// The maps could not be written.
    NotWritten {
        /// What was to be written.
        operation: String,
        /// What the kernel said.
        error: String,
    },
    /// Somebody has removed the pins, and they cannot be made again: the next daemon will not find the maps.
    PinsMissing {
        /// Where they were.
        directory: PathBuf,
        /// Why they cannot.
        reason: String,
    },
}

impl Problem {
    /// The problem of a shortage.
    pub(super) fn of(shortage: &Shortage) -> Self {
        let subject = match shortage {
            Shortage::Services { service }
            | Shortage::RealServers { service, .. }
            | Shortage::ClearedSlots { service, .. } => service.to_string(),
            Shortage::Addresses { .. } => "virtual addresses".to_owned(),
            Shortage::Peers { .. } => "real servers".to_owned(),
            Shortage::Leases { instance } => instance.clone(),
        };
        Self::NoRoom {
            subject,
            reason: shortage.to_string(),
        }
    }
}

/// The problems that there are, with the time since which each of them has been there.
#[derive(Clone, Debug, Default)]
pub(super) struct Problems(BTreeMap<Problem, Instant>);

impl Problems {
    /// These, and no others, are there at `now`.
    pub(super) fn replace(&mut self, problems: impl IntoIterator<Item = Problem>, now: Instant) {
        let mut before = std::mem::take(&mut self.0);
        self.0 = problems
            .into_iter()
            .map(|problem| {
                let since = before.remove(&problem).unwrap_or(now);
                (problem, since)
            })
            .collect();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Problem, Instant)> {
        self.0.iter().map(|(problem, since)| (problem, *since))
    }
}
