//! How long a silent connection is remembered.

use super::{FlowWord, flow_state};
use crate::SECOND;

/// The clock of the connections in one state: a part of [`FlowClock`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowTime {
    /// The unit of [`FlowWord::seen`] is 2 to this power, in nanoseconds.
    pub shift: u32,
    /// A connection whose [age](Self::age) is more of these units has timed out.
    pub timeout: u32,
}

/// The clocks of all [states](flow_state): the value of [`crate::maps::FLOW_CLOCK`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowClock {
    /// By state.
    pub times: [FlowTime; flow_state::COUNT],
}

const _: () = assert!(size_of::<FlowClock>() == 64);

impl FlowTime {
    /// Of the units that [`FlowWord::seen`] can tell apart, a timeout takes at most this many: the others are for the
    /// daemon, which forgets what has timed out before the clock comes round.
    pub const LONGEST: u64 = 3 << 10;
    /// Nothing is noted more often than this, in nanoseconds as a power of two (half a second): each time a line of the
    /// table becomes one CPU's own.
    const COARSE: u32 = 29;
    /// Of those that have shown one packet only, the oldest make room for others: their clock is finer (17 ms).
    const FINE: u32 = 24;
    /// How far the clock of who looks may be behind that of who has seen a packet (a second, in nanoseconds as a power
    /// of two): CPUs read theirs at timer ticks, which may come late. What was seen in the future would seem to be as
    /// old as can be.
    const BEHIND: u32 = 30;

    /// For this long after it has timed out, in nanoseconds, a connection is known to have: then the clock may have
    /// come round, and it would seem to be new. The daemon has forgotten it by then.
    pub const UNMISTAKABLE: u64 = (FlowWord::SEEN_MASK - Self::LONGEST) << Self::FINE;

    /// The clock for a timeout in nanoseconds, with a unit no finer than 2 to the power of `finest`. The longest
    /// timeout that Keepalived has is 31 days, in units of 22 minutes.
    #[must_use]
    pub const fn new(timeout: u64, finest: u32) -> Self {
        let timeout = timeout + (1 << Self::BEHIND);
        let mut shift = finest;
        while timeout.div_ceil(1 << shift) > Self::LONGEST {
            shift += 1;
        }
        Self {
            shift,
            timeout: timeout.div_ceil(1 << shift) as u32,
        }
    }

    /// The moment `now` (nanoseconds of `CLOCK_BOOTTIME`) in this clock's units, as [`FlowWord::seen`] has it.
    #[inline(always)]
    #[must_use]
    pub const fn at(self, now: u64) -> u64 {
        now >> (self.shift & 63) & FlowWord::SEEN_MASK
    }

    /// How many units ago `seen` was, at a second after `now`: it may be in the future by as much, and by no more.
    #[inline(always)]
    #[must_use]
    pub const fn age(self, seen: u64, now: u64) -> u64 {
        let later = self.at(now + (1 << Self::BEHIND));
        later.wrapping_sub(seen) & FlowWord::SEEN_MASK
    }

    /// The timeout, in nanoseconds.
    #[inline(always)]
    #[must_use]
    pub const fn nanoseconds(self) -> u64 {
        (self.timeout as u64) << (self.shift & 63)
    }

    /// Whether a connection that was last `seen` then has timed out.
    #[inline(always)]
    #[must_use]
    pub const fn is_over(self, seen: u64, now: u64) -> bool {
        self.age(seen, now) > self.timeout as u64
    }
}

impl FlowClock {
    /// The clocks for these timeouts, in nanoseconds: of established TCP connections, of closing ones, and of UDP.
    #[must_use]
    pub const fn new(established: u64, closing: u64, datagrams: u64) -> Self {
        const NEVER: FlowTime = FlowTime {
            shift: FlowTime::COARSE,
            timeout: FlowWord::SEEN_MASK as u32,
        };
        /// TCP, only a SYN so far: IPVS's `SYN_RECV`, which cannot be set there either.
        const NASCENT: u64 = 60 * SECOND;
        let mut times = [NEVER; flow_state::COUNT];
        times[flow_state::NASCENT as usize] = FlowTime::new(NASCENT, FlowTime::FINE);
        times[flow_state::ESTABLISHED as usize] = FlowTime::new(established, FlowTime::COARSE);
        times[flow_state::CLOSING as usize] = FlowTime::new(closing, FlowTime::COARSE);
        times[flow_state::DATAGRAM as usize] = FlowTime::new(datagrams, FlowTime::FINE);
        times[flow_state::DATAGRAMS as usize] = FlowTime::new(datagrams, FlowTime::COARSE);
        Self { times }
    }

