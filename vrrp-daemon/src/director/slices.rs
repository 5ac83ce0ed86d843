//! Where in the ring array the next schedule goes.

use std::ops::Range;

use lb_common::RingWord;

/// Slices begin with a whole element of the ring array and end with one.
const ALIGNMENT: u32 = RingWord::SLOTS;

/// The first slot after a schedule that ends at `end`, or its length with what is left over of its last element.
pub(super) const fn rounded_up(end: u32) -> u32 {
    end.saturating_add(ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT
}

/// The ring array in halves, of which schedules share one. When a new schedule finds no gap there, all of them move to
/// the other, side by side: where free slots are scattered never decides whether there is room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Halves {
    /// Of each.
    length: u32,
}

impl Halves {
    /// The halves of an array of `capacity` slots.
    pub(super) const fn of(capacity: u32) -> Self {
        Self {
            length: capacity / 2 / ALIGNMENT * ALIGNMENT,
        }
    }

    /// The half where the schedules in `in_force` are, or most of them.
    pub(super) fn home(self, in_force: &[Range<u32>]) -> Range<u32> {
        let lower: u64 = in_force
            .iter()
            .map(|slice| u64::from(slice.end.min(self.length).saturating_sub(slice.start)))
            .sum();
        let all: u64 = in_force
            .iter()
            .map(|slice| u64::from(slice.end - slice.start))
            .sum();
        if lower * 2 >= all {
            0..self.length
        } else {
            self.length..self.length * 2
        }
    }

    /// The half that is not `home`.
    pub(super) const fn other(self, home: &Range<u32>) -> Range<u32> {
        if home.start == 0 {
            self.length..self.length * 2
        } else {
            0..self.length
        }
    }
}

/// The parts of one half of [`lb_common::maps::RINGS`] that no schedule takes, handed out next-fit.
///
/// Next-fit and not best-fit, because a slice that was given up a moment ago may still be in the hands of a packet on
/// another CPU: going round the whole half before a slot is used again leaves that packet all the time it needs.
#[derive(Debug)]
pub(super) struct FreeSlices {
    gaps: Vec<Range<u32>>,
    at: usize,
    coalesced: bool,
}

impl FreeSlices {
    /// What `taken` (in any order) leaves of `half`; the search begins at `from`.
    pub(super) fn new(mut taken: Vec<Range<u32>>, from: u32, half: Range<u32>) -> Self {
        taken.sort_unstable_by_key(|slice| slice.start);
        let mut gaps = Vec::with_capacity(taken.len() + 2);
        let mut before = Vec::new();
        let mut free_from = half.start;
        let end = half.end..half.end;
        for slice in taken.iter().chain(std::iter::once(&end)) {
            let gap = free_from..slice.start.min(half.end);
            free_from = free_from.max(slice.end);
            // The gap that holds `from` is cut there: its first part comes last.
            before.push(gap.start..gap.end.min(from));
            gaps.push(gap.start.max(from)..gap.end);
        }
        gaps.append(&mut before);
        gaps.retain(|gap| !gap.is_empty());
        Self {
            gaps,
            at: 0,
            coalesced: false,
        }
    }

    /// The first slot of a free slice for a schedule of `length` slots, which is not free any more.
    pub(super) fn allocate(&mut self, length: u32) -> Option<u32> {
        let length = rounded_up(length);
        let count = self.gaps.len();
        for step in 0..count {
            let index = (self.at + step) % count;
            let gap = &mut self.gaps[index];
            if gap.end - gap.start >= length {
                let offset = gap.start;
                gap.start += length;
                self.at = index;
                return Some(offset);
            }
        }
        if self.coalesced {
            return None;
        }
        // The two parts of the gap that was cut may be enough together.
        self.coalesced = true;
        self.at = 0;
        self.gaps.retain(|gap| !gap.is_empty());
        self.gaps.sort_unstable_by_key(|gap| gap.start);
        self.gaps.dedup_by(|next, previous| {
            let adjacent = previous.end == next.start;
            if adjacent {
                previous.end = next.end;
            }
            adjacent
        });
        self.allocate(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_handed_out_from_the_cursor_and_round_the_end() {
        let mut free = FreeSlices::new(vec![24..36, 0..12], 48, 0..60);
        assert_eq!(free.allocate(12), Some(48));
        assert_eq!(free.allocate(12), Some(12));
        assert_eq!(free.allocate(12), Some(36));
        assert_eq!(free.allocate(1), None);
    }

    #[test]
    fn a_gap_cut_by_the_cursor_is_used_whole_when_nothing_else_is_left() {
        let mut free = FreeSlices::new(vec![4..8, 0..4], 32, 0..48);
        assert_eq!(free.allocate(40), Some(8));
        assert_eq!(free.allocate(1), None);
    }

    #[test]
    fn slices_are_whole_elements() {
        let mut free = FreeSlices::new(vec![0..4, 0..2], 0, 0..16);
        assert_eq!(free.allocate(5), Some(4));
        assert_eq!(free.allocate(1), Some(12));
        assert_eq!(free.allocate(1), None);
        assert_eq!([0, 1, 4, 5].map(rounded_up), [0, 4, 4, 8]);
        assert_eq!(Halves::of(30).home(&[]), 0..12);
    }

    #[test]
    fn slices_that_overlap_or_lie_outside_confuse_nobody() {
        let mut free = FreeSlices::new(vec![0..12, 4..8, 40..88], 0, 0..48);
        assert_eq!(free.allocate(28), Some(12));
        assert_eq!(free.allocate(1), None);
        let mut free = FreeSlices::new(vec![0..12, 40..60, 88..92], 0, 48..96);
        assert_eq!(free.allocate(28), Some(60));
        assert_eq!(free.allocate(4), Some(92));
        assert_eq!(free.allocate(1), None);
    }

    #[test]
    fn home_is_where_most_slots_are() {
        let halves = Halves::of(104);
        let lower = 0..10;
        let across = 45..60;
        let beyond = 90..1_000;
        assert_eq!(halves.home(&[]), 0..52);
        assert_eq!(halves.home(std::slice::from_ref(&across)), 52..104);
        assert_eq!(halves.home(&[across, lower.clone()]), 0..52);
        assert_eq!(halves.home(&[lower, beyond]), 52..104);
        assert_eq!(halves.other(&(0..52)), 52..104);
        assert_eq!(halves.other(&(52..104)), 0..52);
    }
}
