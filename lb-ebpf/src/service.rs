//! *service*: which virtual service a packet is for.

use lb_common::Service;

use crate::{family::Family, flow::Known, maps};

/// What every packet to a service has to know of it.
pub(crate) struct Served {
    /// The slot of the lease that entitles this node to the service.
    pub(crate) lease: u32,
    /// The service, if it had to be looked up.
    service: Option<Service>,
}

impl Served {
    /// The service itself, which only a new connection needs.
    #[inline(always)]
    pub(crate) fn service<F: Family>(&self, key: &F::Key) -> Option<Service> {
        self.service.or_else(|| find::<F>(key))
    }
}

/// The service of a connection: that of its real server, if it is `known`.
#[inline(always)]
pub(crate) fn of<F: Family>(key: &F::Key, known: Option<&Known>) -> Option<Served> {
    if let Some(real) = known.and_then(|known| known.real) {
        let lease = maps::lease_of_service(real.service)?;
        return Some(Served { lease, service: None });
    }
    find::<F>(key).map(|service| Served {
        lease: service.lease,
        service: Some(service),
    })
}

/// The service of a connection: its virtual address, port and protocol.
#[inline(always)]
fn find<F: Family>(key: &F::Key) -> Option<Service> {
    maps::service(&F::service(key))
}
