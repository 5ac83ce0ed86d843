//! Time, as both sides of the maps read it.
#![allow(
    unsafe_code,
    reason = "the clock is a kernel helper, and what it said is kept in a map"
)]

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_boot_ns};

use crate::maps::{self, Tick};

/// Nanoseconds of `CLOCK_BOOTTIME`, as of the last timer tick but one at worst (each 1 to 10 ms): exact enough for
/// leases and timeouts. It goes on while the machine is suspended: a lease runs out in its sleep.
///
/// The clock is asked once per tick and CPU, for it reads the hardware. The count of ticks is one load, which the
/// verifier puts in place of the helper's call (`do_misc_fixups` in `kernel/bpf/verifier.c`).
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper takes nothing and only returns a number.
    let jiffies = unsafe { bpf_jiffies64() };
    let Some(tick) = maps::tick() else {
        return boot();
    };
    // SAFETY: `tick` points to this CPU's entry of the map, and nothing else runs on this CPU meanwhile.
    unsafe {
        if (*tick).jiffies != jiffies {
            *tick = Tick {
                jiffies,
                nanoseconds: boot(),
            };
        }
        (*tick).nanoseconds
    }
}

#[inline(always)]
fn boot() -> u64 {
    // SAFETY: as above.
    unsafe { bpf_ktime_get_boot_ns() }
}
