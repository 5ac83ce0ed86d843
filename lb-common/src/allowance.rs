//! How many answers of its own the program sends: a token bucket in one number.

use crate::SECOND;

/// What one CPU may send, within a second and at once. The kernel that a reset replaces has no limit, and a failover
/// without replicated flows takes one for each connection; but a flood of stray segments is not to leave as a flood of
/// resets.
pub const ANSWERS_PER_SECOND: u64 = 10_000;

/// A token bucket that holds [`ANSWERS_PER_SECOND`], and is filled up in a second: an entry of a map of the program.
///
/// It is kept as the time up to which everything that was taken is paid for. That is never more than a second ago,
/// which is a full bucket, and an answer costs what accrues in a ten-thousandth of a second.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    paid_until: u64,
}

impl Allowance {
    /// Takes one answer at `now` (nanoseconds, as all times here), if one is left: what is left then.
    #[inline(always)]
    #[must_use]
    pub const fn take(self, now: u64) -> Option<Self> {
        let full = now.saturating_sub(SECOND);
        let from = if self.paid_until > full {
            self.paid_until
        } else {
            full
        };
        let paid_until = from + SECOND / ANSWERS_PER_SECOND;
        if paid_until > now {
            return None;
        }
        Some(Self { paid_until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many answers are taken at `now` before it is refused.
    fn exhaust(allowance: &mut Allowance, now: u64) -> u64 {
        let mut taken = 0;
        while let Some(rest) = allowance.take(now) {
            *allowance = rest;
            taken += 1;
        }
        taken
    }

    #[test]
    fn a_second_fills_it_and_no_longer_silence_overfills_it() {
        let mut allowance = Allowance::default();
        let boot = 100 * SECOND;
        assert_eq!(exhaust(&mut allowance, boot), ANSWERS_PER_SECOND);
        assert_eq!(exhaust(&mut allowance, boot), 0);
        assert_eq!(
            exhaust(&mut allowance, boot + SECOND / 10),
            ANSWERS_PER_SECOND / 10
        );
        assert_eq!(
            exhaust(&mut allowance, boot + SECOND),
            ANSWERS_PER_SECOND * 9 / 10
        );
        assert_eq!(exhaust(&mut allowance, boot + 3600 * SECOND), ANSWERS_PER_SECOND);
    }

    #[test]
    fn it_gives_its_rate_however_finely_time_passes() {
        let mut allowance = Allowance::default();
        exhaust(&mut allowance, 100 * SECOND);
        let taken: u64 = (1..=1_000)
            .map(|tick| exhaust(&mut allowance, 100 * SECOND + tick * SECOND / 1_000))
            .sum();
        assert_eq!(taken, ANSWERS_PER_SECOND);
    }
}
