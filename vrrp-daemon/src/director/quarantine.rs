//! Which slots of real servers connections may still name.

use std::collections::BTreeSet;

use lb_common::Real;

use super::Plane;
use crate::model::{RealHandle, RealSlot};

/// Keeps a slot whose real server is gone from others until no connection can name it: a connection knows its real
/// server by the slot alone ([`lb_common::FlowWord`]), and would go on with a server that never heard of it.
///
/// It takes a sweep of all connections that begins after the slot was freed, and after every program that had chosen
/// its real server before has ended. A daemon that starts knows of no sweep.
#[derive(Clone, Debug, Default)]
pub struct Quarantine {
    /// The last owners of slots that were swept after these had gone.
    cleared: BTreeSet<RealHandle>,
    /// What the sweep that is under way is to clear, or the last one was.
    asked_for: BTreeSet<RealHandle>,
}

impl Quarantine {
    /// Whether `slot`, which holds `real`, can be given to a real server.
    #[must_use]
    pub fn releases(&self, slot: RealSlot, real: &Real) -> bool {
        let last = RealHandle {
            slot,
            generation: real.generation,
        };
        !real.is_configured() && (is_new(real) || self.cleared.contains(&last))
    }

    /// The last owners of the slots that wait for a sweep, one under way or one that is to begin.
    fn held(&self, plane: &Plane) -> impl Iterator<Item = RealHandle> {
        free(plane).filter(|last| !self.cleared.contains(last))
    }

    /// Whether slots wait for a sweep that was not asked for yet.
    pub(super) fn wants_sweep(&self, plane: &Plane) -> bool {
        self.held(plane).any(|last| !self.asked_for.contains(&last))
    }

    /// A sweep begins. Returns the slots that it clears.
    pub(super) fn begin(&mut self, plane: &Plane) -> BTreeSet<RealSlot> {
        self.asked_for = self.held(plane).collect();
        self.asked_for.iter().map(|last| last.slot).collect()
    }

    /// The sweep has ended, and has cleared what it was to clear, or not (`has_cleared`). Returns whether that releases
    /// a slot.
    pub(super) fn end(&mut self, has_cleared: bool, plane: &Plane) -> bool {
        if !has_cleared {
            return false;
        }
        let free: BTreeSet<RealHandle> = free(plane).collect();
        self.cleared.retain(|last| free.contains(last));
        let before = self.cleared.len();
        self.cleared.extend(self.asked_for.intersection(&free));
        self.cleared.len() > before
    }
}

/// The last owners of the slots that are free and were not always.
fn free(plane: &Plane) -> impl Iterator<Item = RealHandle> {
    plane
        .slots()
        .filter(|(_, real)| !real.is_configured() && !is_new(real))
        .map(|(slot, real)| RealHandle {
            slot,
            generation: real.generation,
        })
}

/// Whether the slot of `real` never had an owner.
const fn is_new(real: &Real) -> bool {
    real.generation == 0
}

#[cfg(test)]
mod tests {
    use lb_common::real_flags;

    use super::*;

    const SLOT: RealSlot = RealSlot::new(1);

    /// A plane whose slot 1 is in this generation; the others are new.
    fn plane(generation: u32, is_configured: bool) -> Plane {
        let real = Real {
            generation,
            flags: if is_configured { real_flags::CONFIGURED } else { 0 },
            ..Real::default()
        };
        Plane {
            reals: vec![Real::default(), real],
            ..Plane::default()
        }
    }

    fn releases(quarantine: &Quarantine, plane: &Plane) -> bool {
        quarantine.releases(SLOT, &plane.real(SLOT))
    }

    #[test]
    fn a_slot_that_was_never_used_is_released_at_once() {
        let quarantine = Quarantine::default();
        assert!(quarantine.releases(RealSlot::new(0), &Real::default()));
        assert!(!quarantine.wants_sweep(&plane(0, false)));
    }

    #[test]
    fn a_slot_is_released_by_a_sweep_that_began_after_it_was_freed() {
        let mut quarantine = Quarantine::default();
        let (owned, freed) = (plane(1, true), plane(1, false));
        assert_eq!(quarantine.begin(&owned), BTreeSet::new());
        assert!(quarantine.wants_sweep(&freed));
        assert!(!quarantine.end(true, &freed));
        assert!(!releases(&quarantine, &freed));

        assert_eq!(quarantine.begin(&freed), BTreeSet::from([SLOT]));
        assert!(!quarantine.wants_sweep(&freed), "that one is enough");
        assert!(!releases(&quarantine, &freed));
        assert!(quarantine.end(true, &freed));
        assert!(releases(&quarantine, &freed));
        assert!(!quarantine.wants_sweep(&freed));
        assert_eq!(
            quarantine.begin(&freed),
            BTreeSet::new(),
            "it may be given away meanwhile"
        );
    }

    #[test]
    fn a_sweep_that_could_clear_nothing_releases_nothing() {
        let mut quarantine = Quarantine::default();
        let freed = plane(1, false);
        quarantine.begin(&freed);
        assert!(!quarantine.end(false, &freed));
        assert!(!releases(&quarantine, &freed));
        assert!(!quarantine.wants_sweep(&freed), "not at once");
        assert_eq!(quarantine.begin(&freed), BTreeSet::from([SLOT]), "but in time");
    }

    #[test]
    fn each_owner_of_a_slot_is_swept_away() {
        let mut quarantine = Quarantine::default();
        quarantine.begin(&plane(1, false));
        quarantine.end(true, &plane(1, false));
        assert!(!releases(&quarantine, &plane(2, true)));
        assert!(!releases(&quarantine, &plane(2, false)));
        assert!(quarantine.wants_sweep(&plane(2, false)));
        // Somebody else had it, and gave it up, while the sweep was under way.
        quarantine.begin(&plane(2, false));
        assert!(!quarantine.end(true, &plane(3, false)));
        assert!(!releases(&quarantine, &plane(3, false)));
    }

    #[test]
    fn a_daemon_that_starts_knows_of_no_sweep() {
        let quarantine = Quarantine::default();
        assert!(!releases(&quarantine, &plane(7, false)));
        assert!(quarantine.wants_sweep(&plane(7, false)));
    }
}
