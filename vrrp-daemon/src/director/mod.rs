//! What the data plane should look like, and the operations that lead there.
//!
//! ```text
//! configuration + health + neighbours + leases --[`Desired::new`]--> desired plane --[`Planner::plan`]--> operations
//! ```
//!
//! Start, reload, a failing real server, a link that changes and recovery from a crash all take this one path. After
//! each event, the director's loop
//!
//! 1. computes [`Desired::new`] from its [`Inputs`] and the [`Plane`] that it has applied,
//! 2. asks its [`Planner`] for a [`Plan`],
//! 3. carries the operations out in order, each followed by [`Plane::apply`] on its copy. It **stops at the first that
//!    fails**: every state in between is consistent, but later operations count on earlier ones. What is left comes
//!    back in the next plan.
//!
//! The copy is read from the maps at the start and at every resync. A plan with [`Shortage`]s that had operations may
//! have made room: plan again after it.
#![deny(clippy::disallowed_methods)]

mod abi;
mod access;
mod assignment;
mod census;
mod changes;
mod container;
mod desired;
mod episodes;
mod leases;
mod motion;
mod notice;
mod operation;
mod pace;
mod plan;
mod plane;
mod problem;
mod quarantine;
mod rings;
mod rounds;
mod routes;
mod schedule;
mod share;
mod shortage;
mod slices;
mod sweep;
mod warming;
mod windows;

pub use abi::{
    PortsPrefix, flags_of, flow_clock, ip_address, maglev_placement, map_address, placement, policy,
    ports_prefixes, real_slot, ring_slot, service_address, service_key, virtual_router_entry,
    virtual_router_key, virtual_router_key_below,
};
pub use assignment::Assignment;
pub use census::Census;
pub use changes::Changes;
pub use container::{Cold, Director, Effect, Refusal};
pub use desired::{Desired, DesiredService, Inputs, RealServerView, Way};
pub use episodes::{Cause, Episode};
pub use leases::LeaseSlots;
pub use motion::Motion;
pub use notice::{Notice, Severity};
pub use operation::Operation;
pub use plan::{Plan, Planner};
pub use plane::{Plane, Seed};
pub use problem::Problem;
pub use quarantine::Quarantine;
pub use routes::{Exits, Route, Ways};
pub use schedule::{Member, schedule};
pub use share::{RealServerState, ServiceState, Share};
pub use shortage::Shortage;
pub use sweep::{Fate, Sweep};
pub use windows::{Phase, Windows};

use std::collections::HashMap;
use std::net::IpAddr;

use crate::model::Forwarding;

/// How a real server is reached on its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Neighbour {
    /// The interface that leads to it.
    pub interface: u32,
    /// The link-layer address of that interface.
    pub source_mac: [u8; 6],
    /// The link-layer address of the real server, or of the gateway to it.
    pub destination_mac: [u8; 6],
    /// Whether that is a gateway's.
    pub is_gateway: bool,
    /// The address of this node that packets to it come from.
    pub source: Option<IpAddr>,
    /// The longest IP packet that the way there takes.
    pub mtu: u16,
}

impl Neighbour {
    /// Whether packets can be sent there in this way.
    #[must_use]
    pub const fn serves(&self, forwarding: Forwarding) -> bool {
        match forwarding {
            Forwarding::DirectRouting => !self.is_gateway,
            Forwarding::Tunnel(_) => self.source.is_some(),
        }
    }
}

/// The neighbours that are resolved, by the real server's address.
pub type Neighbours = HashMap<IpAddr, Neighbour>;

/// An interface of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NetworkInterface {
    /// Its index.
    pub index: u32,
    /// Its link-layer address, if it is an Ethernet interface.
    pub mac: Option<[u8; 6]>,
    /// Whether it has a link.
    pub up: bool,
    /// The index of the interface below and the number of the VLAN, if it is a VLAN device whose packets have that one
    /// tag there.
    pub vlan: Option<(u32, u16)>,
}

/// The interfaces that exist, by name.
pub type Interfaces = HashMap<String, NetworkInterface>;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod proptests;
#[cfg(test)]
mod tests;
