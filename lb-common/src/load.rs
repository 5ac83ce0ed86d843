//! How many connections a real server has, for the schedulers that ask.

use crate::{FlowWord, flow_state};

/// The connections of a real server: an entry of [`crate::maps::LOADS`], kept for those with
/// [`crate::real_flags::COUNTED`] only.
///
/// | bits | what |
/// | --- | --- |
/// | 32 to 63 | the [inactive](Self::inactive) ones |
/// | 1 to 31 | the [active](Self::active) ones |
/// | 0 | whether it [is overloaded](Self::is_overloaded) |
///
/// Both numbers have a sign: where a connection goes that was never counted, and for an instant where two CPUs count one
/// connection, they are below 0. The daemon sets right what has gone wrong, by adding the difference.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load(pub u64);

/// What a real server may have at most: `uthreshold` and `lthreshold` of IPVS.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Thresholds {
    /// With so many connections it is overloaded, and gets no new ones; 0 for no such limit.
    pub upper: u32,
    /// With fewer than so many it is so no more.
    pub lower: u32,
}

impl Load {
    const OVERLOADED: u64 = 1;
    const ACTIVE_SHIFT: u32 = 1;
    const INACTIVE_SHIFT: u32 = 32;
    /// The states, a bit for each, in which a connection is active: for TCP, from the SYN on, so that connections that
    /// begin at once do not all find the same server idle (`tcp_state_active_table`,
    /// `net/netfilter/ipvs/ip_vs_proto_tcp.c`). (For UDP, IPVS has none.)
    const ACTIVE: u64 = 1 << flow_state::NASCENT | 1 << flow_state::ESTABLISHED | 1 << flow_state::DATAGRAMS;
    /// Those in which it is inactive.
    const INACTIVE: u64 = 1 << flow_state::CLOSING | 1 << flow_state::DATAGRAM;

    /// What a connection in `state` adds to the load of its real server.
    #[inline(always)]
    #[must_use]
    pub const fn of(state: u64) -> u64 {
        let active = Self::ACTIVE >> (state & 7) & 1;
        let inactive = Self::INACTIVE >> (state & 7) & 1;
        active << Self::ACTIVE_SHIFT | inactive << Self::INACTIVE_SHIFT
    }

    /// What so many connections are together, which may be below 0.
    #[must_use]
    pub const fn sum(active: i64, inactive: i64) -> u64 {
        ((inactive << Self::INACTIVE_SHIFT) + (active << Self::ACTIVE_SHIFT)) as u64
    }

    /// What is to be added where a connection goes on from one state to another.
    #[inline(always)]
    #[must_use]
    pub const fn change(from: FlowWord, to: FlowWord) -> u64 {
        Self::of(to.state()).wrapping_sub(Self::of(from.state()))
    }

    /// [`Self::active`], or below 0.
    #[inline(always)]
    #[must_use]
    pub const fn signed_active(self) -> i64 {
        ((self.0 as u32 as i32) >> Self::ACTIVE_SHIFT) as i64
    }

    /// [`Self::inactive`], or below 0.
    #[inline(always)]
    #[must_use]
    pub const fn signed_inactive(self) -> i64 {
        // What the active ones below 0 have borrowed.
        let borrowed = (self.signed_active() < 0) as u32;
        ((self.0 >> Self::INACTIVE_SHIFT) as u32).wrapping_add(borrowed) as i32 as i64
    }

    /// IPVS's `activeconns`: TCP connections that the client has not closed, and what has shown a second datagram.
    #[inline(always)]
    #[must_use]
    pub const fn active(self) -> u64 {
        at_least_zero(self.signed_active())
    }

    /// IPVS's `inactconns`: TCP connections that the client has closed, and what has shown one datagram.
    #[inline(always)]
    #[must_use]
    pub const fn inactive(self) -> u64 {
        at_least_zero(self.signed_inactive())
    }

    /// All of them.
    #[inline(always)]
    #[must_use]
    pub const fn total(self) -> u64 {
        self.active() + self.inactive()
    }

    /// Whether it has reached its upper threshold, and has not come below its lower one since (`IP_VS_DEST_F_OVERLOAD`).
    #[inline(always)]
    #[must_use]
    pub const fn is_overloaded(self) -> bool {
        self.overloaded_bit() != 0
    }