    /// The clock of a state.
    #[inline(always)]
    #[must_use]
    pub const fn of(&self, state: u64) -> FlowTime {
        self.times[(state & 7) as usize]
    }

    /// Whether the connection of a word has timed out at `now`.
    #[inline(always)]
    #[must_use]
    pub const fn is_over(&self, word: FlowWord, now: u64) -> bool {
        self.of(word.state()).is_over(word.seen(), now)
    }
}

/// IPVS's timeouts (`net/netfilter/ipvs/ip_vs_proto_tcp.c`, `ip_vs_proto_udp.c`).
impl Default for FlowClock {
    fn default() -> Self {
        Self::new(15 * 60 * SECOND, 2 * 60 * SECOND, 5 * 60 * SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_connection_times_out_when_ipvs_would_forget_it() {
        let clock = FlowClock::default();
        let cases = [
            (flow_state::NASCENT, 60),
            (flow_state::ESTABLISHED, 900),
            (flow_state::CLOSING, 120),
            (flow_state::DATAGRAM, 300),
            (flow_state::DATAGRAMS, 300),
        ];
        for (state, seconds) in cases {
            let time = clock.of(state);
            let unit = 1_u64 << time.shift;
            for then in [0, 17 * SECOND, 1_000_000 * SECOND + 12_345] {
                let word = FlowWord::new(1, state, time.at(then), 1);
                assert!(!clock.is_over(word, then));
                assert!(
                    !clock.is_over(word, then + seconds * SECOND),
                    "{state}: {seconds} s"
                );
                assert!(clock.is_over(word, then + seconds * SECOND + 2 * unit));
                // For as long again as the clock has left, it stays so.
                assert!(clock.is_over(word, then + (FlowWord::SEEN_MASK - 1) * unit - SECOND * 11 / 10));
            }
        }
    }

    /// It is noted by a CPU whose clock is a tick ahead of the one that looks, just after a unit has begun.
    #[test]
    fn a_connection_that_was_seen_a_moment_from_now_has_not_timed_out() {
        const TICK: u64 = 10_000_000;
        let clock = FlowClock::default();
        for state in flow_state::NASCENT..=flow_state::DATAGRAMS {
            let time = clock.of(state);
            for unit in 1_000_000..1_000_100 {
                let then = unit << time.shift;
                let word = FlowWord::new(1, state, time.at(then), 1);
                assert!(!clock.is_over(word, then - TICK), "state {state}");
                assert!(!clock.is_over(word, then - SECOND), "state {state}");
            }
        }
    }

    #[test]
    fn what_has_timed_out_is_known_to_have_for_a_while() {
        for timeout in (1..4_000).chain([100_000, 1_000_000]) {
            let clock = FlowClock::new(timeout * SECOND, timeout * SECOND, timeout * SECOND);
            for state in flow_state::NASCENT..=flow_state::DATAGRAMS {
                let time = clock.of(state);
                let then = 5_000_000 * SECOND + timeout;
                let word = FlowWord::new(1, state, time.at(then), 1);
                let units = (then >> time.shift) + u64::from(time.timeout) + 1;
                let over = (units << time.shift) - (1 << FlowTime::BEHIND);
                assert!(!clock.is_over(word, over - 1), "{timeout} s, state {state}");
                for now in
                    [0, FlowTime::UNMISTAKABLE / 2, FlowTime::UNMISTAKABLE - 1].map(|later| over + later)
                {
                    assert!(clock.is_over(word, now), "{timeout} s, state {state}");
                }
            }
        }
    }

    #[test]
    fn the_longest_timeout_is_a_month() {
        const MONTH: u64 = 31 * 24 * 3600 * SECOND;
        let clock = FlowClock::new(MONTH, MONTH, MONTH);
        let time = clock.of(flow_state::ESTABLISHED);
        assert!(u64::from(time.timeout) <= FlowTime::LONGEST);
        assert!(u64::from(time.timeout) << time.shift >= MONTH);
        assert!(1_u64 << time.shift <= 30 * 60 * SECOND);
    }

    #[test]
    fn an_empty_word_never_times_out() {
        let clock = FlowClock::default();
        for now in (0..10_000).map(|second| second * SECOND) {
            assert!(!clock.is_over(FlowWord::EMPTY, now));
        }
    }
}
