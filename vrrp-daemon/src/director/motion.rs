//! The motion of a Maglev ring: who held its slots, and which of them may still have connections of somebody else.
//!
//! A connection that is placed by the ring is remembered nowhere. So a slot that changes hands is *in motion* for a
//! time, in which the program looks its connections up and remembers those that it sees: new ones go to who has the
//! slot now, those that nobody remembers to the *previous* owner, who was the last to hold the slot at rest, through any
//! number of changes; whatever was placed meanwhile is remembered. (JET, "Just Enough Tracking", Mendelson, Vargaftik,
//! Barabash, Lorenz, Keslassy and Orda, 2020; the previous owner is Beamer's daisy chaining, Olteanu, Agache,
//! Voinescu and Raiciu, NSDI 2018.)
//!
//! The motion of a slot is over when a window has passed in which the program has seen no connection of anybody else
//! there. It is as long as the longest timeout, so that there is none.
//!
//! All of that is in the maps, but when the window began ([`Windows`](super::Windows)): a daemon that starts goes on
//! where its predecessor was.

use std::collections::BTreeSet;

use lb_common::{RingWord, motion_slots};

/// The motion of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Motion {
    /// Who last held each slot at rest: slots of [`lb_common::maps::REALS`].
    pub previous: Vec<u16>,
    /// How that ring was hashed to: [`lb_common::Service::maglev_placement`].
    pub placement: u32,
    /// Of each slot of the previous ring whether it is in motion. All are where the ring is of another length, or is
    /// hashed to in another way.
    pub marks: Bits,
}

/// A ring, and how it is hashed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring<'a> {
    /// Who holds each slot: slots of [`lb_common::maps::REALS`].
    pub slots: &'a [u16],
    /// [`lb_common::Service::maglev_placement`].
    pub placement: u32,
    /// Whether connections are placed by it, and remembered only in motion.
    pub is_schedule: bool,
}

/// A bit for each slot of a ring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits(Vec<u64>);

impl Bits {
    /// None of `length` bits.
    #[must_use]
    pub fn none(length: usize) -> Self {
        Self(vec![0; length.div_ceil(64)])
    }

    /// All of `length` bits.
    #[must_use]
    pub fn all(length: usize) -> Self {
        let mut bits = Self::none(length);
        (0..length).for_each(|bit| bits.set(bit));
        bits
    }

    /// Whether none is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Whether `bit` is set.
    #[must_use]
    pub fn has(&self, bit: usize) -> bool {
        self.0[bit / 64] >> (bit % 64) & 1 != 0
    }

    /// Sets `bit`.
    pub fn set(&mut self, bit: usize) {
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    fn intersect(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word &= other;
        }
    }

    fn quarters(&self) -> impl Iterator<Item = u16> {
        self.0
            .iter()
            .flat_map(|word| (0..RingWord::SLOTS).map(|number| RingWord(*word).slot(number)))
    }

    fn of_quarters(quarters: &[u16]) -> Self {
        let words = quarters.chunks(RingWord::SLOTS as usize);
        Self(words.map(|word| RingWord::of(word.iter().copied()).0).collect())
    }
}

impl Motion {
    /// The motion of a ring of `length` slots that is in these slots of [`lb_common::maps::RINGS`], and of which slots
    /// connections of others were seen.
    #[must_use]
    pub fn of(slots: &[u16], length: usize, placement: u32) -> Option<(Self, Bits)> {
        let (previous, bits) = slots.split_at_checked(length.next_multiple_of(RingWord::SLOTS as usize))?;
        let (marks, seen) = bits.split_at_checked(bits.len() / 2)?;
        let motion = Self {
            previous: previous[..length].to_vec(),
            placement,
            marks: Bits::of_quarters(marks),
        };
        Some((motion, Bits::of_quarters(seen)))
    }

    /// What is to be in [`lb_common::maps::RINGS`]: nothing was seen yet.
    #[must_use]
    pub fn slots(&self) -> Vec<u16> {
        let mut slots = self.previous.clone();
        slots.resize(slots.len().next_multiple_of(RingWord::SLOTS as usize), 0);
        slots.extend(self.marks.quarters());
        slots.resize(
            motion_slots(u32::try_from(self.previous.len()).expect("rings have a limit")) as usize,
            0,
        );
        slots
    }

    /// What becomes of the motion when the ring `wanted` follows `present`: nothing if that is at rest. Real servers
    /// that are not among the configured `servers` any more hold nothing, nor did they; where somebody has to be named all
    /// the same, any of these is.
    #[must_use]
    pub fn next(
        motion: Option<Self>,
        present: Ring<'_>,
        wanted: Ring<'_>,
        servers: &BTreeSet<u16>,
    ) -> Option<Self> {
        // Whoever was placed by another scheduler is remembered, or was placed by a ring that was there.
        let changes_scheduler = present.is_schedule != wanted.is_schedule;
        let mut motion = motion.or_else(|| {
            let of = if present.slots.is_empty() { wanted } else { present };
            let is_at_rest = present.slots == wanted.slots && present.placement == wanted.placement;
            (!is_at_rest || changes_scheduler).then(|| Self {
                previous: of.slots.to_vec(),
                placement: of.placement,
                marks: Bits::none(of.slots.len()),
            })
        })?;
        let length = motion.previous.len();
        let is_same = motion.is_like(wanted);
        if !is_same || changes_scheduler {
            motion.marks = Bits::all(length);
        } else {
            for (slot, (previous, wanted)) in motion.previous.iter().zip(wanted.slots).enumerate() {
                if previous != wanted {
                    motion.marks.set(slot);
                }
            }
        }
        let nobody = *wanted.slots.first().or(servers.first())?;
        for (slot, previous) in motion.previous.iter_mut().enumerate() {
            if !servers.contains(previous) {
                let same = wanted.slots.get(slot).copied().filter(|_| is_same);
                *previous = same.unwrap_or(nobody);
            }
        }
        (!motion.marks.is_empty()).then_some(motion)
    }

    /// What is left of the motion when its window is over, in which connections of others than the ring has were seen
    /// in the slots `seen`.
    #[must_use]
    pub fn rest(mut self, present: Ring<'_>, seen: &Bits) -> Option<Self> {
        if !self.is_like(present) {
            return (!seen.is_empty()).then_some(self);
        }
        self.marks.intersect(seen);
        for (slot, (previous, present)) in self.previous.iter_mut().zip(present.slots).enumerate() {
            if !self.marks.has(slot) {
                *previous = *present;
            }
        }
        (!self.marks.is_empty()).then_some(self)
    }

    /// Whether the slots of the previous ring are those of `ring`.
    fn is_like(&self, ring: Ring<'_>) -> bool {
        self.previous.len() == ring.slots.len() && self.placement == ring.placement
    }
}

#[cfg(test)]
mod tests;
