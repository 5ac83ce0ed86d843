//! The lists of who may use the services, as the program looks them up.

use ipnet::IpNet;
use lb_common::{Prefix, access, interface_flags};

use super::{Desired, Operation, Plan, Plane, map_address};
use crate::model::AccessLists;

/// `::/0` and `0.0.0.0/0`, as [`lb_common::maps::ACCESS`] has them: the latter is a part of the former there.
const EVERYBODY: [IpNet; 2] = [
    IpNet::new_assert(std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), 0),
    IpNet::new_assert(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0),
];

/// The key of a prefix in [`lb_common::maps::ACCESS`].
fn map_prefix(prefix: IpNet) -> Prefix {
    let mapped = match prefix {
        IpNet::V4(_) => 96,
        IpNet::V6(_) => 0,
    };
    Prefix {
        length: mapped + u32::from(prefix.prefix_len()),
        address: map_address(prefix.network()),
    }
}

impl Desired {
    /// Adds the lists, and says on the interfaces, which are there already, that there are some.
    pub(super) fn add_access(&mut self, lists: &AccessLists) {
        let AccessLists { block, allow, .. } = lists;
        if block.is_empty() && allow.is_empty() {
            return;
        }
        let others = if allow.is_empty() {
            access::OPEN
        } else {
            access::CLOSED
        };
        let everybody = EVERYBODY.iter().map(|prefix| (prefix, others));
        let allowed = allow.iter().map(|prefix| (prefix, access::OPEN));
        let blocked = block.iter().map(|prefix| (prefix, access::BLOCKED));
        let all = everybody.chain(allowed).chain(blocked);
        self.access = all
            .map(|(prefix, access)| (map_prefix(*prefix), access))
            .collect();
        for interface in self.interfaces.values_mut() {
            if !block.is_empty() {
                interface.flags |= interface_flags::BLOCKS;
            }
            if !allow.is_empty() {
                interface.flags |= interface_flags::CLOSES;
            }
        }
    }
}

impl Plan {
    /// Adds to the lists: the longest prefixes first, so that nobody is shut out who is in a list.
    pub(super) fn put_access(&mut self, actual: &Plane, desired: &Desired) {
        let changed = desired.access.iter().rev();
        let changed = changed.filter(|(prefix, access)| actual.access.get(prefix) != Some(access));
        self.operations
            .extend(changed.map(|(prefix, access)| Operation::PutAccess {
                prefix: *prefix,
                access: *access,
            }));
    }

    /// Takes off the lists what goes: the shortest prefixes first, for the same reason.
    pub(super) fn remove_access(&mut self, actual: &Plane, desired: &Desired) {
        let gone = actual.access.keys();
        let gone = gone.filter(|prefix| !desired.access.contains_key(prefix));
        self.operations
            .extend(gone.map(|prefix| Operation::RemoveAccess { prefix: *prefix }));
    }
}
