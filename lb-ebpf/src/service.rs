//! *service*: which virtual service a packet is for: the one with its address, port and protocol, or the one that has
//! these beside others ([`ports`]).

use lb_common::Service;

use crate::{family::Family, flow::Known, maps, ports};

/// The slot of the lease that guards the service of a connection: by its real server, if the connection is `known`.
#[inline(always)]
pub(crate) fn lease<F: Family>(key: &F::Key, known: &Known) -> Option<u32> {
    if known.lease.is_some() {
        return known.lease;
    }
    let key = F::service(key);
    match maps::service(&key) {
        Some(service) => Some(service.lease),
        None => ports::owner(&key).map(|owner| owner.lease),
    }
}

/// The service of a connection: its virtual address, port and protocol.
#[inline(always)]
pub(crate) fn find<F: Family>(key: &F::Key) -> Option<Service> {
    let key = F::service(key);
    maps::service(&key).or_else(|| ports::service(&key))
}
