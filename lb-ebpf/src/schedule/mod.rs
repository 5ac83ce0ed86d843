//! *schedule*: which real server takes a new connection.
//!
//! The daemon lays the real servers out as a ring, each in proportion to its weight. Connections take its slots one
//! after another: the cursor is shared by all CPUs, so that the weights are kept exactly, whichever CPU a connection
//! arrives on. Or a hash of addresses says which slot: then it is the same on every director. Or the ring is a list of
//! those to choose among, by what they have to do already: see [`mod@count`].
//!
//! A real server that has reached its threshold is skipped, under every scheduler.
//!
//! Where connections are not remembered, a hash names the real server of each packet: see [`mod@place`].

mod count;
mod place;
mod turn;

pub(crate) use place::place;

use lb_common::{Connection, Load, Real, Service, Thresholds, placement, real_flags};

use crate::{
    maps,
    opaque::{at_least_zero, less_bit},
};

/// The slot of the real server that takes the connection `key`, which is new, of `service`, or why there is none: [`LATER`] or [`FULL`]. (One number, and no
/// result: where there is no slot, the compiler would go on with a register that holds something else, and the verifier
/// refuses that.)
#[inline(always)]
pub(crate) fn next(service: &Service, key: &impl Connection) -> u64 {
    match service.placement {
        placement::TURN => {
            let Some(turn) = maps::advance_cursor(service.index) else {
                return LATER;
            };
            turn::next(service, turn)
        }
        placement if placement::is_hash(placement) => turn::next(service, key.place(placement)),
        _ => count::next(service),
    }
}

/// 1 if a real server can be reached, and belongs to the service at this index still; else 0. Here and below there are no
/// branches: the verifier would follow both ways of each, for each real server that is looked at.
#[inline(always)]
fn is_usable(service: u64, real: &Real) -> u64 {
    let missing = u64::from(real.flags & real_flags::USABLE ^ real_flags::USABLE);
    let other = u64::from(real.service) ^ service;
    less_bit(missing | other, 1)
}

/// 1 if a real server with this load may have another connection; else 0: it has reached its upper threshold, and has not
/// come below its lower one since.
#[inline(always)]
fn has_room(real: &Real, load: Load) -> u64 {
    let connections = at_least_zero(load.signed_active()) + at_least_zero(load.signed_inactive());
    let Thresholds { upper, lower } = real.thresholds;
    let is_limited = less_bit(0, u64::from(upper));
    let is_above = less_bit(connections, u64::from(lower)) ^ 1;
    (load.overloaded_bit() & is_limited & is_above) ^ 1
}

/// Notes that a real server that has room is not overloaded any more. (Those that were not chosen are looked at again with
/// the next connection: what is overloaded gets none.)
#[inline(always)]
fn relieve(slot: u32) {
    if let Some(load) = maps::load(slot).filter(|load| load.is_overloaded()) {
        maps::overload(slot, load, false);
    }
}

/// None of those that were tried can be reached: the daemon is about to change the schedule.
pub(crate) const LATER: u64 = 1 << 32;
/// Those that could take it have as many connections as they may have.
pub(crate) const FULL: u64 = 1 << 33;
