//! *schedule*: which real server takes a new connection.
//!
//! The daemon lays the weighted order out as a ring; connections take its slots one after another. The cursor is
//! shared by all CPUs, so that the weights are kept exactly, whichever CPU a connection arrives on.

use lb_common::Service;

use crate::{flow::Target, maps};

/// How many slots are tried: a server that has just gone down, or has no link-layer address, is skipped.
const TRIES: u64 = 8;

/// Who takes a connection.
pub(crate) enum Choice {
    /// This real server.
    Taken(Target),
    /// Nobody now: the daemon is about to change a schedule whose servers have gone down.
    Later,
    /// Nobody: the schedule is empty.
    Nobody,
}

/// The real server of the next connection of `service`.
#[inline(always)]
pub(crate) fn next(service: &Service) -> Choice {
    let length = u64::from(service.ring_length);
    if length == 0 {
        return Choice::Nobody;
    }
    match take_turn(service, length) {
        Some(target) => Choice::Taken(target),
        None => Choice::Later,
    }
}

#[inline(always)]
fn take_turn(service: &Service, length: u64) -> Option<Target> {
    let turn = maps::advance_cursor(service.index)?;
    for skipped in 0..TRIES {
        let slot = maps::ring(service.ring_offset + (turn.wrapping_add(skipped) % length) as u32)?;
        if let Some(target) = usable(service, slot) {
            return Some(target);
        }
    }
    None
}

#[inline(always)]
fn usable(service: &Service, slot: u32) -> Option<Target> {
    let real = maps::real(slot)?;
    (real.is_usable() && real.service == service.index).then_some(Target { slot, real })
}
