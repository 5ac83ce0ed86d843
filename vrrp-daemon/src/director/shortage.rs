//! What does not fit.

use lb_common::maps;

use crate::model::ServiceAddress;

/// Something that the maps have no room for. Everything else is in the plan all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// The virtual service is not served.
    #[error(
        "no room for the virtual service {service}: at most {} fit",
        maps::SERVICES.capacity
    )]
    Services {
        /// The service.
        service: ServiceAddress,
    },
    /// Some real servers of a virtual service get no connections.
    #[error(
        "no room for {count} of the real servers of {service}: at most {} fit, of all services together",
        maps::REALS.capacity
    )]
    RealServers {
        /// The service.
        service: ServiceAddress,
        /// How many of its real servers are left out.
        count: usize,
    },
    /// Some real servers of a virtual service get no connections yet, for the slots that are free may have connections
    /// of other ones. That ends with a sweep.
    #[error(
        "no room yet for {count} of the real servers of {service}: connections of real servers that were removed are \
         still being forgotten"
    )]
    ClearedSlots {
        /// The service.
        service: ServiceAddress,
        /// How many of its real servers are left out.
        count: usize,
    },
    /// Some virtual addresses are not guarded by their leases.
    #[error(
        "no room for {count} virtual addresses: at most {} fit",
        maps::ADDRESSES.capacity
    )]
    Addresses {
        /// How many are left out.
        count: usize,
    },
    /// What some directors send to this node, which is a real server of theirs, is balanced again.
    #[error(
        "no room for {count} other real servers of services that this node is a real server of: at most {} fit",
        maps::PEERS.capacity
    )]
    Peers {
        /// How many are left out.
        count: usize,
    },
    /// A virtual router has no lease, so that nothing of it is served.
    #[error(
        "no room for the lease of the vrrp_instance {instance}: at most {} fit",
        maps::LEASES.capacity
    )]
    Leases {
        /// The name of the instance.
        instance: String,
    },
}
