//! Schedules in memory.

/// Four slots of [`crate::maps::REALS`], 16 bits each, the first in the lowest: an element of [`crate::maps::RINGS`].
/// (The kernel rounds elements of an array up to eight bytes.)
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingWord(pub u64);

impl RingWord {
    /// How many slots share an element.
    pub const SLOTS: u32 = 4;
    const BITS: u32 = u64::BITS / Self::SLOTS;

    /// These slots, of which there are at most four; zeros follow them.
    #[must_use]
    pub fn of(slots: impl Iterator<Item = u16>) -> Self {
        let shifts = (0..u64::BITS).step_by(Self::BITS as usize);
        Self(
            shifts
                .zip(slots)
                .fold(0, |word, (shift, slot)| word | u64::from(slot) << shift),
        )
    }

    /// The slot number `number`, of which the lowest two bits count.
    #[inline(always)]
    #[must_use]
    pub const fn slot(self, number: u32) -> u16 {
        (self.0 >> (number % Self::SLOTS * Self::BITS)) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_holds_four_slots_the_first_in_its_lowest_bits() {
        let word = RingWord::of([1, 0xffff, 3, 0x1234].into_iter());
        assert_eq!(word.0, 0x1234_0003_ffff_0001);
        assert_eq!(
            [0, 1, 2, 3, 7].map(|number| word.slot(number)),
            [1, 0xffff, 3, 0x1234, 0x1234]
        );
        assert_eq!(RingWord::of([7].into_iter()), RingWord(7));
    }
}
