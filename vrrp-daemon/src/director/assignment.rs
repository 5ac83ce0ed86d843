//! What the VRRP loop has to do.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::LeaseSlots;
use crate::model::{Attach, Configuration, VirtualService, XdpMode};
use crate::vrrp::{Awaited, Member};

/// What the VRRP loop has to do, as the director sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Which assignment it is: the report says what it is about.
    pub revision: u64,
    /// The virtual routers to take part in.
    pub instances: Vec<Member>,
    /// The interfaces that the program belongs on.
    pub interfaces: Vec<String>,
    /// The indices of the interfaces that lead to real servers.
    pub egress: BTreeSet<u32>,
    /// How to attach it.
    pub xdp_mode: XdpMode,
    /// Attach it whether this node is master or not.
    pub attach_always: bool,
    /// What this node does not know of its real servers: while there is any of it, a master that is well is left alone.
    pub awaited: BTreeSet<Awaited>,
    /// Hand everything over and end.
    pub stopping: bool,
}

impl Assignment {
    /// What `configuration` asks for, with the lease slots that were assigned for it.
    #[must_use]
    pub fn new(configuration: &Configuration, lease_slots: &LeaseSlots) -> Self {
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
            .flat_map(VirtualService::addresses)
            .any(|address| configuration.instance_of(address.ip).is_none());
        Self {
            revision: 0,
            instances,
            interfaces: interfaces_of(configuration),
            egress: BTreeSet::new(),
            xdp_mode: configuration.dataplane.xdp_mode,
            attach_always: unguarded || configuration.dataplane.attach == Attach::Always,
            awaited: BTreeSet::new(),
            stopping: false,
        }
    }
}

/// The interfaces that the program belongs on.
pub(super) fn interfaces_of(configuration: &Configuration) -> Vec<String> {
    let interfaces = configuration.interfaces().into_iter();
    interfaces.map(str::to_owned).collect()
}
