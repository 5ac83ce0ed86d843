//! The two facts that the loops share, each a level in a `watch` channel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::director::LeaseSlots;
use crate::interfaces::Tag;
use crate::io::netlink::XdpProgram;
use crate::model::{Attach, Configuration, Priority, VrrpInstance, XdpMode};
use crate::vrrp::{Counters, Member, Obstacle, State};

/// What the VRRP loop has to do, as the director loop sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    /// Which assignment it is: the report says what it is about.
    pub(super) revision: u64,
    /// The virtual routers to take part in.
    pub(super) instances: Vec<Member>,
    /// The interfaces that the program belongs on.
    pub(super) interfaces: Vec<String>,
    /// The indices of the interfaces that lead to real servers.
    pub(super) egress: BTreeSet<u32>,
    /// How to attach it.
    pub(super) xdp_mode: XdpMode,
    /// Attach it whether this node is master or not.
    pub(super) attach_always: bool,
    /// Hand everything over and end.
    pub(super) stopping: bool,
}

impl Assignment {
    /// What `configuration` asks for, with the lease slots that were assigned for it.
    pub(super) fn new(configuration: &Configuration, lease_slots: &LeaseSlots) -> Self {
        let instances = configuration
            .vrrp_instances
            .iter()
            .filter_map(|instance| {
                Some(Member {
                    instance: Arc::new(instance.clone()),
                    lease_slot: lease_slots.slot(instance)?,
                })
            })
            .collect();
        // A service that no virtual router guards is served by every node, always.
        let unguarded = configuration
            .virtual_services
            .iter()
            .any(|service| configuration.instance_of(service.address.ip).is_none());
        Self {
            revision: 0,
            instances,
            interfaces: configuration
                .interfaces()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            egress: BTreeSet::new(),
            xdp_mode: configuration.dataplane.xdp_mode,
            attach_always: unguarded || configuration.dataplane.attach == Attach::Always,
            stopping: false,
        }
    }
}

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

/// How packets leave by the interfaces that lead to real servers, where it is not simply by those. Interfaces are named
/// by their index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exits {
    /// Those that packets cannot leave by: why.
    pub(super) blocked: BTreeMap<u32, String>,
    /// VLAN devices that the program does the work of: the interface below, and the tags, outermost first, that packets
    /// have there.
    pub(super) trunks: BTreeMap<u32, (u32, Vec<Tag>)>,
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