    /// 1 if it [is overloaded](Self::is_overloaded), else 0.
    #[inline(always)]
    #[must_use]
    pub const fn overloaded_bit(self) -> u64 {
        self.0 & Self::OVERLOADED
    }

    /// The same load, overloaded or not.
    #[inline(always)]
    #[must_use]
    pub const fn overloaded(self, is_overloaded: bool) -> Self {
        Self(self.0 & !Self::OVERLOADED | is_overloaded as u64)
    }
}

#[inline(always)]
const fn at_least_zero(number: i64) -> u64 {
    number as u64 & !(number >> 63) as u64
}

impl Thresholds {
    /// Whether there are any.
    #[inline(always)]
    #[must_use]
    pub const fn are_set(self) -> bool {
        self.upper != 0
    }

    /// Those that an administrator has set, 0 for none: a lower one that is not set is three quarters of the upper one
    /// (`ip_vs_unbind_dest`, `net/netfilter/ipvs/ip_vs_conn.c`).
    #[must_use]
    pub const fn new(upper: u32, lower: u32) -> Self {
        let three_quarters = (upper as u64 * 3).div_ceil(4) as u32;
        Self {
            upper,
            lower: if lower == 0 { three_quarters } else { lower },
        }
    }

    /// Whether so many connections overload it.
    #[inline(always)]
    #[must_use]
    pub const fn are_reached(self, connections: u64) -> bool {
        self.are_set() && connections >= self.upper as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(active: i64, inactive: i64) -> Load {
        Load(Load::sum(active, inactive))
    }

    #[test]
    fn connections_are_added_and_taken_away_one_by_one() {
        let word = |state| FlowWord::new(1, state, 0, 0);
        let steps = [
            (flow_state::EMPTY, flow_state::NASCENT, 1, 0),
            (flow_state::NASCENT, flow_state::ESTABLISHED, 1, 0),
            (flow_state::EMPTY, flow_state::DATAGRAM, 1, 1),
            (flow_state::ESTABLISHED, flow_state::CLOSING, 0, 2),
            (flow_state::DATAGRAM, flow_state::DATAGRAMS, 1, 1),
            (flow_state::CLOSING, flow_state::EMPTY, 1, 0),
            (flow_state::DATAGRAMS, flow_state::DATAGRAMS, 1, 0),
            (flow_state::DATAGRAMS, flow_state::EMPTY, 0, 0),
        ];
        let mut load = Load::default();
        for (from, to, active, inactive) in steps {
            load.0 = load.0.wrapping_add(Load::change(word(from), word(to)));
            assert_eq!((load.active(), load.inactive()), (active, inactive));
        }
        assert_eq!(load, Load::default());
    }

    /// As where the second packet of a connection is counted before the first, on another CPU.
    #[test]
    fn what_is_below_zero_for_a_while_counts_as_zero_and_comes_back() {
        for (active, inactive) in [(-1, 0), (0, -1), (-3, 5), (5, -3), (-2, -2), (1 << 29, 1 << 30)] {
            let load = load(active, inactive);
            assert_eq!((load.signed_active(), load.signed_inactive()), (active, inactive));
            assert_eq!(load.active(), active.max(0) as u64);
            assert_eq!(load.inactive(), inactive.max(0) as u64);
            assert!(!load.is_overloaded());
            let back = load.0.wrapping_add(Load::sum(-active, -inactive));
            assert_eq!(back, 0);
        }
    }

    #[test]
    fn being_overloaded_changes_no_number() {
        for (active, inactive) in [(0, 0), (-1, 3), (7, 2)] {
            let load = load(active, inactive).overloaded(true);
            assert!(load.is_overloaded());
            assert_eq!((load.signed_active(), load.signed_inactive()), (active, inactive));
            assert_eq!(load.overloaded(false).0, Load::sum(active, inactive));
        }
    }

    #[test]
    fn thresholds_are_those_of_ipvs() {
        let both = Thresholds::new(10, 4);
        assert!(both.are_reached(10) && !both.are_reached(9));
        assert_eq!(both.lower, 4);
        // Three quarters of ten are seven and a half: seven are below them.
        assert_eq!(Thresholds::new(10, 0).lower, 8);
        assert_eq!(Thresholds::new(u32::MAX, 0).lower, 0xc000_0000);
        let none = Thresholds::new(0, 0);
        assert!(!none.are_set() && !none.are_reached(u64::MAX));
        assert_eq!(none, Thresholds::default());
    }
}
