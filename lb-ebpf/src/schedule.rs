//! *schedule*: which real server takes a new connection.
//!
//! The daemon lays the weighted order out as a ring; connections take its slots one after another. The cursor is
//! shared by all CPUs, so that the weights are kept exactly, whichever CPU a connection arrives on.

use lb_common::Service;

use crate::maps;

/// How many slots are tried: a server that has just gone down, or has no link-layer address, is skipped.
const TRIES: u64 = 8;

/// The slot of the real server that takes the next connection of `service`; `None` if none of those that are tried can:
/// the daemon is about to change the schedule.
#[inline(always)]
pub(crate) fn next(service: &Service) -> Option<u32> {
    let turn = maps::advance_cursor(service.index)?;
    let length = u64::from(service.ring_length);
    for skipped in 0..TRIES {
        let slot = maps::ring(service.ring_offset + (turn.wrapping_add(skipped) % length) as u32)?;
        if is_usable(service, slot) {
            return Some(slot);
        }
    }
    None
}

#[inline(always)]
fn is_usable(service: &Service, slot: u32) -> bool {
    maps::real(slot).is_some_and(|real| real.is_usable() && real.service == service.index)
}
