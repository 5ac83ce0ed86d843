//! *schedule*: which real server takes a new connection.
//!
//! The daemon lays the real servers out as a ring, each in proportion to its weight. Connections take its slots one
//! after another: the cursor is shared by all CPUs, so that the weights are kept exactly, whichever CPU a connection
//! arrives on. Or a hash of addresses says which slot: then it is the same on every director.

use lb_common::{Connection, Service, placement};

use crate::maps;

/// How many slots are tried: a server that has just gone down, or has no link-layer address, is skipped.
const TRIES: u64 = 8;

/// The slot of the real server that takes the connection `key`, which is new, of `service`; `None` if none of those
/// that are tried can: the daemon is about to change the schedule.
#[inline(always)]
pub(crate) fn next(service: &Service, key: &impl Connection) -> Option<u32> {
    let turn = match service.placement {
        placement::TURN => maps::advance_cursor(service.index)?,
        placement => key.place(placement),
    };
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
