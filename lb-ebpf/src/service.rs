//! *service*: which virtual service a packet is for.

use lb_common::Service;

use crate::{family::Family, maps};

/// The service of a connection: its virtual address, port and protocol.
#[inline(always)]
pub(crate) fn find<F: Family>(key: &F::Key) -> Option<Service> {
    maps::service(&F::service(key))
}
