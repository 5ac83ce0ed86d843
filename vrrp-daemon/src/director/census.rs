//! Counting connections while the program goes on counting them.

use lb_common::{FlowWord, Load};

use crate::model::RealSlot;

/// Counts the connections of real servers during a walk through the table, to set right what the program has counted of
/// them ([`lb_common::maps::LOADS`]): it does not see what times out, and nothing of what was there before it was told to
/// count.
#[derive(Clone, Debug)]
pub struct Census {
    /// By slot; none for those that are not counted.
    tallies: Vec<Option<Tally>>,
}

/// What is known of the connections of a real server.
#[derive(Clone, Copy, Debug)]
struct Tally {
    /// What the program had counted when the walk began.
    before: Load,
    /// What was found.
    kept: u64,
    /// What the walk has removed.
    removed: u64,
}

impl Census {
    /// A walk begins that counts the connections of those in `slots`; `load` says what the program has counted.
    pub fn begin(slots: impl Iterator<Item = RealSlot>, load: impl Fn(RealSlot) -> Load) -> Self {
        let mut tallies = Vec::new();
        for slot in slots {
            let index = slot.get() as usize;
            tallies.resize(tallies.len().max(index + 1), None);
            tallies[index] = Some(Tally {
                before: load(slot),
                kept: 0,
                removed: 0,
            });
        }
        Self { tallies }
    }

    /// A connection was found.
    pub fn keep(&mut self, word: FlowWord) {
        if let Some(tally) = self.tally(word) {
            tally.kept = tally.kept.wrapping_add(Load::of(word.state()));
        }
    }

    /// A connection was removed.
    pub fn remove(&mut self, word: FlowWord) {
        if let Some(tally) = self.tally(word) {
            tally.removed = tally.removed.wrapping_add(Load::of(word.state()));
        }
    }

    fn tally(&mut self, word: FlowWord) -> Option<&mut Tally> {
        self.tallies.get_mut(word.slot() as usize)?.as_mut()
    }

    /// The walk has ended: what is to be added to what the program has counted, for those where that is anything.
    pub fn corrections(&self, load: impl Fn(RealSlot) -> Load) -> impl Iterator<Item = (RealSlot, u64)> {
        let slots = (0..).map(RealSlot::new).zip(&self.tallies);
        slots.filter_map(move |(slot, tally)| {
            let correction = tally.as_ref()?.correction(load(slot));
            (correction != 0).then_some((slot, correction))
        })
    }
}

impl Tally {
    /// What is to be added to the load, which is `after` when the walk has ended.
    fn correction(&self, after: Load) -> u64 {
        let number = |of: fn(Load) -> i64| {
            let [before, after, kept, removed] =
                [self.before, after, Load(self.kept), Load(self.removed)].map(of);
            difference(before - removed, after - removed, kept) - removed
        };
        Load::sum(number(Load::signed_active), number(Load::signed_inactive))
    }
}

/// By how much a count is wrong that went from `before` to `after` while `found` were found. What begins and ends
/// meanwhile is found or not, as chance has it: nothing is wrong that this could explain.
fn difference(before: i64, after: i64, found: i64) -> i64 {
    found - found.clamp(before.min(after), before.max(after))
}

#[cfg(test)]
mod tests {
    use lb_common::flow_state::{CLOSING, ESTABLISHED, NASCENT};

    use super::*;

    const SLOT: RealSlot = RealSlot::new(3);

    fn word(state: u64, slot: u32) -> FlowWord {
        FlowWord::new(1, state, 0, slot)
    }

    /// What is added where the program has counted so much before a walk and after it.
    fn corrected(before: (i64, i64), after: (i64, i64), kept: &[u64], removed: &[u64]) -> (i64, i64) {
        let [before, after] = [before, after].map(|(active, inactive)| Load(Load::sum(active, inactive)));
        let mut census = Census::begin([SLOT].into_iter(), |_| before);
        for state in kept {
            census.keep(word(*state, SLOT.get()));
        }
        for state in removed {
            census.remove(word(*state, SLOT.get()));
        }
        let sum = census.corrections(|_| after).map(|(slot, correction)| {
            assert_eq!(slot, SLOT);
            Load(correction)
        });
        sum.last()
            .map_or((0, 0), |sum| (sum.signed_active(), sum.signed_inactive()))
    }

    #[test]
    fn what_was_counted_right_stays() {
        assert_eq!(
            corrected((2, 1), (2, 1), &[NASCENT, ESTABLISHED, CLOSING], &[]),
            (0, 0)
        );
    }

    #[test]
    fn what_the_walk_removes_is_taken_away() {
        assert_eq!(
            corrected((2, 1), (2, 1), &[ESTABLISHED], &[ESTABLISHED, CLOSING]),
            (-1, -1)
        );
    }

    #[test]
    fn what_was_never_counted_is_added_and_what_went_unseen_is_taken_away() {
        assert_eq!(
            corrected((0, 0), (0, 0), &[ESTABLISHED, ESTABLISHED, CLOSING], &[]),
            (2, 1)
        );
        assert_eq!(corrected((5, 2), (5, 2), &[ESTABLISHED], &[]), (-4, -2));
        // Below zero, where connections that were not counted have ended.
        assert_eq!(corrected((-3, 1), (-3, 1), &[], &[]), (3, -1));
    }

    #[test]
    fn what_begins_and_ends_meanwhile_is_no_error() {
        // Three have begun, of which one was found; then two have ended, which were.
        assert_eq!(corrected((0, 0), (3, 0), &[ESTABLISHED], &[]), (0, 0));
        assert_eq!(
            corrected((3, 0), (1, 2), &[ESTABLISHED, ESTABLISHED, ESTABLISHED], &[]),
            (0, 0)
        );
        // One more than either count.
        assert_eq!(corrected((1, 0), (2, 0), &[ESTABLISHED; 3], &[]), (1, 0));
        assert_eq!(
            corrected((1, 0), (2, 0), &[ESTABLISHED; 2], &[ESTABLISHED]),
            (0, 0)
        );
    }

    #[test]
    fn those_that_are_not_counted_have_no_part_in_it() {
        let mut census = Census::begin([SLOT].into_iter(), |_| Load::default());
        census.keep(word(ESTABLISHED, 2));
        census.remove(word(ESTABLISHED, 0xffff));
        assert_eq!(census.corrections(|_| Load::default()).count(), 0);
    }
}
