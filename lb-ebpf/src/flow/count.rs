//! The counts of connections that some schedulers choose by: moved with each word of the table that changes.
#![allow(
    unsafe_code,
    reason = "a function that is verified by itself has a name of its own"
)]

use lb_common::{FlowWord, Load};

use super::Target;
use crate::maps;

/// Counts that a connection of the real server `target` has gone on from one state to another.
#[inline(always)]
pub(super) fn go_on(target: Target, from: FlowWord, to: FlowWord) {
    if target.real.is_counted() {
        maps::add_load(target.slot, Load::change(from, to));
    }
}

/// Counts that a connection of `target`, the word `came`, has the place of `left`, which is empty or another's.
#[inline(always)]
pub(super) fn exchange(left: FlowWord, came: FlowWord, target: Target) {
    if left != FlowWord::EMPTY || target.real.is_counted() {
        exchange_loads(left.0, came.0);
    }
}

/// [`exchange`], by a function that others could call: the kernel verifies such a one by itself, once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn exchange_loads(left: u64, came: u64) -> u64 {
    let (left, came) = (FlowWord(left), FlowWord(came));
    if left != FlowWord::EMPTY
        && let Some(real) = maps::real(left.slot())
    {
        let slot = left.slot();
        go_on(Target { slot, real }, left, FlowWord::EMPTY);
    }
    let Some(real) = maps::real(came.slot()).filter(|real| real.is_counted()) else {
        return 0;
    };
    let before = maps::add_load(came.slot(), Load::of(came.state()));
    let load = Load(before.0.wrapping_add(Load::of(came.state())));
    if real.thresholds.are_reached(load.total()) {
        maps::overload(came.slot(), load, true);
    }
    0
}
