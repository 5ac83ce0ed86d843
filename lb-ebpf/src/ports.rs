//! *ports*: the service of a packet that is for none by its address and port alone.
//!
//! A service may have several addresses, a range of ports, or every port of an address. It is in the table of services
//! once, and all else that belongs to it is in a trie of prefixes, which is asked when the table does not know a
//! packet's key. The longest prefix wins: a port that is a service of its own before a range, the narrower range before
//! the wider one, and every port last.

use lb_common::{PortsOwner, Service, ServiceKey};

use crate::maps::{self, Key};

/// What [`find_ports`] returns for a port that is nobody's: no service has this index.
const NOBODY: u64 = u64::MAX;

/// The service that a packet's key is for, if it is not that service's own key.
#[inline(always)]
pub(crate) fn service(key: &Key<ServiceKey>) -> Option<Service> {
    let owner = owner(key)?;
    let service = maps::service_at(owner.service)?;
    Some(Service {
        lease: owner.lease,
        ..service
    })
}

/// Whose a packet's key is, if it is not a service's own.
#[inline(always)]
pub(crate) fn owner(key: &Key<ServiceKey>) -> Option<PortsOwner> {
    let [high, low, ports] = key.words();
    match find_ports(high, low, ports) {
        NOBODY => None,
        owner => Some(PortsOwner {
            service: owner as u32,
            lease: (owner >> u32::BITS) as u32,
        }),
    }
}

/// [`owner`], by a function that others could call: the kernel verifies such a one by itself, once
/// (`kernel/bpf/verifier.c`, `do_check_subprogs`; Linux 5.6). It takes the words of the key, and returns the index of
/// the service, with the slot of the lease above it.
#[unsafe(no_mangle)]
#[inline(never)]
#[allow(unsafe_code, reason = "the kernel finds the function by its name")]
extern "C" fn find_ports(high: u64, low: u64, ports: u64) -> u64 {
    let port = ports as u16;
    let protocol = (ports >> u32::BITS) as u16;
    let ports = u64::from(protocol.to_be()) | u64::from(port.to_be()) << u16::BITS;
    match maps::ports_owner(high, low, ports) {
        Some(owner) => u64::from(owner.service) | u64::from(owner.lease) << u32::BITS,
        None => NOBODY,
    }
}
