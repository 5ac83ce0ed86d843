//! When a service has more new connections than are remembered.

use crate::{Allowance, FlowClock, SECOND, flow_state};

/// When new connections of a service were too many to be remembered: a slot of [`crate::maps::EPISODES`].
///
/// An *episode* begins when they exceed [`crate::Service::new_flow_limit`], or when the table of connections has no place
/// for one, and lasts until that was not so for [a while](Self::LENGTH). Meanwhile new connections are placed by a hash
/// and not remembered; and until whoever began then has had the time to show itself or to time out, so are segments of
/// connections that nobody remembers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Episode {
    /// Until when the last one lasts, in nanoseconds of `CLOCK_BOOTTIME`; 0 if there was none. One store begins it on all
    /// CPUs, and prolongs it.
    pub until: u64,
    /// When the table last had no place for a new connection of the service.
    pub refused_at: u64,
    /// How many more new connections there may be now: shared by all CPUs.
    pub allowance: Allowance,
}

const _: () = assert!(size_of::<Episode>() == 24);

impl Episode {
    /// How long an episode lasts after what began or prolonged it: longer than floods that come in waves pause, and as
    /// long as a connection is remembered that has shown a SYN only.
    pub const LENGTH: u64 = 60 * SECOND;

    /// New connections are counted by so many, on each CPU: what is shared by all is touched that much more seldom.
    pub const BATCH: u64 = 16;

    /// The lowest limit: with less, what many CPUs have counted each for itself would be more than the limit.
    pub const LOWEST_LIMIT: u32 = 1_000;

    /// What a [batch](Self::BATCH) of new connections takes of the allowance, where `limit` (not 0) may come in a second.
    #[inline(always)]
    #[must_use]
    pub const fn price(limit: u32) -> u64 {
        Self::BATCH * SECOND / limit as u64
    }

    /// Whether an episode that lasts `until` then is not over.
    #[inline(always)]
    #[must_use]
    pub const fn lasts(until: u64, now: u64) -> bool {
        now < until
    }

    /// Whether a connection that began in an episode which lasts `until` then may go on, unless it was silent for longer
    /// than `timeout`.
    #[inline(always)]
    #[must_use]
    pub const fn lingers(until: u64, now: u64, timeout: u64) -> bool {
        until != 0 && now < until + timeout
    }

    /// Until when an episode lasts that is begun or prolonged `now`; `None` where that is a second's difference or less:
    /// a store takes the cache line from all other CPUs.
    #[inline(always)]
    #[must_use]
    pub const fn prolonged(until: u64, now: u64) -> Option<u64> {
        let later = now + Self::LENGTH;
        if until + SECOND < later { Some(later) } else { None }
    }

    /// What a connection costs that shows itself, and that nobody has remembered, of an [`Allowance`] that all services
    /// share: with `words` words in the table, so many are entered within the timeout of those that are established that
    /// a quarter of it is theirs. A flood of segments takes no more.
    #[inline(always)]
    #[must_use]
    pub const fn price_of_remembering(words: u64, clock: &FlowClock) -> u64 {
        let quarter = words / 4;
        let quarter = if quarter == 0 { 1 } else { quarter };
        clock.of(flow_state::ESTABLISHED).nanoseconds() / quarter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_is_stored_once_a_second_at_most() {
        let now = 1_000 * SECOND;
        let until = Episode::prolonged(0, now).expect("there was none");
        assert_eq!(until, now + Episode::LENGTH);
        assert_eq!(Episode::prolonged(until, now), None);
        assert_eq!(Episode::prolonged(until, now + SECOND), None);
        let later = now + SECOND + 1;
        assert_eq!(Episode::prolonged(until, later), Some(later + Episode::LENGTH));
    }

    #[test]
    fn connections_outlive_the_episode_that_they_began_in() {
        let until = 1_000 * SECOND;
        assert!(Episode::lasts(until, until - 1) && !Episode::lasts(until, until));
        assert!(Episode::lingers(until, until, SECOND));
        assert!(Episode::lingers(until, until - 1, SECOND));
        assert!(!Episode::lingers(until, until + SECOND, SECOND));
        // A machine that has just started.
        assert!(!Episode::lingers(0, 1, 900 * SECOND));
        assert!(!Episode::lasts(0, 1));
    }

    #[test]
    fn a_limit_is_kept_to_on_average_and_a_second_of_it_may_come_at_once() {
        for limit in [Episode::LOWEST_LIMIT, 100_000, 10_000_000] {
            let mut allowance = Allowance::default();
            let mut taken = 0;
            while let Some(rest) = allowance.take(100 * SECOND, Episode::price(limit)) {
                allowance = rest;
                taken += Episode::BATCH;
            }
            assert!(
                taken.abs_diff(u64::from(limit)) <= u64::from(limit) / 50,
                "{taken} of {limit}"
            );
        }
    }

    #[test]
    fn what_is_remembered_late_takes_a_quarter_of_the_table() {
        let clock = FlowClock::default();
        let words = 1 << 21;
        let price = Episode::price_of_remembering(words, &clock);
        let entered = 900 * SECOND / price;
        assert!(entered.abs_diff(words / 4) < words / 400, "{entered}");
        assert!(Episode::price_of_remembering(1, &clock) > 900 * SECOND);
    }
}
