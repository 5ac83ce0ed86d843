//! *service*: which virtual service a packet is for.

use lb_common::Service;

use crate::{family::Family, flow::Known, maps};

/// The slot of the lease that guards the service of a connection: by its real server, if the connection is `known`.
#[inline(always)]
pub(crate) fn lease<F: Family>(key: &F::Key, known: &Known) -> Option<u32> {
    match known.service {
        Some(service) => Some(service.lease),
        None => find::<F>(key).map(|service| service.lease),
    }
}

/// The service of a connection: its virtual address, port and protocol.
#[inline(always)]
pub(crate) fn find<F: Family>(key: &F::Key) -> Option<Service> {
    maps::service(&F::service(key))
}
