//! Interfaces whose link falls when a program comes or goes, or when an offload is switched.
//!
//! Many NICs start anew for that. A virtual router whose program is attached when it becomes master would lose its link
//! for it, and with it the mastership; the program would be taken off, the link fall again, and so on for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A link that falls within this time after what we did fell because of it.
const AFTERMATH: Duration = Duration::from_secs(3);

/// Knows which interfaces are better left alone.
#[derive(Debug, Default)]
pub struct Steadiness {
    /// When each interface was last changed by us.
    touched: BTreeMap<u32, Instant>,
    unsteady: BTreeSet<u32>,
}

impl Steadiness {
    /// We have just attached or detached the program on an interface, or switched an offload of it.
    pub fn touched(&mut self, interface: u32, now: Instant) {
        self.touched.insert(interface, now);
    }

    /// The link of an interface has fallen. Returns whether that is the first proof that it cannot be touched.
    pub fn link_fell(&mut self, interface: u32, now: Instant) -> bool {
        let is_ours = self
            .touched
            .get(&interface)
            .is_some_and(|at| now.saturating_duration_since(*at) <= AFTERMATH);
        is_ours && self.unsteady.insert(interface)
    }

    /// Whether the program may be taken off an interface that it is not wanted on: not where the link has fallen for
    /// such a thing before, and not while it is down, for then it is wanted again as soon as it is up.
    #[must_use]
    pub fn may_detach(&self, interface: u32, link_is_up: bool) -> bool {
        link_is_up && !self.unsteady.contains(&interface)
    }

    /// Forgets the interfaces that are not `there` any more.
    pub fn retain(&mut self, there: impl Fn(u32) -> bool) {
        self.touched.retain(|interface, _| there(*interface));
        self.unsteady.retain(|interface| there(*interface));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETH0: u32 = 2;
    const ETH1: u32 = 3;

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_link_that_falls_after_what_we_did_marks_its_interface_once() {
        let start = start();
        let mut steadiness = Steadiness::default();
        assert!(!steadiness.link_fell(ETH0, start), "we have done nothing");
        steadiness.touched(ETH0, start);
        assert!(!steadiness.link_fell(ETH1, start), "nor there");
        assert!(steadiness.may_detach(ETH0, true));
        assert!(steadiness.link_fell(ETH0, start + AFTERMATH));
        assert!(!steadiness.link_fell(ETH0, start + AFTERMATH), "that is told");
        assert!(!steadiness.may_detach(ETH0, true));
        assert!(steadiness.may_detach(ETH1, true));
    }

    #[test]
    fn a_link_that_falls_later_fell_by_itself() {
        let start = start();
        let mut steadiness = Steadiness::default();
        steadiness.touched(ETH0, start);
        let later = start + AFTERMATH + Duration::from_millis(1);
        assert!(!steadiness.link_fell(ETH0, later));
        assert!(steadiness.may_detach(ETH0, true));
        assert!(
            !steadiness.may_detach(ETH0, false),
            "a lost link is no reason to detach"
        );
    }

    #[test]
    fn an_interface_that_is_gone_is_forgotten() {
        let start = start();
        let mut steadiness = Steadiness::default();
        steadiness.touched(ETH0, start);
        assert!(steadiness.link_fell(ETH0, start));
        steadiness.retain(|interface| interface != ETH0);
        assert!(steadiness.may_detach(ETH0, true));
    }
}
