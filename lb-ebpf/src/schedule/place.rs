//! Which real server a hash names, whatever the scheduler: for connections that nobody remembers, of which each packet must
//! find the same one. So thresholds do not count here.
#![allow(
    unsafe_code,
    reason = "a function that is verified by itself has a name of its own"
)]

use lb_common::{Connection, Service, placement};

use super::LATER;
use crate::maps;

/// How many slots are tried: a server that has just gone down, or has no link-layer address, is skipped.
const TRIES: u64 = 8;

/// The slot of the real server that the hash of the connection `key` names in the schedule of `service`, or of the next
/// one that is usable: by address and port, unless the scheduler hashes something else.
#[inline(always)]
pub(crate) fn place(service: &Service, key: &impl Connection) -> u64 {
    let by = if placement::is_hash(service.placement) {
        service.placement
    } else {
        placement::SOURCE_AND_PORT
    };
    let (offset, length) = (u64::from(service.ring_offset), u64::from(service.ring_length));
    usable_server(u64::from(service.index), offset, length, key.place(by))
}

/// The slot of the first real server from `turn` on, in the ring of `length` slots at `offset`, that is usable and of the
/// service at `index`, by a function that others could call: the kernel verifies such a one by itself, once. Returns what
/// [`next`](super::next) does.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn usable_server(index: u64, offset: u64, length: u64, turn: u64) -> u64 {
    if length == 0 {
        return LATER;
    }
    for skipped in 0..TRIES {
        let Some(slot) = maps::ring(offset as u32 + (turn.wrapping_add(skipped) % length) as u32) else {
            return LATER;
        };
        if maps::real(slot).is_some_and(|real| real.is_usable() && u64::from(real.service) == index) {
            return u64::from(slot);
        }
    }
    LATER
}
