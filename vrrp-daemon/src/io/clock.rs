//! The clock of the leases: `CLOCK_BOOTTIME`, which goes on while the machine is suspended.
//!
//! The program measures leases by it. [`Instant`]s are of `CLOCK_MONOTONIC`, which stands still in a suspend: the
//! virtual routers are told [`now`] instead, or a master that has slept would advertise by a lease that ran out in its
//! sleep.

use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Why the clocks of this process are of no use.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this time namespace has its own boot clock ({offset} s apart from the kernel's, by which leases run out): run lbd \
     outside it, or in one with boottime offset 0 (unshare --time --boottime 0)"
)]
pub struct OtherBootClock {
    offset: String,
}

/// The present of `CLOCK_BOOTTIME` in nanoseconds, the clock of every time in the maps.
#[must_use]
pub fn boot_now() -> u64 {
    nanoseconds(ClockId::CLOCK_BOOTTIME)
}

/// The present, as an [`Instant`] that goes on while the machine is suspended.
#[must_use]
pub fn now() -> Instant {
    Instant::now() + slept()
}

/// Waits until [`now`] has reached `deadline`. Of a suspend it hears when what was left before is over.
pub async fn sleep_until(deadline: Instant) {
    let awake = deadline.checked_sub(slept()).unwrap_or_else(Instant::now);
    tokio::time::sleep_until(awake.into()).await;
}

/// How long the machine has been suspended since this was asked first, to the tenth of a second: short of that it is
/// the time between the readings of two clocks. It never falls, so that [`now`] does not either.
fn slept() -> Duration {
    const GRAIN: u64 = 100_000_000;
    static BEFORE: OnceLock<u64> = OnceLock::new();
    static SLEPT: AtomicU64 = AtomicU64::new(0);
    let apart = clocks_apart();
    let measured = apart.saturating_sub(*BEFORE.get_or_init(|| apart));
    let told = SLEPT.load(Ordering::Relaxed);
    if measured < told + GRAIN {
        return Duration::from_nanos(told);
    }
    Duration::from_nanos(SLEPT.fetch_max(measured, Ordering::Relaxed).max(measured))
}

/// How far `CLOCK_BOOTTIME` is ahead of `CLOCK_MONOTONIC`, in nanoseconds. Who is interrupted while reading reads
/// again.
fn clocks_apart() -> u64 {
    const AT_ONCE: u64 = 1_000_000;
    loop {
        let before = nanoseconds(ClockId::CLOCK_MONOTONIC);
        let boot = nanoseconds(ClockId::CLOCK_BOOTTIME);
        if nanoseconds(ClockId::CLOCK_MONOTONIC) - before < AT_ONCE {
            return boot.saturating_sub(before);
        }
    }
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("every Linux that lbd runs on has this clock");
    u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX)
}

/// Makes sure that the boot clock of this process is the kernel's: the program knows no other.
///
/// # Errors
/// If a time namespace has moved it.
pub fn require_kernels_boot_clock() -> Result<(), OtherBootClock> {
    // Kernels without time namespaces do not have the file.
    let offsets = fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
    judge(&offsets)
}

/// Judges what `/proc/PID/timens_offsets` says: a clock, seconds and nanoseconds in each line.
fn judge(offsets: &str) -> Result<(), OtherBootClock> {
    for line in offsets.lines() {
        let mut fields = line.split_whitespace();
        let is_boot_clock = matches!(fields.next(), Some("boottime" | "7"));
        let seconds = fields.next().unwrap_or("0");
        if is_boot_clock && (seconds != "0" || fields.next().unwrap_or("0") != "0") {
            return Err(OtherBootClock {
                offset: seconds.to_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_boot_clock_of_its_own_is_refused() {
        assert_eq!(judge(""), Ok(()));
        assert_eq!(
            judge("monotonic           0         0\nboottime            0         0\n"),
            Ok(())
        );
        assert_eq!(judge("monotonic       86400         0\nboottime 0 0\n"), Ok(()));
        for boottime in ["boottime 86400 0", "boottime -5 0", "boottime 0 1000000"] {
            let offsets = format!("monotonic 0 0\n{boottime}\n");
            assert!(judge(&offsets).is_err(), "{boottime}");
        }
    }

    #[test]
    fn without_a_suspend_it_is_the_clock_of_every_instant() {
        let before = Instant::now();
        let present = now();
        assert!(before <= present && present <= Instant::now() + Duration::from_millis(2));
        let boot = boot_now();
        assert!(boot <= boot_now());
    }
}
