//! The slot of a ring that is somebody's turn, and who comes after it.
#![allow(
    unsafe_code,
    reason = "a function that is verified by itself has a name of its own"
)]

use lb_common::Service;

use super::{FULL, LATER, has_room, is_usable, relieve};
use crate::maps;

/// How many slots are tried: a server that has just gone down, has no link-layer address or is overloaded is skipped. The
/// daemon does not change the schedule for the last, and where one has most of the slots, those of others are far apart.
const TRIES: u64 = 128;

/// The slot of the real server whose `turn` it is in the ring of `service`, or of the next one that can take a connection.
#[inline(always)]
pub(super) fn next(service: &Service, turn: u64) -> u64 {
    let length = u64::from(service.ring_length);
    let turn = turn % length;
    let Some(slot) = maps::ring(service.ring_offset + turn as u32) else {
        return LATER;
    };
    if let Some(real) = maps::real(slot)
        && real.is_usable()
        && real.service == service.index
        && !real.thresholds.are_set()
    {
        return u64::from(slot);
    }
    let (offset, index) = (u64::from(service.ring_offset), u64::from(service.index));
    next_that_can(offset, length, turn, index)
}

/// The slot of the real server at `turn`, or of the next one that can take a connection, by a function that others could
/// call: the kernel verifies such a one by itself, once. Returns what [`next`](super::next) does.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn next_that_can(offset: u64, length: u64, turn: u64, service: u64) -> u64 {
    let mut usable = 0;
    for skipped in 0..TRIES {
        if skipped >= length {
            break;
        }
        let at = (turn + skipped) % length;
        let Some(slot) = maps::ring((offset + at) as u32) else {
            break;
        };
        let (Some(real), Some(load)) = (maps::real(slot), maps::load(slot)) else {
            break;
        };
        let is_usable = is_usable(service, real);
        if is_usable & has_room(real, load) != 0 {
            relieve(slot);
            return u64::from(slot);
        }
        usable |= is_usable;
    }
    if usable != 0 { FULL } else { LATER }
}
