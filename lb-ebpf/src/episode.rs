//! *episode*: a service has more new connections than are remembered.
//!
//! Whoever sends a SYN or a datagram wants to be remembered, and proves nothing: who forges many could have every place in
//! the table of connections. When a service has more of them than it may (`new_flow_limit`), or when the table has no
//! place for one, an *episode* begins ([`Episode`]). While it lasts, a hash names the real servers of new connections, and
//! they are not remembered. The segments that follow are those of connections that nobody remembers: the hash leads them
//! to the same real server, then and for as long afterwards as a silent connection may be. Those are remembered, a few
//! in a second: a flood may forge them as well.
//!
//! So an episode costs nobody a connection: not those who are in the table, for nothing takes their places; nor those who
//! begin in it, for as long as the schedule stays the same.
#![allow(
    unsafe_code,
    reason = "what the kernel verifies by itself has a name of its own"
)]

use lb_common::{Episode, flow_state};

use crate::{clock, maps, outcome::Outcome, parsed::Segment};

/// What becomes of a packet of a connection that nobody remembers: who names its real server, and whether that is
/// remembered. (A number, to be part of one.)
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Course(u64);

impl Course {
    /// The scheduler names the real server, and it is remembered.
    const SCHEDULED: Self = Self(0);
    /// A hash does, and it is remembered.
    const PLACED: Self = Self(1);
    /// A hash does, and it is remembered unless many are.
    const SHOWN: Self = Self(2);
    /// A hash does, and it is not remembered.
    const FORGOTTEN: Self = Self(3);
    /// Nobody does: this is no new connection.
    pub(crate) const REFUSED: Self = Self(4);
    /// The scheduler does, and it is not remembered: each datagram is scheduled for itself.
    pub(crate) const ONE_PACKET: Self = Self(5);
    /// The bits of the number.
    pub(crate) const BITS: u32 = 3;

    /// The course of the packet that `outcome` tells of, to the service at `index`.
    #[inline(always)]
    pub(crate) fn of(index: u32, outcome: Outcome) -> Self {
        Self(course_of(u64::from(index), outcome.to_bits()))
    }

    #[inline(always)]
    fn find(index: u32, outcome: Outcome) -> Self {
        // Another connection has its word, and keeps it.
        if outcome.is_foreign() {
            return Self::FORGOTTEN;
        }
        let segment = outcome.segment();
        let until = maps::end_of_episode(index);
        // Nearly always.
        if until == 0 {
            return if outcome.opens() {
                Self::SCHEDULED
            } else {
                Self::REFUSED
            };
        }
        let now = clock::now();
        let state = if segment == Segment::DATAGRAM {
            flow_state::DATAGRAMS
        } else {
            flow_state::ESTABLISHED
        };
        let lasts = Episode::lasts(until, now);
        let lingers = Episode::lingers(until, now, maps::flow_time(state).nanoseconds());
        match segment {
            Segment::OPEN if lasts => Self::FORGOTTEN,
            Segment::OPEN => Self::SCHEDULED,
            Segment::DATAGRAM if lasts => Self::SHOWN,
            // It may be one of a client's that began in the episode.
            Segment::DATAGRAM if lingers => Self::PLACED,
            Segment::DATAGRAM => Self::SCHEDULED,
            Segment::RESET if lingers => Self::FORGOTTEN,
            _ if lingers => Self::SHOWN,
            _ if outcome.opens() => Self::SCHEDULED,
            _ => Self::REFUSED,
        }
    }

    /// Its number.
    #[inline(always)]
    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    /// The one with this [number](Self::number).
    #[inline(always)]
    pub(crate) const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// What the packet that begins it does to its word. Whatever it is that opens a connection, that has shown itself once.
    #[inline(always)]
    pub(crate) fn first(self, segment: Segment) -> Segment {
        match segment {
            Segment::DATA | Segment::FINISH if !self.is_placed() => Segment::OPEN,
            segment => segment,
        }
    }

    /// Whether a hash names the real server.
    #[inline(always)]
    pub(crate) const fn is_placed(self) -> bool {
        self.0 != Self::SCHEDULED.0 && self.0 != Self::ONE_PACKET.0
    }

    /// Whether the connection gets a place in the table if there is one.
    #[inline(always)]
    pub(crate) fn is_remembered(self) -> bool {
        match self {
            Self::SCHEDULED | Self::PLACED => true,
            Self::SHOWN => may_recall() != 0,
            _ => false,
        }
    }

    /// Whether it is nothing out of the common if there is no place for it.
    #[inline(always)]
    pub(crate) const fn may_be_refused(self) -> bool {
        self.0 >= Self::SHOWN.0
    }
}

// What follows are functions that others could call: the kernel verifies such a one by itself, once
// (`kernel/bpf/verifier.c`, `do_check_subprogs`; Linux 5.6), and not on each way that leads to it.

/// [`Course::of`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn course_of(index: u64, outcome: u64) -> u64 {
    Course::find(index as u32, Outcome::from_bits(outcome)).0
}

/// Whether one more connection may be remembered that shows itself, and that was not remembered when it began: 1 or 0.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn may_recall() -> u64 {
    let may = maps::flow_clock().is_some_and(|clock| {
        let price = Episode::price_of_remembering(maps::flow_words(), clock);
        maps::take_recollection(clock::now(), price)
    });
    u64::from(may)
}

/// Counts a new connection of the service at `index`, of which this CPU has counted `count` now: too many begin an
/// episode, or prolong it.
#[inline(always)]
pub(crate) fn count(index: u32, count: u64) {
    if count.is_multiple_of(Episode::BATCH) {
        count_batch(u64::from(index));
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn count_batch(index: u64) -> u64 {
    let index = index as u32;
    let Some(service) = maps::indexed_service(index) else {
        return 0;
    };
    let limit = service.new_flow_limit;
    let now = clock::now();
    if limit != 0 && !maps::take_new_flows(index, now, Episode::price(limit)) {
        prolong(index, now);
    }
    0
}

/// Begins an episode of the service at `index`, or prolongs it: the table has no place for a new connection.
#[inline(always)]
pub(crate) fn refuse(index: u32) {
    refuse_flow(u64::from(index));
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn refuse_flow(index: u64) -> u64 {
    let now = clock::now();
    maps::set_refusal(index as u32, now);
    prolong(index as u32, now);
    0
}

#[inline(always)]
fn prolong(index: u32, now: u64) {
    if let Some(until) = Episode::prolonged(maps::end_of_episode(index), now) {
        maps::set_end_of_episode(index, until);
    }
}
