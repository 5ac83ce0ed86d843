//! The slot of a ring that is somebody's turn, and who comes after it.
#![allow(
    unsafe_code,
    reason = "a function that is verified by itself has a name of its own"
)]

use lb_common::Service;

use super::{FULL, LATER, Refusal, has_room, is_usable, relieve, unpacked};
use crate::maps;

/// How many slots are tried: a server that has just gone down, or has no link-layer address, is skipped.
const TRIES: u64 = 8;

/// How many are tried where servers may be overloaded: the daemon does not change the schedule for that, and where one
/// has most of the slots, those of others are far apart.
const TRIES_AMONG_OVERLOADED: u64 = 128;

/// The slot of the real server whose `turn` it is in the ring of `service`, or of the next one that can.
#[inline(always)]
pub(super) fn next(service: &Service, turn: u64) -> Result<u32, Refusal> {
    let length = u64::from(service.ring_length);
    let limited = 'search: {
        for skipped in 0..TRIES {
            let turn = turn.wrapping_add(skipped) % length;
            let slot = maps::ring(service.ring_offset + turn as u32).ok_or(Refusal::Later)?;
            let Some(real) = maps::real(slot) else { continue };
            if real.is_usable() && real.service == service.index {
                if real.thresholds.are_set() {
                    break 'search turn;
                }
                return Ok(slot);
            }
        }
        return Err(Refusal::Later);
    };
    let (offset, index) = (u64::from(service.ring_offset), u64::from(service.index));
    unpacked(next_with_room(offset, length, limited, index))
}

/// The slot of the real server at `turn`, or of the next one that can, far beyond [`TRIES`], by a function that others could call:
/// the kernel verifies such a one by itself, once. Returns a [packed](unpacked) choice.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn next_with_room(offset: u64, length: u64, turn: u64, service: u64) -> u64 {
    for skipped in 0..TRIES_AMONG_OVERLOADED {
        if skipped >= length {
            break;
        }
        let at = (turn + skipped) % length;
        let Some(slot) = maps::ring((offset + at) as u32) else {
            return LATER;
        };
        let (Some(real), Some(load)) = (maps::real(slot), maps::load(slot)) else {
            return LATER;
        };
        if is_usable(service, real) & has_room(real, load) != 0 {
            relieve(slot);
            return u64::from(slot);
        }
    }
    FULL
}
