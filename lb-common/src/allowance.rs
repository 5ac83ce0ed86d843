//! How much of something there may be in a second: a token bucket in one number.

use crate::SECOND;

/// How many answers of its own one CPU may send, within a second and at once. The kernel that a reset replaces has no limit, and a failover
/// without replicated flows takes one for each connection; but a flood of stray segments is not to leave as a flood of
/// resets.
pub const ANSWERS_PER_SECOND: u64 = 10_000;

/// A token bucket that is filled up in a second: an entry of a map of the program.
///
/// It is kept as the time up to which everything that was taken is paid for. That is never more than a second ago, which
/// is a full bucket, and each thing costs the time in which it accrues.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// In nanoseconds.
    pub paid_until: u64,
}

impl Allowance {
    /// What one answer costs, of [`ANSWERS_PER_SECOND`].
    pub const ANSWER: u64 = SECOND / ANSWERS_PER_SECOND;

    /// Takes at `now` (nanoseconds, as all times here) what accrues in `price`, if so much is left: what is left then.
    /// Of what takes longer than a second to accrue, the bucket holds one.
    #[inline(always)]
    #[must_use]
    pub const fn take(self, now: u64, price: u64) -> Option<Self> {
        let room = if price > SECOND { price } else { SECOND };
        let full = now.saturating_sub(room);
        let from = if self.paid_until > full {
            self.paid_until
        } else {
            full
        };
        let paid_until = from + price;
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
        while let Some(rest) = allowance.take(now, Allowance::ANSWER) {
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
    #[test]
    fn of_what_is_rarer_than_once_a_second_it_holds_one() {
        const PRICE: u64 = 5 * SECOND;
        let first = Allowance::default().take(100 * SECOND, PRICE);
        let first = first.expect("nothing was taken before");
        assert_eq!(first.take(105 * SECOND - 1, PRICE), None);
        let second = first.take(105 * SECOND, PRICE).expect("it has accrued");
        assert_eq!(second.take(109 * SECOND, PRICE), None);
    }
}
