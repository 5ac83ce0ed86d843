//! Time, as both sides of the maps read it.
#![allow(unsafe_code, reason = "the clock is a kernel helper")]

use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;

/// One second in the unit of [`now`].
pub(crate) const SECOND: u64 = 1_000_000_000;

/// Nanoseconds of `CLOCK_MONOTONIC`, as of the last timer tick (1 to 10 ms ago): exact enough for leases and
/// timeouts, and it reads no hardware clock.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper takes nothing and only returns a number.
    unsafe { bpf_ktime_get_coarse_ns() }
}
