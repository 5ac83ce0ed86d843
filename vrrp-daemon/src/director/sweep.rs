//! What a sweep of the table of connections forgets.

use std::collections::BTreeSet;

use lb_common::{FlowClock, FlowWord};

use crate::model::RealSlot;

/// A walk through the table of connections. The program never looks for what has timed out, and a connection knows its
/// real server by nothing but the slot: both are this walk's business.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// By slot; those after the last that is cleared are not there.
    cleared: Vec<bool>,
    /// Those whose connections are counted.
    counted: BTreeSet<RealSlot>,
}

/// What becomes of the word of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays, or there is none.
    Kept,
    /// Forgotten: it was silent for too long.
    Over,
    /// Forgotten: its real server is not configured any more.
    Gone,
}

impl Sweep {
    /// A sweep that forgets what has timed out, and all connections whose real server was in one of the slots
    /// `cleared`.
    ///
    /// (Not those of all slots where no real server is configured now: one that is given away during the sweep has
    /// connections of its new owner.)
    #[must_use]
    pub fn new(cleared: &BTreeSet<RealSlot>) -> Self {
        let length = cleared.last().map_or(0, |last| last.get() as usize + 1);
        let mut flags = vec![false; length];
        for slot in cleared {
            flags[slot.get() as usize] = true;
        }
        Self {
            cleared: flags,
            counted: BTreeSet::new(),
        }
    }

    /// The same, which counts the connections of real servers on its way.
    #[must_use]
    pub fn counting(self, counted: BTreeSet<RealSlot>) -> Self {
        Self { counted, ..self }
    }

    /// The slots whose connections it counts.
    #[must_use]
    pub const fn counted(&self) -> &BTreeSet<RealSlot> {
        &self.counted
    }

    /// Whether slots are cleared: then no program may go by what was in the maps before, when it begins.
    #[must_use]
    pub const fn clears_slots(&self) -> bool {
        !self.cleared.is_empty()
    }

    /// What becomes of `word` at the moment `now` (nanoseconds of `CLOCK_BOOTTIME`).
    #[must_use]
    pub fn fate(&self, word: FlowWord, clock: &FlowClock, now: u64) -> Fate {
        if word == FlowWord::EMPTY {
            Fate::Kept
        } else if self.cleared.get(word.slot() as usize) == Some(&true) {
            Fate::Gone
        } else if clock.is_over(word, now) {
            Fate::Over
        } else {
            Fate::Kept
        }
    }
}

#[cfg(test)]
mod tests {
    use lb_common::{SECOND, flow_state};

    use super::*;

    const NOW: u64 = 1_000_000 * SECOND;

    /// A connection of the real server in `slot`, silent for `silence` seconds.
    fn word(state: u64, slot: u32, silence: u64) -> FlowWord {
        let seen = FlowClock::default().of(state).at(NOW - silence * SECOND);
        FlowWord::new(1, state, seen, slot)
    }

    fn fate(cleared: &[u32], word: FlowWord) -> Fate {
        let cleared = cleared.iter().copied().map(RealSlot::new).collect();
        Sweep::new(&cleared).fate(word, &FlowClock::default(), NOW)
    }

    #[test]
    fn what_has_timed_out_is_forgotten_and_nothing_else() {
        for (state, timeout) in [
            (flow_state::NASCENT, 60),
            (flow_state::ESTABLISHED, 900),
            (flow_state::CLOSING, 120),
            (flow_state::DATAGRAM, 300),
            (flow_state::DATAGRAMS, 300),
        ] {
            assert_eq!(fate(&[], word(state, 3, 0)), Fate::Kept);
            assert_eq!(fate(&[], word(state, 3, timeout - 1)), Fate::Kept);
            assert_eq!(fate(&[], word(state, 3, timeout + 3)), Fate::Over);
        }
        assert_eq!(fate(&[], FlowWord::EMPTY), Fate::Kept);
    }

    #[test]
    fn connections_of_a_real_server_that_is_gone_are_forgotten_whatever_their_state() {
        for state in flow_state::NASCENT..flow_state::COUNT as u64 {
            for slot in [0, 3, 5] {
                assert_eq!(fate(&[0, 3, 5], word(state, slot, 0)), Fate::Gone);
            }
            for slot in [1, 4, 6, 0xffff] {
                assert_eq!(fate(&[0, 3, 5], word(state, slot, 0)), Fate::Kept);
            }
        }
    }

    /// An empty word has slot 0.
    #[test]
    fn an_empty_word_belongs_to_no_slot() {
        assert_eq!(fate(&[0], FlowWord::EMPTY), Fate::Kept);
        assert!(Sweep::new(&BTreeSet::from([RealSlot::new(0)])).clears_slots());
        assert!(!Sweep::new(&BTreeSet::new()).clears_slots());
    }
}
