//! Maglev's table: Eisenbud et al., "Maglev: a fast and reliable software network load balancer", NSDI 2016, section
//! 3.4.
//!
//! Each real server has a permutation of all slots, by a hash of its address and port. In turn they take the first slot
//! of theirs that is still free. Who comes or goes moves few slots of the others. What differs from IPVS's
//! `ip_vs_mh.c`: the table does not depend on the order in which servers were added, and heavier servers take their
//! turns more often, spread over the whole, until they have exactly the slots that their shares amount to.

use lb_common::{Connection, FlowKey6, placement};

use super::Member;
use crate::director::map_address;
use crate::model::shares;

/// A slot that nobody has taken.
const FREE: u32 = u32::MAX;

/// The table in which the members, which are sorted by address and port, have these shares (pairs of a member's number
/// and its share). Its size follows from how many members there are and from `limit`. It is empty if all shares are 0.
pub(super) fn table(shares: &[(u32, u16)], members: &[Member], limit: usize) -> Vec<u32> {
    let size = shares::table_size(members.len(), limit);
    let weights: Vec<u16> = shares.iter().map(|(_, share)| *share).collect();
    if weights.iter().all(|weight| *weight == 0) {
        return Vec::new();
    }
    let mut permutations: Vec<Permutation> = members
        .iter()
        .map(|member| Permutation::of(member, size as u64))
        .collect();
    let mut table = vec![FREE; size];
    for member in turns(&shares::apportioned(&weights, size)) {
        let permutation = &mut permutations[member as usize];
        while table[permutation.at as usize] != FREE {
            permutation.advance();
        }
        table[permutation.at as usize] = member;
    }
    table
}

/// Who takes a slot when, so that each takes as many as it has quota: of `n` in a round for each slot of the largest
/// quota, as evenly as can be.
fn turns(quotas: &[u32]) -> impl Iterator<Item = u32> {
    let largest = quotas.iter().copied().max().map_or(0, u64::from);
    let mut turns: Vec<(u64, u32)> = (0..)
        .zip(quotas)
        .flat_map(|(member, quota)| {
            let quota = u64::from(*quota);
            (1..=quota).map(move |turn| ((turn * largest).div_ceil(quota), member))
        })
        .collect();
    turns.sort_unstable();
    turns.into_iter().map(|(_, member)| member)
}

/// A member's permutation of the slots of a table whose size is a prime, and how far it has got.
struct Permutation {
    at: u64,
    skip: u64,
    size: u64,
}

impl Permutation {
    fn of(member: &Member, size: u64) -> Self {
        let server = FlowKey6 {
            client_address: map_address(member.address.ip()).bytes,
            client_port: member.address.port(),
            ..FlowKey6::default()
        };
        let hash = server.place(placement::SOURCE_AND_PORT);
        Self {
            at: (hash >> 32) % size,
            skip: (hash & 0xffff_ffff) % (size - 1) + 1,
            size,
        }
    }

    const fn advance(&mut self) {
        self.at = (self.at + self.skip) % self.size;
    }
}
