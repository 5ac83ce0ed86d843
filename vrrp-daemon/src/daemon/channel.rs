//! The two facts that the loops share, each a level in a `watch` channel.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::api::Problem;
pub(super) use crate::director::{Assignment, Exits};
use crate::io::netlink::XdpProgram;
use crate::model::{Priority, VrrpInstance};
use crate::vrrp::{Counters, Obstacle, State};

/// What has become of it, as the VRRP loop tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// The assignment that it is about.
    pub(super) revision: u64,
    /// Virtual routers that are not in the assignment any more still hand over.
    pub(super) handing_over: bool,
    /// The virtual routers, in the order of the assignment.
    pub(super) instances: Vec<Arc<InstanceReport>>,
    /// The interfaces that the program belongs on.
    pub(super) interfaces: Vec<InterfaceReport>,
    /// How packets leave.
    pub(super) exits: Exits,
}

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InstanceReport {
    /// The configured instance.
    pub(super) instance: Arc<VrrpInstance>,
    /// Its state.
    pub(super) state: State,
    /// Why it is in `init` or `fault`, if it is.
    pub(super) obstacles: Vec<Obstacle>,
    /// The priority that it takes part in the election with now.
    pub(super) effective_priority: Priority,
    /// The master that it knows of, itself included.
    pub(super) master_address: Option<IpAddr>,
    /// How often the state has changed.
    pub(super) transitions: u64,
    /// When it last changed.
    pub(super) last_transition: Option<SystemTime>,
    /// What an operator should know of it now.
    pub(super) problems: Vec<Problem>,
    /// What it has sent and heard, up to now: these numbers go on without another report.
    pub(super) counters: Arc<Counters>,
}

/// The program on one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InterfaceReport {
    /// The name of the interface.
    pub(super) name: String,
    /// The program, if it is attached.
    pub(super) attached: Option<XdpProgram>,
}
