//! Schedules that a hash picks a slot of, and what becomes of the slots of those that do not serve.

use lb_common::spread;

use super::{Member, turn};

/// The slots of a schedule in which the share of one that does not serve is dealt out, if there is room: as many as an
/// IPVS table of the largest usual size has.
const SLOTS: usize = 4_096;

/// How often a slot is drawn at random before the next that serves is taken: where only one in a hundred does, half of
/// the others find one so.
const DRAWS: u32 = 64;

/// The order of [`turn::schedule`], over and over in at most `limit` slots: so long that others can share a slot's
/// clients.
pub(super) fn schedule(members: &[(u32, u16)], limit: usize) -> Vec<u32> {
    let round = turn::schedule(members, limit);
    let times = limit.min(SLOTS) / round.len().max(1);
    round.repeat(times.max(1))
}

/// Deals the slots of members that do not serve out to the others, in proportion to what these have; all other slots
/// stay. It is empty if none serves.
///
/// As IPVS's `fallback`, it hashes on until the hash meets one that serves. So a slot of one that does not serve has
/// its substitute whatever becomes of all but that one.
pub(super) fn fall_back(table: Vec<u32>, members: &[Member]) -> Vec<u32> {
    let serves = |member: u32| members[member as usize].serves;
    if table.iter().all(|member| serves(*member)) {
        return table;
    }
    let Some(first) = table.iter().copied().find(|member| serves(*member)) else {
        return Vec::new();
    };
    // Of each slot the next that serves, round the end.
    let mut next = vec![first; table.len()];
    let mut last = first;
    for (next, member) in next.iter_mut().zip(&table).rev() {
        if serves(*member) {
            last = *member;
        }
        *next = last;
    }
    let length = table.len() as u64;
    let draw = |slot: u64, number: u32| (spread(slot << 32 | u64::from(number)) % length) as usize;
    (0..)
        .zip(&table)
        .map(|(slot, member)| {
            if serves(*member) {
                return *member;
            }
            let found = (1..=DRAWS)
                .map(|number| table[draw(slot, number)])
                .find(|member| serves(*member));
            found.unwrap_or_else(|| next[draw(slot, DRAWS)])
        })
        .collect()
}
