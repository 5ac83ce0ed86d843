//! Where the Maglev ring of a service is in motion.
//!
//! While a ring changes hands, its service names a second slice of [`crate::maps::RINGS`]: the *previous* ring, which has
//! in each slot whoever held that last at rest, a mark for each slot that is in motion, and a bit for each slot that the
//! program sets when it sees a connection of somebody else than who holds the slot now. Each part begins with an
//! element.

use crate::{RingWord, Service, service_flags};

/// A bit in an element of [`crate::maps::RINGS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingBit {
    /// The element.
    pub element: u32,
    /// The bit, and no other.
    pub mask: u64,
}

/// How many elements the slots of a ring take.
#[inline(always)]
const fn slots_of(length: u32) -> u32 {
    length.div_ceil(RingWord::SLOTS)
}

/// How many elements a bit for each slot of a ring takes.
#[inline(always)]
const fn bits_of(length: u32) -> u32 {
    length.div_ceil(u64::BITS)
}

/// How many slots of [`crate::maps::RINGS`] the motion of a ring of `length` slots takes.
#[must_use]
pub const fn motion_slots(length: u32) -> u32 {
    (slots_of(length) + 2 * bits_of(length)) * RingWord::SLOTS
}

impl Service {
    /// Whether a packet's real server follows from its hash alone where the ring is at rest.
    #[inline(always)]
    #[must_use]
    pub const fn is_placed(&self) -> bool {
        self.flags & service_flags::PLACED != 0
    }

    /// What it names of [`crate::maps::RINGS`], each with its first slot and how many there are: the schedule, unless
    /// that is the Maglev ring; the Maglev ring; its motion.
    #[must_use]
    pub const fn slices(&self) -> [(u32, u32); 3] {
        // Maps that have gone bad may say any number.
        let previous_length = if self.previous_length > u32::MAX / 4 {
            u32::MAX / 4
        } else {
            self.previous_length
        };
        [
            (
                self.ring_offset,
                if self.is_placed() { 0 } else { self.ring_length },
            ),
            (self.maglev_offset, self.maglev_length),
            (self.previous_offset, motion_slots(previous_length)),
        ]
    }

    /// Whether slots of the Maglev ring are in motion.
    #[inline(always)]
    #[must_use]
    pub const fn is_moving(&self) -> bool {
        self.previous_length != 0
    }

    /// Whether all slots of the Maglev ring are in motion: those of the previous one are not the same.
    #[inline(always)]
    #[must_use]
    pub const fn moves_whole(&self) -> bool {
        self.previous_length != self.maglev_length || self.previous_placement != self.maglev_placement
    }

    /// The mark of a slot of the previous ring.
    #[inline(always)]
    #[must_use]
    pub const fn mark(&self, slot: u32) -> RingBit {
        let start = self.previous_offset / RingWord::SLOTS + slots_of(self.previous_length);
        bit(start, slot)
    }

    /// The bit that says of a slot of the previous ring that a connection of somebody else was seen.
    #[inline(always)]
    #[must_use]
    pub const fn seen_elsewhere(&self, slot: u32) -> RingBit {
        let length = self.previous_length;
        let start = self.previous_offset / RingWord::SLOTS + slots_of(length) + bits_of(length);
        bit(start, slot)
    }
}

#[inline(always)]
const fn bit(start: u32, slot: u32) -> RingBit {
    RingBit {
        element: start + slot / u64::BITS,
        mask: 1 << (slot % u64::BITS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_motion_follow_each_other() {
        let service = Service {
            previous_offset: 40,
            previous_length: 127,
            ..Service::default()
        };
        // 32 elements of slots, two of marks, two of the other bits.
        assert_eq!(motion_slots(127), 4 * 36);
        assert_eq!(service.mark(0), RingBit { element: 42, mask: 1 });
        assert_eq!(
            service.mark(126),
            RingBit {
                element: 43,
                mask: 1 << 62
            }
        );
        assert_eq!(service.seen_elsewhere(0), RingBit { element: 44, mask: 1 });
        assert_eq!(service.seen_elsewhere(65), RingBit { element: 45, mask: 2 });
        assert_eq!(10 + motion_slots(127) / RingWord::SLOTS, 46);
    }

    #[test]
    fn a_ring_of_another_length_or_placement_moves_whole() {
        let service = Service {
            maglev_length: 7,
            previous_length: 7,
            ..Service::default()
        };
        assert!(!service.moves_whole());
        assert!(
            Service {
                maglev_length: 13,
                ..service
            }
            .moves_whole()
        );
        assert!(
            Service {
                maglev_placement: 1,
                ..service
            }
            .moves_whole()
        );
    }
}
